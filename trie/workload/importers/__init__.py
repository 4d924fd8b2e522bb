"""Traces of other tools, read as lengths and times: a module a format."""
