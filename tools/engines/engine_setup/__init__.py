"""Real inference engines on a machine without a GPU: installed, given a tiny model, started, and stopped for sure."""
