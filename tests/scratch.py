"""A whole project in a scratch folder: this project's code and graph, with a tiny recipe instead of the real ones."""

import itertools
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from flows.recipes import LISTS, SOME
from tasks.code.versions import LOCK, write_versions
from tasks.stage.run import DATA, run
from tasks.stage.settings import read_yaml

if TYPE_CHECKING:
    import pytest

ROOT = Path(__file__).parents[1]
RECIPE = "tiny"
PARTS = (
    "dvc.yaml",
    "requirements.lock",
    "pyproject.toml",
    "prefect.yaml",
    "flows",
    "tasks",
    ".dvc/config",
    ".dvc/.gitignore",
    ".dvcignore",
    ".gitignore",
)
TINY = ROOT / "tests" / "tiny.yaml"
STAGES = ("base", "ingest", "validate", "clean", "tokenize", "train", "evaluate")
"""The stages of dvc.yaml that every recipe has, in order."""
OF_SOME = {"compress": ("compress", "measure"), "export": ("export",)}
"""Those of a recipe with such a section."""


def without_tracking(patch: "pytest.MonkeyPatch") -> None:
    """For stages in this process: run on the CPU, and let MLflow's server fail at once."""
    patch.setenv("GRISTMILL_DEVICE", "cpu")
    patch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    patch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")


def write_code(root: Path = Path()) -> None:
    """Write what the stage `code` writes, for tests that run single stages."""
    for stage in (*STAGES, *itertools.chain(*OF_SOME.values())):
        path = root / "data" / "code" / f"{stage}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text('{"version": 1}')


def run_stages(recipe: str, until: str = STAGES[-1]) -> Path:
    """Run the stages of a recipe in this process, in the working directory; returns the folder with their outputs."""
    write_versions() if LOCK.is_file() else write_code()
    for stage in STAGES[: STAGES.index(until) + 1]:
        run(import_module(f"tasks.{stage}.__main__").STAGE, recipe)
    return DATA / recipe


def make_project(folder: Path, recipes: Mapping[str, Path] | None = None, **init: str) -> Path:
    """A git and DVC project in a new folder, with only these recipes (default: `tiny`).

    `init`: by recipe name, the path that DVC watches for a recipe that starts from another model.
    """
    recipes = {RECIPE: TINY} if recipes is None else recipes
    for part in PARTS:
        source, place = ROOT / part, folder / part
        place.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, place, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(source, place)
    (folder / "recipes").mkdir()
    wired = {}
    for name, path in recipes.items():
        shutil.copy2(path, folder / "recipes" / f"{name}.yaml")
        start = init.get(name.replace("-", "_"))
        wired[name] = "*alone" if start is None else f"{{<<: *alone, init: {start}}}"
    having = {section: [name for name in wired if read_yaml(recipes[name]).get(section)] for section in SOME}
    (folder / "dvc.yaml").write_text(graph_of(wired, having))
    subprocess.run(["git", "init", "-q", "-b", "main"], cwd=folder, check=True)
    return folder


def graph_of(
    recipes: Mapping[str, str], having: Mapping[str, Iterable[str]] = MappingProxyType({}), text: str | None = None
) -> str:
    """dvc.yaml, the project's own or `text`, with the lines of these recipes only; `having`: those with a section."""
    blocks = {"recipes": "  - recipes:\n" + "".join(f"      {name}: {item}\n" for name, item in recipes.items())}
    for section, key in SOME.items():
        lines = "".join(f"      {name}: {{}}\n" for name in having.get(section, ()))
        blocks[key] = f"  - {key}:\n{lines}\n" if lines else f"  - {key}: {{}}\n\n"
    text = (ROOT / "dvc.yaml").read_text(encoding="utf-8") if text is None else text
    for name, block in blocks.items():
        text = LISTS[name].sub(lambda _, block=block: block, text, count=1)  # type: ignore[misc]
    return text


def environment(folder: Path, **more: str) -> dict[str, str]:
    """Environment in which commands in a scratch project touch nothing outside it except the download cache."""
    ours, keep = ("GRISTMILL_", "MLFLOW_", "PREFECT_"), "GRISTMILL_WORKERS"
    kept = {name: value for name, value in os.environ.items() if name == keep or not name.startswith(ours)}
    return {
        **kept,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(folder),
        "PREFECT_HOME": str(folder / ".prefect"),
        "DVC_SITE_CACHE_DIR": str(folder / ".dvc" / "site"),
        "DO_NOT_TRACK": "true",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "COLUMNS": "120",
        **more,
    }


def command(folder: Path, *arguments: str, check: bool = True, **more: str) -> subprocess.CompletedProcess[str]:
    """Run a command in the project and capture its output."""
    done = subprocess.run(arguments, cwd=folder, env=environment(folder, **more), capture_output=True, text=True)
    if check and done.returncode != 0:
        raise AssertionError(f"{' '.join(arguments)} ended with {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done
