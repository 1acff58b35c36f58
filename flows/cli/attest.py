"""`gristmill keys`, `attest` and `verify`: asks for a passphrase, prints what was signed or checked."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from flows.cli.tables import make_table, show
from tasks.stage.errors import GristmillError

if TYPE_CHECKING:
    from tasks.attest.verify import Verdict

PASSPHRASE = "GRISTMILL_PASSPHRASE"
"""The environment variable with the passphrase of a private key, for machines that cannot be asked."""
LIBRARIES = (
    "model_signing",
    "cyclonedx",
    "in_toto_attestation",
    "securesystemslib",
    "cryptography",
    "packageurl",
    "OpenSSL",
)
UNPROVEN = 1
"""Exit code of `verify` for a folder that does not hold."""


def make_keys(folder: str, passphrase: bool) -> None:
    """Make a key pair and say what to do with it."""
    with _libraries():
        from tasks.attest import keys

        key_id = keys.make_keys(Path(folder), _new_passphrase() if passphrase else None)
    show(f"{Path(folder, keys.PRIVATE)}: the private key; it signs. Keep it secret, and out of every repository")
    show(f"{Path(folder, keys.PUBLIC)}: the public key; give it to whoever verifies")
    show(f"key {key_id[:12]}")


def attest_model(reference: str, key: str, out: str | None) -> None:
    """Attest a version and say where the attestation is."""
    with _libraries():
        from tasks.attest.keys import is_encrypted
        from tasks.attest.sign import attest

        passphrase = _passphrase(key) if is_encrypted(Path(key)) else None
        found = attest(reference, Path(key), passphrase, None if out is None else Path(out))
    show(f"attested {found.name}: {found.stages} stages, {found.files} files, signed with key {found.key_id[:12]}")
    show("kept in MLflow as attestation/ of its run and of its model" + (f"; written to {out}" if out else ""))
    where = out or reference
    show(f"verify with: gristmill verify {where} --key PUBLIC_KEY")


def verify_target(target: Path | str, key: str) -> None:
    """Check a folder or a model in MLflow, print what was checked, and exit with 1 if anything does not hold."""
    with _libraries():
        from tasks.attest.verify import verify_folder, verify_registered

        public = Path(key)
        verdict = verify_folder(target, public) if isinstance(target, Path) else verify_registered(target, public)
    _print(verdict)
    if verdict.problems:
        sys.exit(UNPROVEN)


def _print(verdict: "Verdict") -> None:
    table = make_table((verdict.title, "", ""))
    for check in verdict.checks:
        table.add_row(check.what, "FAILED" if check.problems else "holds", check.found)
    show(table)
    for problem in verdict.problems:
        click.echo(problem, err=True)
    if verdict.problems:
        click.echo(f"{verdict.title}: NOT PROVEN", err=True)
    else:
        show(f"{verdict.title}: proven")


def _passphrase(key: str) -> str:
    if (given := os.environ.get(PASSPHRASE)) is not None:
        return given
    if not sys.stdin.isatty():
        raise GristmillError(f"{key}: needs its passphrase; set {PASSPHRASE}, or run this on a terminal")
    return str(click.prompt(f"passphrase of {key}", hide_input=True, err=True))


def _new_passphrase() -> str:
    given = os.environ.get(PASSPHRASE)
    if given is None:
        if not sys.stdin.isatty():
            raise GristmillError(f"a new key needs a passphrase; set {PASSPHRASE}, or run this on a terminal")
        given = str(click.prompt("passphrase", hide_input=True, confirmation_prompt=True, err=True))
    if not given:
        raise GristmillError("an empty passphrase protects nothing; choose one, or leave --passphrase out")
    return given


@contextmanager
def _libraries() -> Iterator[None]:
    """Name the extra if one of its libraries is not installed."""
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] not in LIBRARIES:
            raise
        raise GristmillError(f"{error.name} is not installed; run: pip install 'gristmill[attest]'") from error
