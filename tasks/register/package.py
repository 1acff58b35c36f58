"""The model in MLflow's format: `artifacts/model` inside it is a plain Hugging Face folder with the model card.

    MLmodel, requirements.txt, …   how MLflow loads it: the code of `served`, pinned libraries, the signature
    artifacts/model/               safetensors, config, tokenizer, README.md; for `AutoModelForCausalLM.from_pretrained`

It is stored once, as a logged model of the run; a version of the registered model points to it.
"""

import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.register.card import model_card
from tasks.register.evidence import Evidence

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel, Run
    from mlflow.models import ModelSignature

REQUIREMENTS = ("mlflow", "torch", "transformers", "tokenizers", "safetensors", "numpy")
SERVED = Path(__file__).with_name("served.py")
SHA256 = "gristmill.model_sha256"
EXAMPLE = ["ROMEO:"]


def log_model(client: "MlflowClient", run: "Run", evidence: Evidence) -> "LoggedModel":
    """The logged model of the run with these weights; stored now where it is not yet."""
    from mlflow.entities import LoggedModelOutput

    found = client.search_logged_models(
        [run.info.experiment_id],
        f"tags.`{SHA256}` = '{evidence.model_sha256}' AND source_run_id = '{run.info.run_id}'",
    )
    for model in found:
        if str(model.status) == "READY":
            return model
        client.delete_logged_model(model.model_id)  # a crash left it half stored
    model = client.create_logged_model(
        run.info.experiment_id, name=evidence.recipe, source_run_id=run.info.run_id,
        tags={SHA256: evidence.model_sha256}, model_type=str(evidence.settings.get("task", "causal-lm")),
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        _save(Path(folder), evidence, model, run)
        client.log_model_artifacts(model.model_id, str(Path(folder) / "mlflow"))
    client.log_outputs(run.info.run_id, [LoggedModelOutput(model.model_id, step=0)])
    return client.finalize_logged_model(model.model_id, "READY")


def _save(folder: Path, evidence: Evidence, model: "LoggedModel", run: "Run") -> None:
    """Write `<folder>/mlflow`; nothing is loaded or run for it."""
    import mlflow.pyfunc
    from mlflow.models import Model

    mlflow.pyfunc.save_model(
        folder / "mlflow",
        python_model=str(SERVED),
        artifacts={"model": str(evidence.folder / "model")},
        signature=_signature(),
        input_example=EXAMPLE,
        pip_requirements=[f"{name}=={version(name).partition('+')[0]}" for name in REQUIREMENTS],
        mlflow_model=Model(model_id=model.model_id, model_uuid=model.model_id, run_id=run.info.run_id),
    )
    card = folder / "mlflow" / "artifacts" / "model" / "README.md"
    card.write_text(model_card(evidence), encoding="utf-8")


def _signature() -> "ModelSignature":
    """Texts in, texts out, and the parameters of sampling with their defaults."""
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema

    return ModelSignature(
        inputs=Schema([ColSpec(DataType.string)]),
        outputs=Schema([ColSpec(DataType.string)]),
        params=ParamSchema(
            [
                ParamSpec("max_new_tokens", DataType.long, 200),
                ParamSpec("temperature", DataType.double, 0.8),
                ParamSpec("top_k", DataType.long, 50),
                ParamSpec("top_p", DataType.double, 1.0),
                ParamSpec("seed", DataType.long, 0),
            ]
        ),
    )
