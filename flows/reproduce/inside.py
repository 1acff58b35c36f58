"""`python -m flows.reproduce.inside FOLDER PYTHON NAME=VALUE… -- COMMAND…`: become a command of another work tree.

It keeps the process, so that `flows.launch` still ends it. A value that is empty removes the variable.
"""

import os
import sys
from pathlib import Path


def main() -> None:
    """Enter FOLDER, set the environment, and run COMMAND with PYTHON in the place of `python`."""
    folder, python, *rest = sys.argv[1:]
    split = rest.index("--")
    for name, _, value in (each.partition("=") for each in rest[:split]):
        os.environ.pop(name, None)
        if value:
            os.environ[name] = value
    os.environ["PYTHONPATH"] = folder
    os.environ["PATH"] = f"{Path(python).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    os.chdir(folder)
    command = [python if word == "python" else word for word in rest[split + 1 :]]
    os.execvp(command[0], command)


if __name__ == "__main__":
    main()
