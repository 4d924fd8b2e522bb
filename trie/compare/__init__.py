"""What differs between runs, and whether the difference is more than noise."""
