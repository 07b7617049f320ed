"""Winogender templates."""
