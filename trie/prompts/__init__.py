"""Prompts of exact token lengths, made ahead of the clock."""
