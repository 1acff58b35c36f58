"""Keys: ECDSA on the curve P-256, which both `model-signing` and `securesystemslib` read; made by `cryptography`.

A private key lies outside of every project and git work tree, with rights 0600, and may be encrypted with a passphrase.
"""

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.stage.errors import GristmillError
from tasks.stage.settings import RECIPES

if TYPE_CHECKING:
    from securesystemslib.signer import CryptoSigner, SSlibKey

PRIVATE, PUBLIC = "gristmill.key", "gristmill.pub"
CURVES = ("secp256r1", "secp384r1", "secp521r1")
"""Curves that `model-signing` accepts."""
MAKE = "make a pair with: gristmill keys NEW_FOLDER"


def make_keys(folder: Path, passphrase: str | None = None) -> str:
    """Write `gristmill.key` (rights 0600) and `gristmill.pub` into a folder, new or empty; returns the key's id.

    Raises GristmillError if the folder is in a project or a git work tree, or holds anything.
    """
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    if (around := _guarded(folder)) is not None:
        raise GristmillError(f"{folder}: inside of {around}, where keys may be committed; choose a folder outside")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise GristmillError(f"{folder}: exists already, and keys are never overwritten; name a new folder")
    key = ec.generate_private_key(ec.SECP256R1())
    lock = (
        serialization.NoEncryption()
        if passphrase is None
        else serialization.BestAvailableEncryption(passphrase.encode())
    )
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, lock)
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    _write_new(folder / PRIVATE, private, 0o600)
    _write_new(folder / PUBLIC, public, 0o644)
    return read_public(folder / PUBLIC).keyid


def read_private(path: Path, passphrase: str | None = None) -> "CryptoSigner":
    """A signer with a private key.

    Raises GristmillError for a key that is missing, in a project, readable by others, encrypted with another
    passphrase, or of another kind.
    """
    from cryptography.hazmat.primitives.serialization import load_pem_private_key
    from securesystemslib.signer import CryptoSigner

    content = _read(path)
    if (around := _guarded(path)) is not None:
        raise GristmillError(f"{path}: a private key inside of {around}; move it outside, and make a new one if it was "
                             "ever committed")  # fmt: skip
    if (rights := stat.S_IMODE(path.stat().st_mode)) & 0o077:
        raise GristmillError(f"{path}: others may read this key (rights {rights:04o}); run: chmod 600 {path}")
    if b"PRIVATE KEY" not in content:
        raise GristmillError(f"{path}: not a private key in PEM format; {MAKE}")
    if (passphrase is None) == is_encrypted(path):
        raise GristmillError(f"{path}: " + ("needs its passphrase" if passphrase is None else "has no passphrase"))
    try:
        key = load_pem_private_key(content, None if passphrase is None else passphrase.encode())
    except (ValueError, TypeError) as error:
        told = "damaged" if passphrase is None else "another passphrase, or damaged"
        raise GristmillError(f"{path}: cannot be opened: {told}") from error
    _require_curve(path, key)
    return CryptoSigner(key)


def read_public(path: Path) -> "SSlibKey":
    """A public key. Raises GristmillError for a file that is missing or holds none."""
    from cryptography.hazmat.primitives.serialization import load_pem_public_key
    from securesystemslib.signer import SSlibKey

    content = _read(path)
    if b"PRIVATE KEY" in content:
        raise GristmillError(f"{path}: a private key; give its public one, {PUBLIC}, and keep this one to yourself")
    try:
        key = load_pem_public_key(content)
    except ValueError as error:
        raise GristmillError(f"{path}: not a public key in PEM format; {MAKE}") from error
    _require_curve(path, key)
    return SSlibKey.from_crypto(key)


def is_encrypted(path: Path) -> bool:
    """Whether a private key has a passphrase. Raises GristmillError if it cannot be read."""
    return b"ENCRYPTED" in _read(path)


def _read(path: Path) -> bytes:
    if path.is_dir():
        raise GristmillError(f"{path}: a folder; name the file of the key in it")
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise GristmillError(f"{path}: no such key; {MAKE}") from error
    except OSError as error:
        raise GristmillError(f"{path}: cannot be read: {error.strerror}") from error


def _require_curve(path: Path, key: object) -> None:
    curve = getattr(getattr(key, "curve", None), "name", type(key).__name__.strip("_"))
    if curve not in CURVES:
        raise GristmillError(f"{path}: a key of kind {curve}; model-signing needs {', '.join(CURVES)}; {MAKE}")


def _guarded(path: Path) -> str | None:
    """The project or git work tree around a path, in words; None if it is in neither."""
    for folder in path.resolve().parents if not path.is_dir() else (path.resolve(), *path.resolve().parents):
        if (folder / "dvc.yaml").is_file() and (folder / RECIPES).is_dir():
            return f"the project {folder}"
        if (folder / ".git").exists():
            return f"the git work tree {folder}"
    return None


def _write_new(path: Path, content: bytes, rights: int) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, rights), "wb") as file:
        os.fchmod(file.fileno(), rights)  # whatever the umask
        file.write(content)
