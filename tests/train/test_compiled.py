"""Compiled trainings: when, how exactly, how they go on, and what happens without a compiler."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tasks.stage.errors import GristmillError
from tasks.stage.run import run
from tasks.train.__main__ import STAGE
from tasks.train.compiled import WORK, keep_cache, wanted
from tasks.train.plan import Plan
from tests.train.conftest import refuses, trained
from tests.train.test_families import project as of_family  # noqa: F401  a fixture
from tests.train.test_loop import plan_of
from tests.train.test_training import outputs, rows

DROPPED = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32,
           "attention_dropout": 0.3}  # fmt: skip
Project = Callable[..., Path]


@pytest.fixture(autouse=True)
def compiling(monkeypatch: pytest.MonkeyPatch) -> None:
    """All that is compiled here is kept in one place for all tests."""
    monkeypatch.setenv("GRISTMILL_COMPILE", "on")
    if "TORCHINDUCTOR_CACHE_DIR" not in os.environ:
        monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(Path(__file__).parents[1] / "__pycache__" / "inductor"))


def details(folder: Path) -> dict[str, Any]:
    report: dict[str, Any] = json.loads((folder / "training/report.json").read_text())["details"]
    return report


def result(folder: Path) -> list[bytes]:
    return [(folder / name).read_bytes() for name in ("model/model.safetensors", "training/history.csv")]


def losses(folder: Path) -> list[float]:
    return [float(row["loss"]) for row in rows(folder)]


def test_no_compiled_kernel_adds_up_in_the_order_of_its_threads(
    project: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "kernels"))
    monkeypatch.setenv("GRISTMILL_WORKERS", "2")
    folder = trained(project, "gpt2", {"n_embd": 16, "n_layer": 1, "n_head": 2})
    assert details(folder)["compiled"] is True
    kernels = list((tmp_path / "kernels").rglob("*.cpp"))
    assert kernels and not [path for path in kernels if "atomic_add" in path.read_text()]


@pytest.mark.slow
def test_a_compiled_training_is_exact_goes_on_to_the_byte_and_says_what_it_is(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torch._dynamo.utils import counters

    settings: dict[str, Any] = {"accumulation": 2, "optimizer": {"name": "adamw"}}
    folder = trained(project, "llama", DROPPED, **settings)
    whole, compiled = outputs(folder), details(folder)
    assert compiled["compiled"] is True

    monkeypatch.setenv("GRISTMILL_STOP_AFTER", "6")
    counters["aot_autograd"].clear()
    with pytest.raises(GristmillError, match="stopped after step 6"):
        run(STAGE, "tiny")
    assert counters["aot_autograd"]["autograd_cache_hit"] and not counters["aot_autograd"]["autograd_cache_bypass"]
    monkeypatch.delenv("GRISTMILL_STOP_AFTER")
    run(STAGE, "tiny")
    assert json.loads((folder / "checkpoints" / compiled["identity"] / "timing.json").read_text())["resumed_at"] == 4
    assert outputs(folder) == whole, "dropout or a sum was another after the stop"

    monkeypatch.setenv("CXX", "/bin/false")
    monkeypatch.setattr("torch._inductor.config.cpp.cxx", ("/bin/false",))
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(Path("nothing").absolute()))
    run(STAGE, "tiny")
    broken = outputs(folder)
    monkeypatch.setenv("GRISTMILL_COMPILE", "off")
    run(STAGE, "tiny")
    assert outputs(folder) == broken, "it is not the eager training"
    assert "compiled" not in details(folder) and details(folder)["identity"] != compiled["identity"]


@pytest.mark.slow
def test_without_dropout_a_compiled_training_has_the_curve_of_an_eager_one(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = trained(project, "llama")
    quick = losses(folder)
    monkeypatch.setenv("GRISTMILL_COMPILE", "off")
    trained(project, "llama")
    assert losses(folder) == pytest.approx(quick, rel=1e-3) and quick[-1] < quick[0] - 0.1


def plan(**train: Any) -> Plan:
    return plan_of(Path(), **train)


def test_auto_decides_by_the_work_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRISTMILL_COMPILE", "auto")
    of = {"steps": 500, "accumulation": 2, "batch_size": 10, "context_length": 100}
    enough = round(WORK["cpu"] / 6 / (500 * 2 * 10 * 100))
    assert wanted(plan(**of), enough + 1) and not wanted(plan(**of), enough - 1)
    monkeypatch.setenv("GRISTMILL_COMPILE", "off")
    assert not wanted(plan(**of), enough + 1)
    monkeypatch.setenv("GRISTMILL_COMPILE", "on")
    assert wanted(plan(**of), 1)


@pytest.mark.parametrize(
    ("name", "sentence"),
    {
        "COMPILE": "'yes' is not one of auto, on, off",
        "STOP_AFTER": "'yes' is not an integer >= 1",
        "PROGRESS": "'yes' is not an integer >= 1",
        "WORKERS": "'yes' is not an integer >= 1",
        "CHECKPOINT_MINUTES": "'yes' is not a number of minutes >= 0",
    }.items(),
)
def test_another_word_is_told_before_anything_is_written(
    project: Project, monkeypatch: pytest.MonkeyPatch, name: str, sentence: str
) -> None:
    monkeypatch.setenv(f"GRISTMILL_{name}", "yes")
    project()
    refuses(GristmillError, f"^GRISTMILL_{name}: {sentence}$")
    assert not Path("data/tiny/checkpoints").exists()


def test_the_cache_is_kept_for_the_next_run_and_rid_of_older_versions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR")
    kept = []
    monkeypatch.setattr("tasks.train.compiled._held", kept)
    old = tmp_path / "data/.compiled/1.0-abc"
    old.mkdir(parents=True)
    keep_cache()
    folder = Path(os.environ["TORCHINDUCTOR_CACHE_DIR"])
    assert folder.parent == old.parent and folder.name.startswith(torch.__version__) and not old.exists()

    (folder / "code").write_bytes(b"1" * 100)
    old.mkdir()
    monkeypatch.setattr("tasks.train.compiled.KEPT_BYTES", 99)
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR")
    keep_cache()
    assert old.exists() and (folder / "code").exists(), "cleared while another training uses it"
    while kept:
        kept.pop().close()
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR")
    keep_cache()
    assert not old.exists() and not list(folder.iterdir())


FAMILIES: list[tuple[str, str, dict[str, Any]]] = [
    ("translation", "marian", {"label_smoothing": 0.1}),
    ("summarization", "t5", {}),
    ("summarization", "gpt2", {"source_length": 30, "target_length": 30}),
    ("masked-lm", "bert", {}),
    ("masked-lm", "bert", {"next_sentence": True}),
    ("classification", "bert", {}),
]


@pytest.mark.slow
@pytest.mark.parametrize(("task", "architecture", "train"), FAMILIES)
def test_every_task_compiles_and_goes_on_to_the_byte(
    of_family: Project,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    task: str,
    architecture: str,
    train: dict[str, Any],
) -> None:
    folder = of_family(task, architecture, steps=12, checkpoint_every=4, evaluate_every=6, log_every=2, **train)
    run(STAGE, "tiny")
    whole = result(folder)
    assert details(folder)["compiled"] is True
    monkeypatch.setenv("GRISTMILL_STOP_AFTER", "7")
    with pytest.raises(GristmillError, match="stopped after step 7"):
        run(STAGE, "tiny")
    monkeypatch.delenv("GRISTMILL_STOP_AFTER")
    run(STAGE, "tiny")
    assert result(folder) == whole
