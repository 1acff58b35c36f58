"""The rules of the house that no compiler holds: who may import whom, and that dvc.yaml knows what a stage needs."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from tasks.code.versions import read_listed, stages
from tasks.contract.code import hash_stage, import_closure
from tasks.contract.settings import read_yaml
from tasks.contract.stage import Stage

ROOT = Path(__file__).parents[1]
GRAPH = read_yaml(ROOT / "dvc.yaml")
STAGES = sorted(set(GRAPH["stages"]) - {"code"})
ROOMS = sorted(path.parent.name for path in ROOT.glob("tasks/*/__main__.py"))
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


def test_the_ground_floor_imports_no_stage() -> None:
    assert offenders("tasks/contract", *(f"tasks.{room}" for room in ROOMS), "tasks.recipe") == []


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


@pytest.mark.parametrize("stage", STAGES)
def test_dvc_and_the_stage_agree_on_inputs_and_outputs(stage: str) -> None:
    declared: Stage = import_module(f"tasks.{stage}.__main__").STAGE
    spec = GRAPH["stages"][stage]["do"]
    outs = [name for kind in ("outs", "metrics", "plots") for entry in spec.get(kind, []) for name in names(entry)]
    prefix = "data/${key}/"
    assert sorted(outs) == sorted(prefix + name for name in declared.outputs)
    deps = [dep for dep in spec["deps"] if dep.startswith(prefix)]
    assert sorted(deps) == sorted(prefix + name for name in declared.inputs)
    assert spec["cmd"] == f"python -m tasks.{stage} ${{key}}"
    assert declared.name == stage


@pytest.mark.parametrize("stage", STAGES)
def test_no_output_switches_off_the_run_cache(stage: str) -> None:
    spec = GRAPH["stages"][stage]["do"]
    options = [
        options for kind in ("outs", "metrics", "plots") for entry in spec.get(kind, []) for options in opts(entry)
    ]
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
    assert read and read <= set(sections)


def test_dvc_fans_out_over_the_recipes_that_there_are() -> None:
    (wired,) = [item["recipes"] for item in GRAPH["vars"] if "recipes" in item]
    assert sorted(wired) == sorted(path.stem for path in (ROOT / "recipes").glob("*.yaml"))


def test_importing_a_module_of_ours_has_no_weight_and_no_side_effect(tmp_path: Path) -> None:
    modules = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for path in sorted((ROOT / "tasks").rglob("*.py"))
        if path.parent.name != "served"  # MLflow runs them, to serve a model; none of ours imports them
    ]
    script = (
        f"import sys\nsys.path.insert(0, {str(ROOT)!r})\nfrom importlib import import_module\n"
        f"for name in {modules!r}: import_module(name)\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True)
    assert (done.stdout.strip(), done.stderr, list(tmp_path.iterdir())) == ("[]", "", [])


def names(entry: Any) -> list[str]:
    return list(entry) if isinstance(entry, dict) else [entry]


def opts(entry: Any) -> list[dict[str, Any]]:
    return list(entry.values()) if isinstance(entry, dict) else []
