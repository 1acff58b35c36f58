"""Misbehaviour on request: a word in the file `behave/<stage>` makes a toy stage fail, hang or crash."""

import os
import subprocess
import sys
import time
from pathlib import Path

from tasks.stage.errors import DataError, TransientError


def act(stage: str) -> None:
    with Path("attempts.txt").open("a") as file:
        file.write(f"{stage}\n")
    wish = Path("behave", stage)
    if not wish.exists():
        return
    match wish.read_text().strip():
        case "bad":
            raise DataError(f"{wish}: bad data")
        case "transient":
            wish.unlink()
            raise TransientError("the network is away")
        case "away":
            raise TransientError("the server is away")
        case "crash":
            raise ZeroDivisionError("a bug")
        case "edit":
            Path("recipes/toy.yaml").write_text("first: {text: changed}\nsecond: {text: two}\n")
        case "hang":
            grandchild = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
            Path("pids.txt").write_text(f"{os.getppid()} {os.getpid()} {grandchild.pid}")
            while not Path("behave/go").exists():
                time.sleep(0.05)
            grandchild.kill()
