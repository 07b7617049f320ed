"""Bundled reports."""
