"""`python take.py OUT STAGE,… RECIPE…`, in a folder with recipes: run the stages with the code in PYTHONPATH.

Each output is copied to OUT/<stage>/. If the folder `before` exists, a stage reads its inputs there, so that one
differing stage does not make all later ones differ. OUT/lines.json has the lines that ran, by file.
"""

import json
import os
import runpy
import shutil
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import coverage

RESUMED = "plays"
"""The recipe that is trained a second time, from its last checkpoint."""


SECTION = {"compress": "compress", "measure": "compress", "export": "export"}
"""The section that a recipe needs for a stage."""


def take(out: Path, stages: list[str], recipes: list[str]) -> None:
    """Run all stages of the recipes; keep their outputs and the lines that ran."""
    code = Path(os.environ["PYTHONPATH"])
    seen = coverage.Coverage(data_file=None, config_file=False, include=[f"{code}/tasks/*"], concurrency="thread")
    seen.start()
    if find_spec("tasks.code"):
        import_module("tasks.code.versions").write_versions()
    keep_checkpoints()
    for recipe in recipes:
        try:
            take_recipe(out, stages, recipe)
        except RuntimeError as error:
            if Path("before").exists():
                raise
            print(f"the old code refuses {recipe}, so it is not compared: {error}")
    seen.stop()
    data = seen.get_data()
    lines = {os.path.relpath(file, code): data.lines(file) for file in data.measured_files()}
    (out / "lines.json").write_text(json.dumps(lines))


def take_recipe(out: Path, stages: list[str], recipe: str) -> None:
    """Run all stages of a recipe and keep their outputs. Raises RuntimeError if one fails."""
    sections = json.loads(Path(f"recipes/{recipe}.yaml").read_text())
    for stage in stages:
        if find_spec(f"tasks.{stage}") is None or SECTION.get(stage, "task") not in sections:
            continue  # the old code lacks the stage, or the recipe the section
        run_stage(stage, recipe)
        if (stage, recipe) == ("train", RESUMED):
            run_stage(stage, recipe)
        for name in import_module(f"tasks.{stage}.__main__").STAGE.outputs:
            _keep(Path("data", recipe, name), out / stage / recipe / name, Path("before", stage, recipe, name))


def keep_checkpoints() -> None:
    """Let the second training find the checkpoints of the first, as after a kill."""
    checkpoints = import_module("tasks.train.checkpoints")
    clear = checkpoints.clear
    checkpoints.clear = lambda folder, *more: None if RESUMED in folder.parts else clear(folder, *more)


def run_stage(stage: str, recipe: str) -> None:
    """Like `python -m tasks.<stage> <recipe>`. Raises RuntimeError if it fails."""
    sys.argv = [stage, recipe]
    try:
        runpy.run_module(f"tasks.{stage}", run_name="__main__", alter_sys=False)
    except SystemExit as end:
        if end.code:
            raise RuntimeError(f"{stage}@{recipe} ended with {end.code}") from end


def _keep(made: Path, kept: Path, before: Path) -> None:
    kept.parent.mkdir(parents=True, exist_ok=True)
    made.rename(kept)
    source = before if before.exists() else kept
    (shutil.copytree if source.is_dir() else shutil.copy2)(source, made)


if __name__ == "__main__":
    take(Path(sys.argv[1]), sys.argv[2].split(","), sys.argv[3:])
