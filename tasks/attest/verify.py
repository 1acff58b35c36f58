"""Checks an attested folder: files, signatures, the chain of stages, the bill of materials. Needs no project.

Every file of the folder is bound by one hash in the statement about the model, so that a changed, missing or additional
file has a name; the statements of the stages must fit each other and the model.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.attest import statements
from tasks.attest.bom import find_problem, listed_files
from tasks.attest.keys import read_public
from tasks.attest.layout import (
    BOM,
    CARD,
    METRICS,
    MLFLOW,
    MODEL,
    SIGNATURE,
    STAGES,
    STATEMENT,
    SUFFIX,
    Layout,
    find_layout,
)
from tasks.attest.statements import Refused, Statement, read_statement
from tasks.stage.errors import GristmillError, one_line
from tasks.stage.identity import hash_file

if TYPE_CHECKING:
    from securesystemslib.signer import SSlibKey


MISMATCH = re.compile(r"Hash mismatch for '[^']*'|(?:Extra|Missing) files [^\]\"]*")
"""What `model-signing` says about a file, without the hashes."""


CIRCLE = ["a circle"]


@dataclass(frozen=True)
class Check:
    """One thing that was checked."""

    what: str
    found: str
    problems: list[str]


@dataclass(frozen=True)
class Verdict:
    """What was checked, and what was found wrong."""

    title: str
    checks: list[Check] = field(default_factory=list)

    @property
    def problems(self) -> list[str]:
        """All problems, without repetition; none for a folder that holds."""
        return list(dict.fromkeys(problem for check in self.checks for problem in check.problems))


def verify_folder(folder: Path, key: Path) -> Verdict:
    """Check a folder that `gristmill attest --out` wrote, or a model folder of MLflow.

    Raises GristmillError for a folder or a key that cannot be read.
    """
    if not folder.is_dir():
        raise GristmillError(f"{folder}: not a folder")
    return verify(find_layout(folder), key)


def verify_registered(text: str, key: Path) -> Verdict:
    """Check the model that MLflow stores under a reference, see `tasks.register.reference`.

    Raises GristmillError for an unknown reference, TransientError if a tracking server is away.
    """
    from tasks.attest.fetch import fetch, logged_model
    from tasks.register.reference import find_reference
    from tasks.stage.scratch import scratch
    from tasks.tracking.client import connect, lost_is_transient
    from tasks.tracking.embedded import database_of, find_uri, has_file_store

    read_public(key)
    database = database_of(find_uri())
    if database is not None and not database.exists() and not has_file_store():  # MLflow would make one
        raise GristmillError(f"{text}: no such folder, and no record of MLflow here ({database}) that may know a model")
    client = connect()
    found = find_reference(client, text)
    with scratch("verify") as folder:
        with lost_is_transient():
            root = fetch(logged_model(client, found), folder)
        verdict = verify(find_layout(root, in_registry=True), key)
    named = "{} version {}".format(*found.name.rsplit(":", 1))
    if verdict.title != named and not verdict.problems:
        verdict.checks.append(Check("version", "", [f"the attestation is of {verdict.title}, not of {named}"]))
    return verdict


def verify(layout: Layout, key: Path) -> Verdict:
    """Check a folder. Raises GristmillError for a bad key."""
    public = read_public(key)
    signed = _Signed(layout, public)
    model = signed.model
    checks = [Check("signatures", f"{len(signed.stages) + 1} statements by key {public.keyid[:12]}", signed.problems)]
    if model is None:
        return Verdict(str(layout.root), checks)
    checks += [
        _files(layout, model),
        _model_signature(layout, key, len(model.subjects)),
        _chain(model, signed.stages),
        _bill(layout, model, signed.stages),
    ]
    return Verdict(f"{model.external.get('model')} version {model.external.get('version')}", checks)


class _Signed:
    """The statements of a folder whose signatures hold, and what is wrong with the others."""

    def __init__(self, layout: Layout, key: "SSlibKey") -> None:
        self.problems: list[str] = []
        self.stages: dict[str, Statement] = {}
        self.model: Statement | None = None
        self._key = key
        for name, path in layout.files().items():
            if name.startswith(f"{STAGES}/") and name.endswith(SUFFIX):
                address = name.removeprefix(f"{STAGES}/").removesuffix(SUFFIX)
                if (found := self._read(name, path, statements.STAGE)) is not None:
                    stage, recipe = found.external.get("stage"), found.external.get("recipe")
                    own = f"{stage}@{recipe}" if recipe else stage
                    if own == address:
                        self.stages[address] = found
                    else:
                        self.problems.append(f"{name}: the statement of {own}, not of {address}")
        path = layout.attested(STATEMENT)
        if not path.is_file() or path.is_symlink():
            self.problems.append(f"{STATEMENT}: missing: this model is not attested, or its statement was removed")
        else:
            self.model = self._read(STATEMENT, path, statements.MODEL)

    def _read(self, name: str, path: Path, build_type: str) -> Statement | None:
        try:
            found = read_statement(path.read_bytes(), self._key)
            if found.build_type != build_type:
                raise Refused(f"a statement about something else ({found.build_type})")
        except (Refused, OSError) as error:
            self.problems.append(f"{name}: {error}")
            return None
        return found


def _files(layout: Layout, model: Statement) -> Check:
    """Whether the folder holds exactly the files that the statement about the model binds."""
    bound = {name: sha for name, sha in model.materials.items() if name.startswith(f"{STAGES}/")}
    bound |= {**model.subjects, **model.byproducts}
    if not layout.in_mlflow:
        bound = {name: sha for name, sha in bound.items() if not name.startswith(f"{MLFLOW}/")}
    there = {name: path for name, path in layout.files().items() if name != STATEMENT}
    problems, size = [], 0
    for name in sorted(bound.keys() | there.keys()):
        path = there.get(name)
        if path is None:
            problems.append(f"{name}: missing, but {STATEMENT} lists it")
        elif name not in bound:
            problems.append(f"{name}: not in {STATEMENT}: it was added after the model was attested")
        elif path.is_symlink() or not path.is_file():
            problems.append(f"{name}: not a plain file")
        elif hash_file(path) != bound[name]:
            problems.append(f"{name}: changed: its hash is not that in {STATEMENT}{_way_out(name)}")
        else:
            size += path.stat().st_size
    return Check("files", f"{len(bound)} files, {size:,} bytes", problems)


def _way_out(name: str) -> str:
    """What else than an attack changes the files that a register writes again."""
    again = name == CARD or name.startswith(f"{MLFLOW}/")
    return "; if a later evaluation or Gristmill wrote it again, attest again" if again else ""


def _model_signature(layout: Layout, key: Path, files: int) -> Check:
    """OpenSSF's signature over the model's files."""
    from cryptography.exceptions import InvalidSignature
    from model_signing import hashing, verifying

    path = layout.attested(SIGNATURE)
    config = hashing.Config().set_ignored_paths(paths=[Path(CARD).name], ignore_git_paths=False)
    verifier = verifying.Config().use_elliptic_key_verifier(public_key=key).set_hashing_config(config)
    problems = []
    try:
        verifier.verify(layout.model, path)
    except InvalidSignature:
        problems.append(f"{SIGNATURE}: changed after it was signed")
    except FileNotFoundError:
        problems.append(f"{SIGNATURE}: missing")
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, OSError, RecursionError) as error:
        told = one_line(error).replace("\\'", "'")
        problems.append(f"{SIGNATURE}: {'; '.join(MISMATCH.findall(told)) or told[:200]}")
    return Check("model-signing", f"{files} files of the model", problems)


def _chain(model: Statement, stages: Mapping[str, Statement]) -> Check:
    """Whether each input that a stage wrote is what that stage's statement says, up to the model and its evaluation."""
    links, problems = 0, []
    for address, stage in stages.items():
        for name, producer in stage.producers.items():
            links += 1
            if producer in stages and stages[producer].subjects.get(name) != stage.materials[name]:
                problems.append(f"{name}: {address} read other bytes than {producer} wrote")
    read = {producer for stage in stages.values() for producer in stage.producers.values()}
    if _in_order(stages) == CIRCLE:
        problems.append(f"{STAGES}: these stages read each other's outputs in a circle")
    for address in sorted((read | _listed(model)) - stages.keys()):
        problems.append(f"{STAGES}/{address}{SUFFIX}: a broken link: the statement is missing or does not hold")
    problems += _ends(model, stages)
    return Check("chain", f"{', '.join(_in_order(stages))}: {links} links", problems)


