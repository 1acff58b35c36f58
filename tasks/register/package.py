"""The model in MLflow's format: `artifacts/model` inside it is a plain Hugging Face folder with the model card.

    MLmodel, requirements.txt, …   how MLflow loads it: the code of `tasks.serve`, pinned libraries, the signature
    artifacts/model/               safetensors, config, tokenizer, README.md; for `from_pretrained` of `transformers`
    artifacts/<variant>/           the same of each variant (`compress`), served with GRISTMILL_VARIANT=<variant>

It is stored once, as a logged model of the run, and versions of the registered model point to it. Its weights never
change. The rest is updated in place when the evaluation, the signature's defaults or the code of `tasks.serve` change.
"""

import re
import shutil
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.register.artifacts import find_files, holds, mark
from tasks.register.card import model_card
from tasks.register.results import Results
from tasks.register.schema import KINDS, defaults, example, signature
from tasks.stage.identity import fingerprint, hash_tree
from tasks.stage.scratch import scratch

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel, Run

REQUIREMENTS = ("mlflow", "torch", "transformers", "tokenizers", "sentencepiece", "safetensors", "numpy")
TEMPLATES = ("jinja2",)
"""Chat: more requirements."""
TASKS = Path(__file__).parents[1]
ALONE = (
    "formats/text_ids.py", "formats/precision.py", "quantize/layers.py", "quantize/reading.py", "serve/server.py",
    "serve/shared.py",
)  # fmt: skip
"""Files that every served model includes, before its own."""
REPETITION = "formats/repetition.py"
MORE = {
    "pairs": (REPETITION,),
    "chat": (
        REPETITION, "formats/chat_ids.py", "serve/completions.py", "serve/answering.py", "serve/routes.py",
    ),
}  # fmt: skip
"""Files that a kind of model also includes."""
IMPORTED = re.compile(r"^from tasks\.(?:formats|quantize|serve)\.\w+ import .+\n", re.MULTILINE)
MODEL = "model"
"""The artifact of the model itself."""
WEIGHTS = "*.safetensors"
SHA256 = "gristmill.model_sha256"
AROUND = "gristmill.package"
"""The tag with the hash of everything but the weights."""
FILES = "gristmill.files"
"""The tag with the hash of all stored files."""


def log_model(client: "MlflowClient", run: "Run", results: Results) -> "LoggedModel":
    """The logged model of the run with these weights, stored or updated if need be.

    Raises DataError if the evaluation does not state how it used the model.
    """
    from mlflow.entities import LoggedModelOutput

    around = fingerprint(
        [
            served_code(results.task),
            signature(results).to_dict(),
            example(results),
            model_card(results),
            {name: hash_tree(folder) for name, folder in _folders(results).items() if name != MODEL},
        ]
    )
    found = client.search_logged_models(
        [run.info.experiment_id], f"tags.`{SHA256}` = '{results.model_sha256}' AND source_run_id = '{run.info.run_id}'"
    )
    for model in found:
        if str(model.status) == "READY":
            there = _files(client, model)
            if model.tags.get(FILES) != fingerprint(there) or model.tags.get(AROUND) != around:
                _store(client, run, results, model, around, weights=not holds(there, _weights(results, model)))
            return model
        client.delete_logged_model(model.model_id)  # half stored: a crash
    model = client.create_logged_model(
        run.info.experiment_id, name=results.recipe, source_run_id=run.info.run_id,
        tags={SHA256: results.model_sha256}, model_type=results.task,
    )  # fmt: skip
    _store(client, run, results, model, around, weights=True)
    client.log_outputs(run.info.run_id, [LoggedModelOutput(model.model_id, step=0)])
    return client.finalize_logged_model(model.model_id, "READY")


def _folders(results: Results) -> dict[str, Path]:
    """The folders of the model and its variants, by the name of their artifact."""
    variants = {name: results.folder / "variants" / name for name in results.variants if name != MODEL}
    return {MODEL: results.folder / "model", **variants}


