"""`trie record`: a pass-through proxy that notes lengths and times of the requests of others."""
