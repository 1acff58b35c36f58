"""The `gristmill` command: runs the code of the project in which it is called, whatever PYTHONPATH names.

A module of its own, because another package `flows` or `tasks` may come first on the path.
"""

import sys
from pathlib import Path


def main() -> None:
    """Put the project's folder first on the path, then run the command line."""
    here = Path.cwd()
    found = (folder for folder in (here, *here.parents) if (folder / "flows" / "cli" / "main.py").is_file())
    sys.path.insert(0, str(next(found, Path(__file__).resolve().parent)))
    from flows.cli.main import main as command

    command()


if __name__ == "__main__":
    main()
