"""One rank of a test: `python -m tests.train.ranks RECIPE …` under torchrun trains each recipe, as `tasks.train.rank`
does, without a stage around it; rank 0 writes what it made into `data/<recipe>/<world size>/`."""

import json
import os
import sys
from dataclasses import asdict
from pathlib import Path

from tasks.stage.run import Job, Report


def train_here(recipe: str) -> Report:
    """Train a recipe in this process, with outputs in `data/<recipe>/<world size>/`."""
    from tasks.train.__main__ import STAGE
    from tasks.train.work import train

    class Here(Job):
        @property
        def partial(self) -> Path:
            return self.folder / os.environ.get("WORLD_SIZE", "1")

    return train(Here(STAGE, recipe))


def main() -> None:
    from tests.scratch import ROOT  # noqa: F401

    for recipe in sys.argv[1:]:
        report = train_here(recipe)
        if os.environ["RANK"] == "0":
            path = Path("data") / recipe / os.environ["WORLD_SIZE"] / "report.json"
            path.write_text(json.dumps(asdict(report)))


if __name__ == "__main__":
    main()
