"""A run in the formats of other tools, so that what reads theirs reads ours."""
