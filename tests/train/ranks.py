"""Train recipes as `tasks.train.rank` does, but several after each other: under torchrun,

    python -m tests.train.ranks RECIPE RECIPE:STEP …

trains each of them, or until a step. Outputs and report are in `data/<recipe>/<number of processes>/`.
"""

import json
import os
import sys
from dataclasses import asdict
from pathlib import Path

from tasks.stage.errors import GristmillError
from tasks.stage.run import Job


class Here(Job):
    """A job with outputs of its own for each number of processes."""

    @property
    def partial(self) -> Path:
        """See `Job.partial`."""
        return self.folder / os.environ.get("WORLD_SIZE", "1")


def train_here(recipe: str) -> None:
    """Train a recipe in this process."""
    from tasks.train.__main__ import STAGE
    from tasks.train.work import train

    name, _, step = recipe.partition(":")
    os.environ["GRISTMILL_STOP_AFTER"] = step
    job = Here(STAGE, name)
    try:
        report = train(job)
    except GristmillError as error:
        if not step or "GRISTMILL_STOP_AFTER" not in str(error):
            raise
    else:
        if os.environ.get("RANK", "0") == "0":
            (job.partial / "report.json").write_text(json.dumps(asdict(report)))


def main() -> None:
    """See the module."""
    for recipe in sys.argv[1:]:
        train_here(recipe)


if __name__ == "__main__":
    main()