def _in_order(stages: Mapping[str, Statement]) -> list[str]:
    """The stages, the first ones first."""
    before = {address: sorted({*stage.producers.values()} & stages.keys()) for address, stage in stages.items()}
    try:
        return list(TopologicalSorter(before).static_order())
    except CycleError:
        return CIRCLE


def _listed(model: Statement) -> set[str]:
    """The stages that the statement about the model names."""
    names = (name for name in model.materials if name.startswith(f"{STAGES}/"))
    return {name.removeprefix(f"{STAGES}/").removesuffix(SUFFIX) for name in names}


def _ends(model: Statement, stages: Mapping[str, Statement]) -> Iterator[str]:
    """What the model and its evaluation are not, of what the last stages wrote."""
    recipe = model.external.get("recipe")
    train, evaluate, folder = stages.get(f"train@{recipe}"), stages.get(f"evaluate@{recipe}"), f"data/{recipe}/"
    if train is None or evaluate is None:  # a broken link
        if {f"train@{recipe}", f"evaluate@{recipe}"} - _listed(model):
            yield f"{STATEMENT}: names no training and evaluation of {recipe}"
        return
    trained = {
        name.removeprefix(folder): sha for name, sha in train.subjects.items() if name.startswith(f"{folder}{MODEL}/")
    }
    for name in sorted(trained.keys() | model.subjects.keys()):
        if trained.get(name) != model.subjects.get(name):
            yield f"{name}: train@{recipe} wrote another file than {STATEMENT} names: a statement of another model"
    if evaluate.subjects.get(f"{folder}evaluation/metrics.json") != model.byproducts.get(METRICS):
        yield f"{METRICS}: evaluate@{recipe} wrote another one"


def _bill(layout: Layout, model: Statement, stages: Mapping[str, Statement]) -> Check:
    """Whether the bill of materials is a valid one, of the files that the statements name."""
    path = layout.attested(BOM)
    known = {**model.subjects}
    for stage in stages.values():
        known |= stage.subjects
    try:
        text = path.read_text(encoding="utf-8")
        if (problem := find_problem(text)) is not None:
            return Check("bill of materials", "", [f"{BOM}: not valid CycloneDX 1.6: {one_line(problem)[:200]}"])
        listed = listed_files(text)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        return Check("bill of materials", "", [f"{BOM}: cannot be read: {one_line(error)[:200]}"])
    whole = _listed(model) <= stages.keys()
    problems = [
        f"{BOM}: {name}: no statement has this file"
        for name, sha in listed.items() if whole and known.get(name) != sha
    ]  # fmt: skip
    return Check("bill of materials", f"CycloneDX 1.6, {len(listed)} files", problems)
