"""Decisions out of runs: how many agents a server can serve, and whether it passes a gate."""
