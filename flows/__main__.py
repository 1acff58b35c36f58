"""`python -m flows` is the `gristmill` command."""

from flows.cli.main import main

if __name__ == "__main__":
    main()
