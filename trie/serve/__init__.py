"""A small local site: all runs below a folder, those that go on, and comparisons."""
