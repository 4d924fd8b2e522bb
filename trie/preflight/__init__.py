"""The way to the clock: each step finds out something that could not be repaired once a run is going."""
