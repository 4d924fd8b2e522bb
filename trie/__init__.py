"""trie: trace replay inference evaluation."""
