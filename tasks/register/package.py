"""The model in MLflow's format: `artifacts/model` inside it is a plain Hugging Face folder with the model card.

    MLmodel, requirements.txt, …   how MLflow loads it: the code of `tasks.serve`, pinned libraries, the signature
    artifacts/model/               safetensors, config, tokenizer, README.md; for `from_pretrained` of `transformers`

It is stored once, as a logged model of the run, and versions of the registered model point to it. Its weights never
change. The rest is updated in place when the evaluation, the signature's defaults or the code of `tasks.serve` change.
"""

import re
import shutil
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.register.card import model_card
from tasks.register.results import Results
from tasks.register.schema import KINDS, example, signature
from tasks.stage.identity import fingerprint

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel, Run

REQUIREMENTS = ("mlflow", "torch", "transformers", "tokenizers", "sentencepiece", "safetensors", "numpy")
TASKS = Path(__file__).parents[1]
ALONE = ("formats/text_ids.py", "serve/shared.py")
"""Files that every served model includes, before its own."""
IMPORTED = re.compile(r"^from tasks\.(?:formats\.text_ids|serve\.shared) import .+\n", re.MULTILINE)
WEIGHTS = "*.safetensors"
SHA256 = "gristmill.model_sha256"
AROUND = "gristmill.package"
"""The tag with the hash of everything but the weights."""


def log_model(client: "MlflowClient", run: "Run", results: Results) -> "LoggedModel":
    """The logged model of the run with these weights, stored or updated if need be.

    Raises DataError if the evaluation does not state how it used the model.
    """
    from mlflow.entities import LoggedModelOutput

    around = fingerprint(
        [served_code(results.task), signature(results).to_dict(), example(results), model_card(results)]
    )
    found = client.search_logged_models(
        [run.info.experiment_id], f"tags.`{SHA256}` = '{results.model_sha256}' AND source_run_id = '{run.info.run_id}'"
    )
    for model in found:
        if str(model.status) == "READY":
            lost = _has_lost_files(client, results, model)
            if lost or model.tags.get(AROUND) != around:
                _store(client, run, results, model, weights=lost)
                client.set_logged_model_tags(model.model_id, {AROUND: around})
            return model
        client.delete_logged_model(model.model_id)  # half stored: a crash
    model = client.create_logged_model(
        run.info.experiment_id, name=results.recipe, source_run_id=run.info.run_id,
        tags={SHA256: results.model_sha256, AROUND: around}, model_type=results.task,
    )  # fmt: skip
    _store(client, run, results, model, weights=True)
    client.log_outputs(run.info.run_id, [LoggedModelOutput(model.model_id, step=0)])
    return client.finalize_logged_model(model.model_id, "READY")


def served_code(task: str) -> str:
    """A self-contained file: how texts are read, the base class, and the class for the task."""
    files = (*ALONE, f"serve/{KINDS[task]}.py")
    return IMPORTED.sub("", "\n\n".join((TASKS / name).read_text(encoding="utf-8") for name in files))


def _has_lost_files(client: "MlflowClient", results: Results, model: "LoggedModel") -> bool:
    """Whether files that loading needs were deleted."""
    there = {
        file.path
        for folder in (None, "artifacts/model")
        for file in client.list_logged_model_artifacts(model.model_id, folder)
    }
    weights = {f"artifacts/model/{path.name}" for path in (results.folder / "model").glob(WEIGHTS)}
    return not there.issuperset({"MLmodel", *weights})


def _store(client: "MlflowClient", run: "Run", results: Results, model: "LoggedModel", weights: bool) -> None:
    """Write all files of the logged model, or all but the weights."""
    source = (results.folder / "model").resolve()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copytree(source, folder / "model", ignore=shutil.ignore_patterns(WEIGHTS))
        (folder / "model" / "README.md").write_text(model_card(results), encoding="utf-8")
        _save(folder, results, model, run)
        if weights:
            for path in source.glob(WEIGHTS):  # MLflow copies what a link points to
                (folder / "mlflow" / "artifacts" / "model" / path.name).symlink_to(path)
        client.log_model_artifacts(model.model_id, str(folder / "mlflow"))


def _save(folder: Path, results: Results, model: "LoggedModel", run: "Run") -> None:
    """Write `<folder>/mlflow` around `<folder>/model`, which lacks its weights; loads and runs nothing."""
    import mlflow.pyfunc
    from mlflow.models import Model

    code = folder / "served.py"
    code.write_text(served_code(results.task), encoding="utf-8")
    mlflow.pyfunc.save_model(
        folder / "mlflow",
        python_model=str(code),
        artifacts={"model": str(folder / "model")},
        signature=signature(results),
        input_example=example(results),
        pip_requirements=[f"{name}=={version(name).partition('+')[0]}" for name in REQUIREMENTS],
        mlflow_model=Model(model_id=model.model_id, model_uuid=model.model_id, run_id=run.info.run_id),
    )
    record = Model.load(str(folder / "mlflow"))
    weights = sum(path.stat().st_size for path in (results.folder / "model").glob(WEIGHTS))
    record.model_size_bytes = (record.model_size_bytes or 0) + weights
    record.save(str(folder / "mlflow" / "MLmodel"))
