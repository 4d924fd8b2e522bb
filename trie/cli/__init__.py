"""The command line, and the only package that knows Hydra."""
