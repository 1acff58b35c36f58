"""Rules that no compiler checks: which package may import which, and that dvc.yaml matches the stages."""

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from tasks.code.versions import read_listed, stages
from tasks.stage.code import hash_stage, import_closure
from tasks.stage.run import Stage
from tasks.stage.settings import read_yaml

ROOT = Path(__file__).parents[1]
GRAPH = read_yaml(ROOT / "dvc.yaml")
STAGES = sorted(set(GRAPH["stages"]) - {"code"})
ROOMS = sorted(path.parent.name for path in ROOT.glob("tasks/*/__main__.py"))
FLOORS = (("stage",), ("fetch", "tracking", "workers"), ("formats",))
"""Packages under the stages, from the bottom up."""
MODULES = sorted(path for folder in ("tasks", "flows") for path in (ROOT / folder).rglob("*.py"))
HEAVY = ("torch", "transformers", "great_expectations", "mlflow", "datasets", "polars", "prefect", "dvc", "matplotlib")


def imports(path: Path) -> Iterator[str]:
    """Every module that a file imports, lazily or not."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path} line {node.lineno}: relative import"
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@cache
def _ours(path: Path) -> frozenset[Path]:
    """The project files that a file imports directly."""
    places = (ROOT.joinpath(*name.split(".")) for name in imports(path) if name.split(".")[0] in ("tasks", "flows"))
    files = (file for place in places for file in (place.with_suffix(".py"), place / "__init__.py"))
    return frozenset(file for file in files if file.is_file() and file != path)


def offenders(folder: str, *forbidden: str) -> list[str]:
    return [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in sorted((ROOT / folder).rglob("*.py"))
        for name in imports(path)
        if name.startswith(tuple(f"{package}." for package in forbidden)) or name in forbidden
    ]


def test_tasks_know_nothing_of_prefect_dvc_or_flows() -> None:
    assert offenders("tasks", "prefect", "dvc", "flows") == []


def test_flows_import_nothing_heavy() -> None:
    assert offenders("flows", "torch", "transformers", "great_expectations") == []


@pytest.mark.parametrize("room", ROOMS)
def test_stages_never_import_one_another(room: str) -> None:
    others = [f"tasks.{other}" for other in ROOMS if other != room]
    assert offenders(f"tasks/{room}", *others, "tasks.recipe") == []


@pytest.mark.parametrize("floor", range(len(FLOORS)))
def test_the_rooms_under_the_stages_import_downwards_only(floor: int) -> None:
    below = {"stage", *(room for rooms in FLOORS[:floor] for room in rooms)}
    for room in FLOORS[floor]:
        others = {path.stem for path in (ROOT / "tasks").iterdir()} - below - {room}
        assert offenders(f"tasks/{room}", *(f"tasks.{other}" for other in sorted(others))) == []


@pytest.mark.parametrize(
    "room", sorted({path.parent for path in MODULES}), ids=lambda room: str(room.relative_to(ROOT))
)
def test_nothing_in_a_room_imports_in_a_circle(room: Path) -> None:
    """Modules and packages in a folder have no import cycles; a package counts with all its contents."""
    arrows: dict[str, set[str]] = {}
    for path in MODULES:
        if room in path.parents and path != room / "__init__.py":
            own = path.relative_to(room).parts[0]
            used = {other.relative_to(room).parts[0] for other in _ours(path) if room in other.parents}
            arrows.setdefault(own, set()).update(used - {own, "__init__.py"})
    TopologicalSorter(arrows).prepare()


def test_the_stage_code_speaks_for_every_other_stage() -> None:
    code = GRAPH["stages"]["code"]
    assert stages() == STAGES
    assert sorted(code["outs"]) == [f"data/code/{stage}.json" for stage in STAGES]
    assert sorted(code["deps"]) == ["requirements.lock", "tasks"]
    for stage in STAGES:
        deps = GRAPH["stages"][stage]["do"]["deps"]
        assert f"data/code/{stage}.json" in deps
        assert not any(dep.startswith("tasks") for dep in deps)


@pytest.mark.parametrize("stage", STAGES)
def test_the_code_of_every_stage_is_listed(stage: str) -> None:
    known = read_listed()[stage]
    assert hash_stage(stage) in known.code, f"`make same` lists the code of {stage} if it gives the same bytes"


def entries(stage: str) -> list[Any]:
    """The outputs of a stage in dvc.yaml: paths, or mappings of a path to its options."""
    spec = GRAPH["stages"][stage]["do"]
    return [entry for kind in ("outs", "metrics", "plots") for entry in spec.get(kind, [])]


@pytest.mark.parametrize("stage", STAGES)
def test_dvc_and_the_stage_agree_on_inputs_and_outputs(stage: str) -> None:
    declared: Stage = import_module(f"tasks.{stage}.__main__").STAGE
    spec = GRAPH["stages"][stage]["do"]
    outs = [name for entry in entries(stage) for name in (entry if isinstance(entry, dict) else [entry])]
    prefix = "data/${key}/"
    assert sorted(outs) == sorted(prefix + name for name in declared.outputs)
    deps = [dep for dep in spec["deps"] if dep.startswith(prefix)]
    assert sorted(deps) == sorted(prefix + name for name in declared.inputs)
    assert spec["cmd"] == f"python -m tasks.{stage} ${{key}}"
    assert declared.name == stage


@pytest.mark.parametrize("stage", STAGES)
def test_no_output_switches_off_the_run_cache(stage: str) -> None:
    options = [options for entry in entries(stage) if isinstance(entry, dict) for options in entry.values()]
    assert not any("cache" in option or "persist" in option for option in options)


@pytest.mark.parametrize("stage", STAGES)
def test_dvc_sees_every_section_that_a_stage_reads(stage: str) -> None:
    read = {
        str(call.args[1].value)
        for path in import_closure(f"tasks.{stage}.__main__", ROOT)
        if path.parts[:2] == ("tasks", stage)
        for call in ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8")))
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "read_section"
        if isinstance(call.args[1], ast.Constant)
    }
    (params,) = GRAPH["stages"][stage]["do"]["params"]
    ((path, sections),) = params.items()
    assert path == "recipes/${key}.yaml"
    assert read <= set(sections) and (read or stage == "measure")  # which hands its sections on


def test_dvc_fans_out_over_the_recipes_that_there_are() -> None:
    (wired,) = [item["recipes"] for item in GRAPH["vars"] if "recipes" in item]
    assert sorted(wired) == sorted(path.stem for path in (ROOT / "recipes").glob("*.yaml"))


def test_importing_a_module_of_ours_has_no_weight_and_no_side_effect(tmp_path: Path) -> None:
    modules = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for path in sorted((ROOT / "tasks").rglob("*.py"))
        if path.parent.name != "serve"  # run by MLflow to serve a model; nothing imports them
    ]
    script = (
        f"import sys\nsys.path.insert(0, {str(ROOT)!r})\nfrom importlib import import_module\n"
        f"for name in {modules!r}: import_module(name)\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True)
    assert (done.stdout.strip(), done.stderr, list(tmp_path.iterdir())) == ("[]", "", [])


def test_the_committed_lock_knows_the_code(tmp_path: Path) -> None:
    """Otherwise a clone would run the stage `code` and change dvc.lock."""
    status = subprocess.run(
        [sys.executable, "-m", "dvc", "status", "--json", "code"], cwd=ROOT, capture_output=True, text=True, check=True,
        env={**os.environ, "DVC_SITE_CACHE_DIR": str(tmp_path), "DVC_NO_ANALYTICS": "1"},
    )  # fmt: skip
    assert "changed deps" not in status.stdout, "`dvc repro code` renews dvc.lock"
