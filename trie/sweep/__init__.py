"""What a sweep says as a whole: a long table, curves, the knee, and their forms on a terminal and a page."""
