"""Did the server do the same thing all the time? Drifts and level shifts of a run, and its truncation by MSER-5."""
