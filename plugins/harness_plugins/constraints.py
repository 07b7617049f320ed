"""Verifiable instructions."""
