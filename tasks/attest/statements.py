"""Statements of in-toto with SLSA's provenance predicate, in signed DSSE envelopes.

The signing is `securesystemslib`'s, the formats are those of `in-toto-attestation`, which checks what is written and
what is read. See https://in-toto.io/Statement/v1 and https://slsa.dev/spec/v1.0/provenance.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from tasks.attest.lock import File, Link
from tasks.stage.redact import redact_all

if TYPE_CHECKING:
    from securesystemslib.signer import CryptoSigner, SSlibKey

PAYLOAD = "application/vnd.in-toto+json"
STATEMENT = "https://in-toto.io/Statement/v1"
PROVENANCE = "https://slsa.dev/provenance/v1"
STAGE, MODEL = "urn:gristmill:stage:v1", "urn:gristmill:model:v1"
"""Our `buildType`s: a stage that DVC ran, and the registered model at the end of the chain."""
BUILDER = "urn:gristmill:builder:v1"
PRODUCER = "producer"
"""The annotation of an input that another stage wrote: the stage's address."""


class Refused(Exception):
    """A statement that proves nothing; the text says why, without the file's name."""


@dataclass(frozen=True)
class Statement:
    """A statement whose signature holds."""

    subjects: Mapping[str, str]
    """Name → SHA-256."""
    build_type: str
    external: Mapping[str, Any]
    """The statement's `externalParameters`."""
    internal: Mapping[str, Any]
    """Its `internalParameters`."""
    materials: Mapping[str, str]
    """Inputs: name → SHA-256."""
    producers: Mapping[str, str]
    """Input → the address of the stage that wrote it."""
    byproducts: Mapping[str, str]
    """Name → SHA-256."""


def stage_statement(link: Link) -> dict[str, Any]:
    """The statement about a stage: its outputs were made from its inputs, with these settings."""
    stage, _, recipe = link.address.partition("@")
    return _statement(
        STAGE,
        subjects=_resources({file.path: file.sha256 for file in link.outputs}),
        external={"stage": stage, "recipe": recipe, "command": link.command, "parameters": link.parameters},
        internal={"dvc.lock": link.noted},
        materials=[_resource(file, link.producers.get(file.path)) for file in link.inputs],
    )


def model_statement(
    subjects: Mapping[str, str],
    external: Mapping[str, Any],
    internal: Mapping[str, Any],
    stages: Mapping[str, str],
    byproducts: Mapping[str, str],
    run_id: str,
    commit: str | None = None,
) -> dict[str, Any]:
    """The statement about a registered model: its files, the statements of its stages, and all other files beside it.

    Each mapping of files is a name → SHA-256.
    """
    source = [{"name": "commit", "digest": {"gitCommit": commit}}] if commit else []
    found = _statement(
        MODEL,
        subjects=_resources(subjects),
        external=external,
        internal=internal,
        materials=[*_resources(stages), *source],
    )
    details = found["predicate"]["runDetails"]
    details["metadata"] = {"invocationId": run_id}
    details["byproducts"] = _resources(byproducts)
    return found


def sign(statement: Mapping[str, Any], signer: "CryptoSigner") -> bytes:
    """The signed envelope of a statement, a line of JSON. Raises ValueError for a statement that in-toto refuses."""
    from securesystemslib.dsse import Envelope

    _check(statement)
    payload = json.dumps(statement, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()
    envelope = Envelope(payload, PAYLOAD, {})
    envelope.sign(signer)
    return _written(envelope.to_dict())


def read_statement(content: bytes, key: "SSlibKey") -> Statement:
    """The statement in a signed envelope. Raises Refused if a key has not signed exactly these bytes."""
    from securesystemslib.dsse import Envelope
    from securesystemslib.exceptions import Error, FormatError

    try:
        envelope = Envelope.from_dict(json.loads(content))
        whole = _written(envelope.to_dict()) == content
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, FormatError) as error:
        raise Refused("not a signed statement, or cut off") from error
    if not envelope.signatures:
        raise Refused("not signed")
    if key.keyid not in envelope.signatures:
        others = ", ".join(keyid[:12] for keyid in envelope.signatures)
        raise Refused(f"signed with another key ({others}), not with this one ({key.keyid[:12]})")
    try:
        envelope.verify([key], 1)
    except Error as error:
        raise Refused("changed after it was signed") from error
    if not whole:  # base64 and blanks leave room for other bytes with the same meaning
        raise Refused("changed after it was signed")
    if envelope.payload_type != PAYLOAD:
        raise Refused(f"a signed {envelope.payload_type}, not a statement of in-toto")
    try:
        return _read(json.loads(envelope.payload))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Refused("signed, but not a statement as Gristmill writes them") from error


def _read(statement: dict[str, Any]) -> Statement:
    _check(statement)
    definition, details = statement["predicate"]["buildDefinition"], statement["predicate"]["runDetails"]
    materials = definition["resolvedDependencies"]
    return Statement(
        subjects=_hashes(statement["subject"]),
        build_type=definition["buildType"],
        external=definition["externalParameters"],
        internal=definition["internalParameters"],
        materials=_hashes(materials),
        producers={
            item["name"]: item["annotations"][PRODUCER] for item in materials if PRODUCER in item.get("annotations", {})
        },
        byproducts=_hashes(details.get("byproducts", ())),
    )


def _statement(
    build_type: str,
    subjects: list[dict[str, Any]],
    external: Mapping[str, Any],
    internal: Mapping[str, Any],
    materials: list[dict[str, Any]],
) -> dict[str, Any]:
    return {
        "_type": STATEMENT,
        "subject": subjects,
        "predicateType": PROVENANCE,
        "predicate": {
            "buildDefinition": {
                "buildType": build_type,
                "externalParameters": redact_all(external),
                "internalParameters": redact_all(internal),
                "resolvedDependencies": materials,
            },
            "runDetails": {"builder": {"id": BUILDER, "version": {"gristmill": version("gristmill")}}},
        },
    }


def _resource(file: File, producer: str | None) -> dict[str, Any]:
    found: dict[str, Any] = {"name": file.path, "digest": {"sha256": file.sha256}}
    return found if producer is None else {**found, "annotations": {PRODUCER: producer}}


def _resources(hashes: Mapping[str, str]) -> list[dict[str, Any]]:
    return [{"name": name, "digest": {"sha256": sha256}} for name, sha256 in hashes.items()]


def _hashes(resources: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    return {item["name"]: item["digest"]["sha256"] for item in resources if "sha256" in item["digest"]}


def _written(envelope: Mapping[str, Any]) -> bytes:
    """The only way in which we write an envelope."""
    return json.dumps(envelope, sort_keys=True, separators=(",", ":")).encode() + b"\n"


def _check(statement: Mapping[str, Any]) -> None:
    """Raises ValueError for what in-toto's own library does not take as a statement of SLSA's provenance."""
    from google.protobuf.json_format import ParseDict, ParseError
    from in_toto_attestation.predicates.provenance.v1.provenance_pb2 import Provenance
    from in_toto_attestation.v1 import statement as in_toto
    from in_toto_attestation.v1 import statement_pb2

    try:
        in_toto.Statement.copy_from_pb(ParseDict(statement, statement_pb2.Statement())).validate()
        ParseDict(statement["predicate"], Provenance())
    except ParseError as error:
        raise ValueError(str(error)) from error
    if statement["predicateType"] != PROVENANCE:
        raise ValueError(f"predicateType: {statement['predicateType']}")
