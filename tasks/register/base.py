"""The model that a recipe started from, as reported by the stage `base`."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from tasks.formats.mixture import licence_of
from tasks.formats.origin import Origin, title
from tasks.stage.errors import DataError
from tasks.stage.identity import hash_file
from tasks.stage.run import DATA
from tasks.stage.settings import RECIPES, read_yaml


@dataclass(frozen=True)
class Base:
    """A pretrained model."""

    kind: str
    """recipe, folder, hub or package"""
    title: str
    """Its name, and version if any."""
    licence: str | None
    """As stated in the recipe; for the model of another recipe, the licence of its source."""
    identity: str | None
    """Identity of its training, if it is the current model of another recipe."""


def read_base(folder: Path) -> Base | None:
    """Read `data/<recipe>/base`; None for a model from scratch. Raises DataError without a readable report."""
    origin, details = _read_report(folder)
    if origin.kind == "scratch":
        return None
    licence, identity = details["init"].get("licence"), None
    if origin.kind == "recipe":
        licence = _licence_of(origin.name)
        identity = _identity_of(origin.name, details.get("weights") or {})
    return Base(origin.kind, title(origin), licence, identity)


def read_title(folder: Path) -> str | None:
    """The title of the model in `data/<recipe>/base`; None for a model from scratch. Raises DataError."""
    origin, _ = _read_report(folder)
    return None if origin.kind == "scratch" else title(origin)


def _read_report(folder: Path) -> tuple[Origin, dict[str, Any]]:
    path = folder / "report.json"
    try:
        details = json.loads(path.read_text(encoding="utf-8"))["details"]
        return TypeAdapter(Origin).validate_python(details["init"]), details
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: cannot be read: {error}") from error


def _licence_of(recipe: str) -> str | None:
    path = RECIPES / f"{recipe}.yaml"
    source = read_yaml(path).get("ingest") if path.is_file() else None
    return licence_of(source)


def _identity_of(recipe: str, weights: dict[str, str]) -> str | None:
    """The training that made these weights (file name → SHA-256); None if the recipe's model has changed since."""
    model, report = DATA / recipe / "model", DATA / recipe / "training" / "report.json"
    there = {path.name: hash_file(path) for path in sorted(model.glob("*.safetensors"))}
    if not report.is_file() or not weights or there != weights:
        return None
    identity = json.loads(report.read_text(encoding="utf-8"))["details"].get("identity")
    return str(identity) if identity else None
