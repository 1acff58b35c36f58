"""Versions of a registered model without a training: a run with a file, and a version that points to it."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from tasks.register.aliases import crown
from tasks.register.ledger import Event, read_ledger
from tasks.register.promotion import Decision
from tasks.register.registered import read_registered
from tasks.register.seen import keep

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion


def add_version(client: "MlflowClient", name: str = "tiny") -> "ModelVersion":
    """A new version with one stored file, `<number>/weights` of its run."""
    number = str(len(client.search_model_versions(f"name = '{name}'")) + 1)
    experiment = client.get_experiment_by_name("versions")
    place = client.create_experiment("versions") if experiment is None else experiment.experiment_id
    run = client.create_run(place, tags={"mlflow.source.git.commit": "c0ffee"})
    with TemporaryDirectory() as folder:
        Path(folder, "weights").write_text(number)
        client.log_artifact(run.info.run_id, f"{folder}/weights", number)
    tags = {"gristmill.identity": number * 64, "gristmill.recipe": name}
    return client.create_model_version(name, f"{run.info.artifact_uri}/{number}", run.info.run_id, tags)


def make_champions(count: int, name: str = "tiny") -> None:
    """So many versions, each of which became champion when it was registered."""
    from mlflow import MlflowClient

    client = MlflowClient()
    client.create_registered_model(name)
    for number in range(1, count + 1):
        version = add_version(client, name)
        model = read_registered(client, name)
        assert model is not None
        crown(client, model, version, Decision("champion", f"better: 2.{9 - number}"))
        keep(name, model)


def events(name: str = "tiny") -> tuple[Event, ...]:
    """The events of the ledger, which must have no faults that no event tells."""
    from mlflow import MlflowClient

    model = read_registered(MlflowClient(), name)
    assert model is not None
    return read_ledger(model).events


def kinds(name: str = "tiny") -> list[tuple[str, int | None, int | None, int | None]]:
    """(event, version, champion before, champion after) of each event."""
    return [(event.event, event.version, event.before, event.after) for event in events(name)]
