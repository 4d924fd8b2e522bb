"""Replaying traces: one session at a time in `session`, many of them under one deadline in `scheduler`."""
