"""Wheels in the only index that pip uses, for tests of `kind: package`."""

import hashlib
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest


def make_wheel(folder: Path, name: str, files: Mapping[str, str | bytes]) -> str:
    """Write version 1.0 of a package with these files; returns the SHA-256 of the wheel."""
    info = f"{name}-1.0.dist-info"
    metadata = {
        "METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
        "WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        "RECORD": "",
    }
    whole = {f"{name}/{path}": content for path, content in files.items()}
    whole |= {f"{info}/{path}": content for path, content in metadata.items()}
    folder.mkdir(exist_ok=True)
    wheel = folder / f"{name}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as zipped:
        for path, content in whole.items():
            zipped.writestr(zipfile.ZipInfo(path), content)
    return hashlib.sha256(wheel.read_bytes()).hexdigest()


def only_index(shelf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make pip search this folder and no other place."""
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    for name, value in {"CONFIG_FILE": os.devnull, "NO_INDEX": "1", "FIND_LINKS": str(shelf.resolve())}.items():
        monkeypatch.setenv(f"PIP_{name}", value)
