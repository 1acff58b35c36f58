"""Attests a version of a registered model: everything is hashed, held against dvc.lock and MLflow, and signed.

The attestation is kept with the version: in its run, and in its logged model, so that it comes along with a download.
The files of its stages must be in data/<recipe>: nothing is signed that cannot be hashed again here.
"""

import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.attest.bom import Energy, write_bom
from tasks.attest.fetch import fetch, logged_model
from tasks.attest.keys import read_private
from tasks.attest.layout import (
    ATTESTATION,
    BOM,
    CARD,
    METRICS,
    MODEL,
    SIGNATURE,
    STAGES,
    STATEMENT,
    SUFFIX,
    Layout,
    find_layout,
)
from tasks.attest.lock import Link, read_chain
from tasks.attest.statements import model_statement, sign, stage_statement
from tasks.attest.verify import verify
from tasks.register.package import SHA256, note_files
from tasks.register.reference import Reference, find_reference
from tasks.register.registry import METRIC, VALUE
from tasks.register.results import Results, read_results
from tasks.stage.errors import GristmillError
from tasks.stage.identity import hash_file
from tasks.stage.scratch import scratch
from tasks.tracking.client import IDENTITY, connect, lost_is_transient

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel
    from mlflow.entities.model_registry import ModelVersion
    from securesystemslib.signer import CryptoSigner

ATTESTED = "gristmill.attested"
"""The tag of an attested version: when, and the id of the key."""
COMMIT, DIRTY = "mlflow.source.git.commit", "gristmill.git.dirty"
POWER = "system/gpu_{}_power_usage_watts"
"""MLflow's system metric of a GPU."""


@dataclass(frozen=True)
class Attested:
    """What was attested."""

    name: str
    key_id: str
    stages: int
    files: int


def attest(text: str, key: Path, passphrase: str | None = None, out: Path | None = None) -> Attested:
    """Attest the version that `text` names, keep the attestation in MLflow, and write model and attestation to `out`.

    Raises GristmillError for a bad key, an unknown version, one whose files are not in data/<recipe>, and a file that
    differs from dvc.lock; TransientError if a tracking server is away.
    """
    signer = read_private(key, passphrase)
    if out is not None and out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise GristmillError(f"{out}: exists already; name a new folder")
    client = connect()
    found = find_reference(client, text)
    with lost_is_transient():
        logged = logged_model(client, found)
    version = found.version
    assert version is not None
    results = read_results(found.recipe)
    _require_same(found, version, results)
    chain = read_chain(found.recipe)
    with scratch("attest") as folder:
        with lost_is_transient():
            stored = find_layout(fetch(logged, folder), in_registry=True)
            energy = _energy(client, found, results)
        layout = Layout(stored.root, folder / ATTESTATION, stored.in_mlflow, in_registry=True)
        _require_stored(found.name, layout, chain, results)
        _write(layout, found, version, results, chain, signer, energy)
        _sign_model(layout, key, passphrase)
        _write_statement(layout, found, version, results, signer)
        _require_verified(layout, key, signer, folder)
        with lost_is_transient():
            _keep(client, found, version, logged, layout, signer)
        if out is not None:
            _write_out(layout, out)
        return Attested(found.name, signer.public_key.keyid, len(chain), len(layout.files()))


def _require_same(found: Reference, version: "ModelVersion", results: Results) -> None:
    """Raises GristmillError unless data/<recipe> is what the version was made from."""
    wanted, metric = version.tags.get(IDENTITY, ""), version.tags.get(METRIC, "")
    if wanted != results.identity or version.tags.get(SHA256) != results.model_sha256:
        take = f"mlflow artifacts download -r {found.run.info.run_id} -d . -a"
        raise GristmillError(
            f"data/{found.recipe} holds training {results.identity[:12]}, but {found.name} is training {wanted[:12]}; "
            f"its files come back with: {take} dvc.lock; {take} recipes; "
            f"dvc checkout --with-deps evaluate@{found.recipe}"
        )
    if version.tags.get(VALUE) != repr(float(results.metrics.get(metric, float("nan")))):
        raise GristmillError(
            f"data/{found.recipe}/evaluation/metrics.json: {metric} is not that of {found.name}; "
            f"run `gristmill run {found.recipe}` to record it"
        )


def _require_stored(name: str, layout: Layout, chain: list[Link], results: Results) -> None:
    """Raises GristmillError unless MLflow stores the model that the stage `train` wrote."""
    there = {name: hash_file(path) for name, path in _model_files(layout).items()}
    wanted = _trained(chain, results.recipe)
    for file in sorted(there | wanted):
        if there.get(file) != wanted.get(file):
            raise GristmillError(
                f"{file}: of {name} in MLflow is not that of data/{results.recipe}; "
                f"`gristmill run {results.recipe}` stores it again"
            )


def _model_files(layout: Layout) -> dict[str, Path]:
    """The files of the model that are signed: all but its card."""
    return {name: path for name, path in layout.files().items() if name.startswith(f"{MODEL}/") and name != CARD}


