"""Every number, as a pure function of the rows of a run."""
