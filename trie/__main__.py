"""`python -m trie` and the console script."""

from trie.cli.main import main

if __name__ == "__main__":
    main()
