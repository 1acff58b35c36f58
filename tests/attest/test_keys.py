"""Keys lie outside of projects, belong to one person, and are never overwritten."""

import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from model_signing.signing import Config

from tasks.attest.keys import PRIVATE, PUBLIC, make_keys, read_private, read_public
from tasks.stage.errors import GristmillError


def test_a_pair_is_made_that_openssf_and_in_toto_can_use(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "keys"
    key_id = make_keys(folder)
    assert stat.S_IMODE((folder / PRIVATE).stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert read_private(folder / PRIVATE).public_key.keyid == key_id == read_public(folder / PUBLIC).keyid
    (folder / "model").mkdir()
    Config().use_elliptic_key_signer(private_key=folder / PRIVATE).sign(folder / "model", folder / "model.sig")


def test_a_passphrase_is_asked_for_and_held_against(tmp_path: Path) -> None:
    make_keys(tmp_path / "keys", "sesame")
    path = tmp_path / "keys" / PRIVATE
    assert b"ENCRYPTED" in path.read_bytes()
    assert read_private(path, "sesame").public_key.keyid == read_public(tmp_path / "keys" / PUBLIC).keyid
    with pytest.raises(GristmillError, match="needs its passphrase"):
        read_private(path)
    with pytest.raises(GristmillError, match="another passphrase"):
        read_private(path, "open")
    make_keys(tmp_path / "plain")
    with pytest.raises(GristmillError, match="has no passphrase"):
        read_private(tmp_path / "plain" / PRIVATE, "sesame")


@pytest.mark.parametrize("marks", [("dvc.yaml", "recipes/"), (".git/",), (".git",)])
def test_no_key_inside_of_a_project_or_a_work_tree(tmp_path: Path, marks: tuple[str, ...]) -> None:
    make_keys(tmp_path / "outside")
    for mark in marks:
        (tmp_path / mark).mkdir() if mark.endswith("/") else (tmp_path / mark).touch()
    with pytest.raises(GristmillError, match=r"keys: inside of the .* choose a folder outside"):
        make_keys(tmp_path / "a" / "keys")
    assert not (tmp_path / "a").exists()
    with pytest.raises(GristmillError, match="a private key inside of the"):
        read_private(tmp_path / "outside" / PRIVATE)


def test_a_link_into_a_project_is_inside_of_it(tmp_path: Path) -> None:
    (tmp_path / "project" / ".git").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "project")
    with pytest.raises(GristmillError, match="inside of the git work tree"):
        make_keys(tmp_path / "link" / "keys")


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    make_keys(tmp_path / "keys")
    before = (tmp_path / "keys" / PRIVATE).read_bytes()
    with pytest.raises(GristmillError, match="never overwritten"):
        make_keys(tmp_path / "keys")
    with pytest.raises(GristmillError, match="never overwritten"):
        make_keys(tmp_path / "keys" / PRIVATE)
    assert (tmp_path / "keys" / PRIVATE).read_bytes() == before


@pytest.mark.parametrize("rights", [0o640, 0o604, 0o660, 0o644])
def test_a_private_key_that_others_may_read_signs_nothing(tmp_path: Path, rights: int) -> None:
    make_keys(tmp_path / "keys")
    path = tmp_path / "keys" / PRIVATE
    path.chmod(rights)
    with pytest.raises(GristmillError, match=f"rights 0{rights:o}.*chmod 600 {path}"):
        read_private(path)


def pem(key: object) -> bytes:
    return key.private_bytes(  # type: ignore[attr-defined]
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: b"not a key", "not a private key"),
        (lambda: b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "cannot be opened: damaged"),
        (lambda: pem(ed25519.Ed25519PrivateKey.generate()), "Ed25519PrivateKey; model-signing needs secp256r1"),
        (lambda: pem(rsa.generate_private_key(65537, 2048)), "RSAPrivateKey; model-signing needs"),
        (lambda: pem(ec.generate_private_key(ec.SECP256K1())), "secp256k1; model-signing needs"),
    ],
)
def test_no_other_kind_of_key(tmp_path: Path, make: Callable[[], bytes], told: str) -> None:
    path = tmp_path / "key"
    path.write_bytes(make())
    path.chmod(0o600)
    with pytest.raises(GristmillError, match=told):
        read_private(path)


def test_what_is_no_key_is_told(tmp_path: Path) -> None:
    make_keys(tmp_path / "keys")
    with pytest.raises(GristmillError, match="none: no such key; make a pair with: gristmill keys"):
        read_private(tmp_path / "none")
    with pytest.raises(GristmillError, match="a folder; name the file"):
        read_private(tmp_path / "keys")
    with pytest.raises(GristmillError, match="a private key; give its public one"):
        read_public(tmp_path / "keys" / PRIVATE)
    (tmp_path / "other").write_text("ssh-ed25519 AAAA")
    with pytest.raises(GristmillError, match="not a public key in PEM"):
        read_public(tmp_path / "other")
