"""Two servers, or two settings of one, measured in turn until it is sure which is better."""
