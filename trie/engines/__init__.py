"""What trie knows of each engine: one declaration in catalog, who a server is, what its counters say."""
