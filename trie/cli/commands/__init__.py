"""Commands beside a run, one module each, with a `main` that takes the arguments."""
