"""Where the files of an attested model are.

name in statements    written out       model folder of MLflow
model/…               model/…           artifacts/model/…
attestation/…         attestation/…     attestation/…
mlflow/…              (left out)        …
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

MODEL, ATTESTATION, MLFLOW = "model", "attestation", "mlflow"
CARD = f"{MODEL}/README.md"
"""The model card: a later register writes it again if its text changes, so `model.sig` leaves it out."""
STAGES = f"{ATTESTATION}/stages"
STATEMENT, SIGNATURE, BOM, METRICS = (
    f"{ATTESTATION}/{name}" for name in ("model.intoto.jsonl", "model.sig", "bom.cdx.json", "metrics.json")
)
SUFFIX = ".intoto.jsonl"
LOADED = "registered_model_meta"
"""A file that MLflow adds to a model when it downloads it."""


@dataclass(frozen=True)
class Layout:
    """A folder with a model and its attestation."""

    root: Path
    attestation: Path
    in_mlflow: bool
    """Whether it is a model folder of MLflow, with MLmodel and the code around the model."""
    in_registry: bool = False
    """Whether MLflow loads the model here, which leaves compiled code beside its own."""

    @property
    def model(self) -> Path:
        """The model in Hugging Face format."""
        return self.root / ("artifacts/model" if self.in_mlflow else MODEL)

    def attested(self, name: str) -> Path:
        """The file of the attestation with this name in statements."""
        return self.attestation / name.removeprefix(f"{ATTESTATION}/")

    def files(self) -> dict[str, Path]:
        """All that is in the folder, by its name in statements; links are not followed."""
        found = {f"{ATTESTATION}/{name}": path for name, path in _walk(self.attestation)}
        for name, path in _walk(self.root):
            if name.startswith(f"{ATTESTATION}/") or (self.in_registry and path.suffix == ".pyc"):
                continue
            if path.is_relative_to(self.model):
                found[f"{MODEL}/{path.relative_to(self.model).as_posix()}"] = path
            elif not self.in_mlflow:
                found[name] = path
            elif name != LOADED:
                found[f"{MLFLOW}/{name}"] = path
        return dict(sorted(found.items()))


def find_layout(root: Path, in_registry: bool = False) -> Layout:
    """The layout of a folder."""
    return Layout(root, root / ATTESTATION, (root / "MLmodel").exists(), in_registry)


def _walk(root: Path) -> Iterator[tuple[str, Path]]:
    """All files, and links to folders, with their names relative to `root`."""
    for folder, folders, files in os.walk(root):
        links = [name for name in folders if Path(folder, name).is_symlink()]
        for name in (*files, *links):
            path = Path(folder, name)
            yield path.relative_to(root).as_posix(), path
