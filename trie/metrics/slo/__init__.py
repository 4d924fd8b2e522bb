"""Service level objectives: what a server must keep, whether it does, and how much of the load it served so."""
