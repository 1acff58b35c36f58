"""Commands that prove where a model came from."""

from typing import Any

import click

from flows.cli.parameters import LONG, Integer, Number, Target
from flows.cli.place import command


@command()
@click.argument("run")
@click.option("--stages", metavar="STAGE,…", help="Only these stages.")
@click.option("--from", "start", metavar="STAGE", help="This stage and all after it.")
@click.option("--steps", type=Integer(1, LONG), help="Only the first steps of the training, against its history.")
@click.option("--tolerance", type=Number(0), help="Relative difference of numbers that counts as the same.")
@click.option("--keep", is_flag=True, help="Keep the work tree and the outputs.")
def reproduce(
    run: str, stages: str | None, start: str | None, steps: int | None, tolerance: float | None, keep: bool
) -> None:
    """Rebuild RUN in a clean work tree and compare every byte.

    RUN is RECIPE (its champion), RECIPE@ALIAS, MODEL:VERSION, or the id or name of a run. Exits with 0 if all stages
    give the same bytes, 1 if one differs, 2 or 75 if one cannot be told. The verdict is also written to the run.
    """
    from flows.cli.reproduce import reproduce_run

    reproduce_run(run, stages, start, steps, tolerance, keep)


@command()
@click.argument("folder", type=click.Path())
@click.option("--passphrase", is_flag=True, help="Encrypt the private key; asks for a passphrase.")
def keys(folder: str, passphrase: bool) -> None:
    """Make a key pair in a new FOLDER outside the project.

    The private key signs with `gristmill attest`; whoever has the public key can verify.
    """
    from flows.cli.attest import make_keys

    make_keys(folder, passphrase)


@command()
@click.argument("model")
@click.option("--key", required=True, type=click.Path(), help="The private key; see `gristmill keys`.")
@click.option("--out", type=click.Path(), help="Also write the model with its attestation into this new folder.")
def attest(model: str, key: str, out: str | None) -> None:
    """Sign how MODEL was made: RECIPE, RECIPE@ALIAS or MODEL:VERSION.

    Hashes all inputs and outputs of its stages again, compares them with dvc.lock, and signs them together with the
    model and a list of its data sets and libraries. Keeps the result with the version in MLflow.
    """
    from flows.cli.attest import attest_model

    attest_model(model, key, out)


@command()
@click.argument("target", metavar="FOLDER|MODEL", type=Target())
@click.option("--key", required=True, type=click.Path(), help="The public key of who signed.")
def verify(target: Any, key: str) -> None:
    """Check an attested model, in a FOLDER or in MLflow.

    Needs no project and no network for a folder. Names every file that was changed, added or removed, and exits with
    code 1 if anything does not hold.
    """
    from flows.cli.attest import verify_target

    verify_target(target, key)


COMMANDS = (reproduce, keys, attest, verify)