def is_whole(client: "MlflowClient", model: "LoggedModel") -> bool:
    """Whether all stored files of a logged model are there, as they were stored."""
    return model.tags.get(FILES) == fingerprint(_files(client, model))


def served_code(task: str) -> str:
    """A self-contained file: how texts are read, the base class, and the class for the task."""
    files = (*ALONE, *MORE.get(KINDS[task], ()), f"serve/{KINDS[task]}.py")
    return IMPORTED.sub("", "\n\n".join((TASKS / name).read_text(encoding="utf-8") for name in files))


def note_files(client: "MlflowClient", model: "LoggedModel") -> None:
    """Note the stored files as they are now, so that the next registration leaves them alone."""
    client.set_logged_model_tags(model.model_id, {FILES: fingerprint(_files(client, model))})


def _files(client: "MlflowClient", model: "LoggedModel") -> dict[str, str]:
    """The stored files; see `tasks.register.artifacts`."""
    return find_files(model.artifact_location, partial(client.list_logged_model_artifacts, model.model_id))


def _weights(results: Results, model: "LoggedModel") -> dict[str, str]:
    """The weights as they must be stored."""
    return {f"artifacts/{place}": mark(path, model.artifact_location) for place, path in _weight_files(results).items()}


def _weight_files(results: Results) -> dict[str, Path]:
    """All files with weights, by their place among the artifacts."""
    return {
        f"{name}/{path.relative_to(folder).as_posix()}": path.resolve()
        for name, folder in _folders(results).items()
        for path in folder.rglob(WEIGHTS)
    }


def _store(
    client: "MlflowClient", run: "Run", results: Results, model: "LoggedModel", around: str, weights: bool
) -> None:
    """Write all files of the logged model, or all but the weights, and note what is there now."""
    with scratch("register") as folder:
        for name, source in _folders(results).items():
            shutil.copytree(source.resolve(), folder / name, ignore=shutil.ignore_patterns(WEIGHTS))
        (folder / MODEL / "README.md").write_text(model_card(results), encoding="utf-8")
        _save(folder, results, model, run)
        if weights:
            for place, path in _weight_files(results).items():  # MLflow copies what a link points to
                (folder / "mlflow" / "artifacts" / place).symlink_to(path)
        client.log_model_artifacts(model.model_id, str(folder / "mlflow"))
    client.set_logged_model_tags(model.model_id, {AROUND: around, FILES: fingerprint(_files(client, model))})


def _save(folder: Path, results: Results, model: "LoggedModel", run: "Run") -> None:
    """Write `<folder>/mlflow` around the model's folders in `folder`, which lack weights; loads and runs nothing."""
    import mlflow.pyfunc
    from mlflow.models import Model

    code = folder / "served.py"
    code.write_text(served_code(results.task), encoding="utf-8")
    chats = KINDS[results.task] == "chat"
    more: dict[str, Any] = {}
    if chats:
        more = {
            "model_config": {"name": results.recipe, "params": defaults(results)}, "metadata": {"task": "llm/v1/chat"},
        }  # fmt: skip
    names = (*REQUIREMENTS, *(TEMPLATES if chats else ()))
    mlflow.pyfunc.save_model(
        folder / "mlflow",
        python_model=str(code),
        artifacts={name: str(folder / name) for name in _folders(results)},
        signature=signature(results),
        input_example=example(results),
        pip_requirements=[f"{name}=={version(name).partition('+')[0]}" for name in names],
        mlflow_model=Model(model_id=model.model_id, model_uuid=model.model_id, run_id=run.info.run_id),
        **more,
    )
    record = Model.load(str(folder / "mlflow"))
    weights = sum(path.stat().st_size for path in _weight_files(results).values())
    record.model_size_bytes = (record.model_size_bytes or 0) + weights
    record.save(str(folder / "mlflow" / "MLmodel"))
