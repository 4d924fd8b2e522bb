"""Showing numbers to people: live progress and tables."""
