"""The embedded endpoint: a pure model of an inference server, and real HTTP around it."""
