"""The stage `export`: format by format."""

import shutil
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tasks.export.compare import Outcome, compare_gguf, compare_onnx
from tasks.export.gguf_files import require_gguf, write_gguf
from tasks.export.gguf_run import llama_cpp
from tasks.export.onnx_files import convert, quantize
from tasks.export.onnx_parts import parts_of
from tasks.export.onnx_run import OnnxModel
from tasks.export.settings import ExportSettings, GgufSettings, OnnxSettings
from tasks.formats.model_inputs import load_model, read_inputs
from tasks.stage.errors import DataError, RecipeError
from tasks.stage.run import Job, Report, write_json
from tasks.stage.runtime import workers
from tasks.stage.settings import read_section, recipe_path
from tasks.stage.task import read_task
from tasks.workers.system import MODELS, prepare

SPEED = "export-speed.json"
ROWS = 32
"""Rows of text that each format is compared on."""
BESIDE = ("*.safetensors*", "adapter", "generation_config.json")
"""Files of the model folder that ONNX Runtime does not need."""
NEEDS = {"onnx": ("onnx", "onnxscript", "onnxruntime"), "gguf": ("xllamacpp",)}
"""The libraries of each format that are not installed by default."""

Made = tuple[str, Path, Outcome]
"""Name, file or folder, and how it compares."""


def export(job: Job) -> Report:
    """Write and compare all formats. Raises RecipeError and DataError for errors the user can fix."""
    task, settings = read_task(job.recipe), read_section(job.recipe, "export", ExportSettings)
    where = f"{recipe_path(job.recipe)}: export"
    for name, needed in NEEDS.items():
        absent = [library for library in needed if not find_spec(library)]
        if getattr(settings, name) is not None and absent:
            told = f"needs {', '.join(absent)}; install them: pip install 'gristmill[export]'"
            raise RecipeError(f"{where}.{name}: {told}")
    prepare(*MODELS)
    import torch

    torch.set_num_threads(workers())
    source, folder = job.input("model"), job.output("exported")
    folder.mkdir()
    model = load_model(source, task)
    rows = read_inputs(job.input("tokens/validation"), task, model, ROWS)
    made: list[Made] = []
    if settings.onnx is not None:
        made += _onnx(model, task, source, folder, settings.onnx, rows, f"{where}.onnx")
    if settings.gguf is not None:
        made += _gguf(model, task, source, folder, settings.gguf, rows, f"{where}.gguf")
    details = {name: outcome.to_json(path, len(rows)) for name, path, outcome in made}
    for name, _, outcome in made:
        told = f"{details[name]['bytes']:,} bytes, at most {outcome.difference:.2g} off"
        job.say(
            f"{name}: {told}, the same choice in {outcome.agreement:.2%}, {outcome.times_as_fast:.2f} times as fast"
        )
    write_json(job.folder / SPEED, {name: outcome.times_as_fast for name, _, outcome in made})
    return Report(produced={"formats": len(details)}, details=details)


def _onnx(
    model: Any, task: str, source: Path, folder: Path, settings: OnnxSettings, rows: list[Any], where: str
) -> Iterator[Made]:
    """Raises DataError for what torch cannot convert, and for a file that is further off than the tolerance."""
    plain = folder / "onnx"
    shutil.copytree(source, plain, ignore=shutil.ignore_patterns(*BESIDE))
    for part in parts_of(task, model):
        convert(part, plain, where)
    outcome = compare_onnx(OnnxModel(plain, workers()), model, rows)
    _require_near(outcome, settings.tolerance, "a logit", where)
    yield "onnx", plain, outcome
    if settings.int8:
        small = folder / "onnx-int8"
        shutil.copytree(plain, small, ignore=shutil.ignore_patterns("*.onnx*"))
        for path in sorted(plain.glob("*.onnx")):
            quantize(path, small / path.name)
        yield "onnx-int8", small, compare_onnx(OnnxModel(small, workers()), model, rows)


def _gguf(
    model: Any, task: str, source: Path, folder: Path, settings: GgufSettings, rows: list[Any], where: str
) -> Iterator[Made]:
    """Raises DataError for a model that llama.cpp does not know, and for a file that is off by more than allowed."""
    require_gguf(task, model, source, where)
    (folder / "gguf").mkdir()
    for kind in settings.types:
        path = folder / "gguf" / f"model-{kind}.gguf"
        write_gguf(task, model, source, path, kind)
        with llama_cpp(path, workers()) as runner:
            outcome = compare_gguf(runner, model, rows, f"{where}: {path.name}")
        if not kind.startswith("q"):
            _require_near(outcome, settings.tolerance, "a log-probability", where)
        yield f"gguf-{kind}", path, outcome


def _require_near(outcome: Outcome, tolerance: float, what: str, where: str) -> None:
    if not outcome.difference <= tolerance:
        told = f"{what} is {outcome.difference:.3g} off PyTorch's, more than {tolerance:g}"
        raise DataError(f"{where}.tolerance: {told}")