def _trained(chain: list[Link], recipe: str) -> dict[str, str]:
    """The model as `train` wrote it: name in statements → SHA-256."""
    folder = f"data/{recipe}/"
    return {
        file.path.removeprefix(folder): file.sha256
        for link in chain if link.address == f"train@{recipe}"
        for file in link.outputs if file.path.startswith(f"{folder}{MODEL}/")
    }  # fmt: skip


def _write(
    layout: Layout, found: Reference, version: "ModelVersion", results: Results, chain: list[Link],
    signer: "CryptoSigner", energy: Energy | None,
) -> None:  # fmt: skip
    """Write the statements of the stages, the bill of materials and the evaluation."""
    for link in chain:
        _put(layout, f"{STAGES}/{link.address}{SUFFIX}", sign(stage_statement(link), signer))
    model = _trained(chain, results.recipe)
    bom = write_bom(version.name, str(version.version), results, chain, model, energy)
    _put(layout, BOM, bom.encode())
    _put(layout, METRICS, (results.folder / "evaluation" / "metrics.json").read_bytes())


def _sign_model(layout: Layout, key: Path, passphrase: str | None) -> None:
    """Sign the model's files by OpenSSF's `model-signing`."""
    from model_signing import hashing, signing

    password: Any = None if passphrase is None else passphrase.encode()  # it says `str` and hands it on as bytes
    card = CARD.removeprefix(f"{MODEL}/")
    config = hashing.Config().set_ignored_paths(paths=[card], ignore_git_paths=False)
    signature = signing.Config().use_elliptic_key_signer(private_key=key, password=password)
    signature.set_hashing_config(config).sign(layout.model, layout.attested(SIGNATURE))


def _write_statement(
    layout: Layout, found: Reference, version: "ModelVersion", results: Results, signer: "CryptoSigner"
) -> None:
    """Write the statement about the model, which binds all other files."""
    files = {name: hash_file(path) for name, path in layout.files().items() if name != STATEMENT}
    signed = _model_files(layout)
    stages = {name: sha for name, sha in files.items() if name.startswith(f"{STAGES}/")}
    tags = found.run.data.tags
    statement = model_statement(
        subjects={name: files[name] for name in signed},
        external={"model": version.name, "version": str(version.version), "recipe": found.recipe},
        internal={
            "identity": results.identity,
            "task": results.task,
            "metric": version.tags.get(METRIC, ""),
            "value": version.tags.get(VALUE, ""),
            "uncommitted_changes": tags.get(DIRTY, "unknown"),
            "attested": _now(),
        },
        stages=stages,
        byproducts={name: sha for name, sha in files.items() if name not in signed and name not in stages},
        run_id=found.run.info.run_id,
        commit=tags.get(COMMIT),
    )
    _put(layout, STATEMENT, sign(statement, signer))


def _require_verified(layout: Layout, key: Path, signer: "CryptoSigner", folder: Path) -> None:
    """Nothing is kept that `verify` would refuse: a file may have changed since it was hashed."""
    public = folder / "public.pem"
    public.write_text(signer.public_key.keyval["public"], encoding="utf-8")
    if problems := verify(layout, public).problems:
        raise GristmillError(f"a file changed while it was attested, so nothing was kept: {problems[0]}; try again")


def _keep(
    client: "MlflowClient", found: Reference, version: "ModelVersion", logged: "LoggedModel", layout: Layout,
    signer: "CryptoSigner",
) -> None:  # fmt: skip
    """Keep the attestation in the run and in the logged model, and note it on the version."""
    client.log_artifacts(found.run.info.run_id, str(layout.attestation), ATTESTATION)
    with scratch("attestation") as folder:
        shutil.copytree(layout.attestation, folder / ATTESTATION)
        client.log_model_artifacts(logged.model_id, str(folder))
    note_files(client, logged)
    told = f"{_now()} by key {signer.public_key.keyid[:12]}"
    client.set_model_version_tag(version.name, version.version, ATTESTED, told)


def _write_out(layout: Layout, out: Path) -> None:
    """Write model and attestation into a new folder, all or nothing."""
    partial = out.with_name(f".partial-{out.name}")
    shutil.rmtree(partial, ignore_errors=True)
    shutil.copytree(layout.model, partial / MODEL)
    shutil.copytree(layout.attestation, partial / ATTESTATION)
    if out.exists():
        out.rmdir()
    partial.replace(out)


def _energy(client: "MlflowClient", found: Reference, results: Results) -> Energy | None:
    """The energy of the GPUs, from the power that MLflow sampled during training; None if it sampled none."""
    seconds = results.timing.get("seconds")
    watts: list[float] = []
    while POWER.format(len(watts)) in found.run.data.metrics:
        points = client.get_metric_history(found.run.info.run_id, POWER.format(len(watts)))
        watts.append(sum(point.value for point in points) / len(points))
    if not watts or not isinstance(seconds, (int, float)):
        return None
    source = f"{len(watts)} GPUs alone: mean of MLflow's samples of their power × seconds of training"
    return Energy(sum(watts) * seconds / 3.6e6, source)


def _put(layout: Layout, name: str, content: bytes) -> None:
    path = layout.attested(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
