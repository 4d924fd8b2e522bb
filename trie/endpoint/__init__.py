"""Speaking to an OpenAI-compatible server: bytes on one side, instants and usage on the other."""
