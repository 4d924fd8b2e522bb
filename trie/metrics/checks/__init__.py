"""The checks of the verdict, by what they are about; `trie.metrics.verdict` collects them."""
