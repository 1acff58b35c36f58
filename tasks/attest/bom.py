"""The bill of materials of a model, CycloneDX 1.6: model card, data sets, base model, libraries, training.

`cyclonedx-python-lib` builds and checks it; it has no class for a model card yet, so that part is added to its JSON
before the document is held against CycloneDX's schema.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.attest.lock import File, Link
from tasks.formats.mixture import source_sections
from tasks.register.results import Results
from tasks.register.scores import measured
from tasks.stage.errors import DataError
from tasks.stage.redact import redact, redact_all
from tasks.stage.task import FAMILIES

if TYPE_CHECKING:
    from cyclonedx.model.component import Component
    from cyclonedx.model.license import License

DATASETS = (("ingest", "raw", "source"), ("clean", "clean/train", "training"),
            ("clean", "clean/validation", "validation"), ("clean", "clean/test", "test"))  # fmt: skip
"""Stage, its output under data/<recipe>/, what it is for."""
SELF_SUPERVISED = ("causal-lm", "masked-lm")
UNKNOWN = "unknown"


@dataclass(frozen=True)
class Energy:
    """What a training used, as far as it was measured."""

    kilowatt_hours: float
    source: str
    """Who measured what."""


def write_bom(
    name: str, version: str, results: Results, chain: list[Link], model: Mapping[str, str], energy: Energy | None
) -> str:
    """The document as JSON; `model`: file of the model → SHA-256. Raises ValueError if the schema refuses it."""
    from cyclonedx.model import Property
    from cyclonedx.model.bom import Bom
    from cyclonedx.model.component import Component, ComponentType, Pedigree
    from cyclonedx.output.json import JsonV1Dot6

    datasets = [part for link in chain for part in _datasets(link, results)]
    libraries = _libraries(chain)
    base = _base(results)
    subject = Component(
        name=name,
        version=version,
        type=ComponentType.MACHINE_LEARNING_MODEL,
        bom_ref="model",
        description=str(results.settings.get("description") or "").strip() or None,
        components=_files("model", model),
        pedigree=Pedigree(ancestors=[base]) if base else None,
        properties=[
            Property(name=f"gristmill:{key}", value=value) for key, value in _training(results, energy).items()
        ],
    )
    bom = Bom(components=[*datasets, *libraries])
    bom.metadata.component = subject
    bom.metadata.timestamp = datetime.now(UTC)
    bom.register_dependency(subject, [*datasets, *libraries])
    document = json.loads(JsonV1Dot6(bom).output_as_string())
    document["metadata"]["component"]["modelCard"] = _card(results, [part.name for part in datasets], energy)
    text = json.dumps(redact_all(document), indent=2, ensure_ascii=False) + "\n"
    if problem := find_problem(text):
        raise ValueError(f"CycloneDX does not accept the bill of materials: {problem}")
    return text


def find_problem(text: str) -> str | None:
    """Why CycloneDX's schema does not accept a document; None if it does."""
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    try:
        found = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
    except ValueError as error:
        return str(error)
    return None if found is None else found.data.message


def listed_files(text: str) -> dict[str, str]:
    """All files with a SHA-256 in a document, by name: of the model and of the data sets."""
    document = json.loads(text)
    found: dict[str, str] = {}

    def visit(component: Mapping[str, Any]) -> None:
        for each in component.get("hashes", ()):
            if component.get("type") == "file" and each["alg"] == "SHA-256":
                found[component["name"]] = each["content"]
        for part in component.get("components", ()):
            visit(part)

    for component in (document["metadata"]["component"], *document.get("components", ())):
        visit(component)
    return found


def _datasets(link: Link, results: Results) -> Iterable["Component"]:
    """The data sets among the outputs of a stage; the name of each is its `bom-ref`, too."""
    from cyclonedx.model import Property
    from cyclonedx.model.component import Component, ComponentType

    stage, _, recipe = link.address.partition("@")
    for owner, place, purpose in DATASETS:
        folder = f"data/{recipe}/{place}"
        files = {file.path: file.sha256 for file in link.outputs if file.path.startswith(f"{folder}/")}
        if owner == stage and files:
            md5 = link.noted["outs"].get(folder)
            source = _source(link) if stage == "ingest" else None
            yield Component(
                name=folder,
                type=ComponentType.DATA,
                bom_ref=folder,
                description=f"{purpose} data of {recipe}" + (f": {_title(source)}" if source else ""),
                licenses=_licences(*(part.get("licence") for part in source_sections(source))),
                components=_files(folder, files),
                properties=[
                    Property(name="gristmill:purpose", value=purpose),
                    *([Property(name="gristmill:dvc_md5", value=md5)] if md5 else []),
                ],
            )


def _source(link: Link) -> dict[str, Any]:
    """The section `ingest` as dvc.lock recorded it."""
    return next((dict(found["ingest"]) for found in link.parameters.values() if found.get("ingest")), {})


def _title(source: Mapping[str, Any]) -> str:
    """The keys of a source that name it: kind, package and version, addresses, files."""
    return redact("; ".join(filter(None, map(_named, source_sections(source)))))


def _named(source: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{key}: {value}" for key, value in source.items() if key != "licence" and isinstance(value, (str, int))
    )


def _licences(*texts: Any) -> list["License"]:
    """Each once: an SPDX id or expression if it is one, else the words of the recipe; nothing if it has none.

    Of several, expressions are told as words: a component has licences, or a single expression (CycloneDX 1.6).
    """
    from cyclonedx.contrib.license.factories import LicenseFactory
    from cyclonedx.model.license import LicenseExpression

    factory, named = LicenseFactory(), list(dict.fromkeys(str(text) for text in texts if text))
    found = [factory.make_from_string(text) for text in named]
    if len(found) < 2:
        return found
    return [
        factory.make_with_name(text) if isinstance(one, LicenseExpression) else one
        for text, one in zip(named, found, strict=True)
    ]


def _files(around: str, hashes: Mapping[str, str]) -> list["Component"]:
    from cyclonedx.model import HashAlgorithm, HashType
    from cyclonedx.model.component import Component, ComponentType

    return [
        Component(
            name=name, type=ComponentType.FILE, bom_ref=f"{around}#{name}",
            hashes=[HashType(alg=HashAlgorithm.SHA_256, content=sha256)],
        )
        for name, sha256 in hashes.items()
    ]  # fmt: skip


def _libraries(chain: list[Link]) -> list["Component"]:
    """The libraries that stages stand on, with the versions that the stage `code` recorded."""
    from cyclonedx.model.component import Component, ComponentType
    from packageurl import PackageURL

    found = sorted({item for link in chain for file in link.inputs for item in _recorded(file)})
    return [
        Component(
            name=name, version=version, type=ComponentType.LIBRARY, bom_ref=f"{name}@{version}",
            purl=PackageURL("pypi", name=name.lower().replace("_", "-"), version=version),
        )
        for name, version in found
    ]  # fmt: skip


def _recorded(file: File) -> list[tuple[str, str]]:
    if not (file.path.startswith("data/code/") and file.path.endswith(".json")):
        return []
    try:
        return list(dict(json.loads(Path(file.path).read_text(encoding="utf-8")).get("libraries") or {}).items())
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise DataError(f"{file.path}: missing or damaged; run: dvc repro code") from error


def _base(results: Results) -> "Component | None":
    """The pretrained model that a training started from."""
    from cyclonedx.model import Property
    from cyclonedx.model.component import Component, ComponentType

    base = results.base
    if base is None:
        return None
    report = json.loads((results.folder / "base" / "report.json").read_text(encoding="utf-8"))["details"]
    weights = {f"data/{results.recipe}/base/{name}": sha for name, sha in dict(report.get("weights") or {}).items()}
    facts = {"kind": base.kind, "identity": base.identity, "revision": report["init"].get("revision")}
    return Component(
        name=base.title,
        type=ComponentType.MACHINE_LEARNING_MODEL,
        bom_ref="base",
        licenses=_licences(base.licence),
        components=_files("base", weights),
        properties=[Property(name=f"gristmill:{key}", value=value) for key, value in facts.items() if value],
    )


def _training(results: Results, energy: Energy | None) -> dict[str, str]:
    """Facts about the training; what nobody measured is unknown."""
    timing, threads = results.timing, results.timing.get("threads")
    seconds = timing.get("seconds")
    processing = UNKNOWN
    if timing.get("device") == "cpu" and isinstance(threads, int) and isinstance(seconds, (int, float)):
        processing = f"about {threads * seconds:.1f} (threads × seconds)"
    return {
        "recipe": results.recipe,
        "identity": results.identity,
        "training:device": str(timing.get("device", UNKNOWN)),
        "training:processor": str(timing.get("processor", UNKNOWN)),
        "training:threads": str(threads or UNKNOWN),
        "training:seconds": str(seconds if seconds is not None else UNKNOWN),
        "training:cpu_seconds": processing,
        "training:finished": str(timing.get("finished", UNKNOWN)),
        "training:steps": str(results.training.get("steps", UNKNOWN)),
        "training:tokens": str(results.training.get("tokens_seen", UNKNOWN)),
        "training:precision": str(results.training.get("precision", UNKNOWN)),
        "training:energy": f"{energy.kilowatt_hours:.6g} kWh ({energy.source})" if energy else "unknown: not measured",
    }


def _card(results: Results, datasets: list[str], energy: Energy | None) -> dict[str, Any]:
    """The model card of CycloneDX."""
    scores = [
        {
            "type": score.metric, "value": repr(score.value), "slice": "test split",
            **({"confidenceInterval": dict(zip(("lowerBound", "upperBound"), map(repr, score.interval), strict=True))}
               if score.interval else {}),
        }
        for score in measured(results.task, results.metrics)
    ]  # fmt: skip
    if energy is None:
        environment: dict[str, Any] = {"properties": [{"name": "gristmill:energy", "value": "unknown: not measured"}]}
    else:
        cost = {"value": energy.kilowatt_hours, "unit": "kWh"}
        provider = {"description": energy.source, "organization": {"name": UNKNOWN}, "energySource": UNKNOWN,
                    "energyProvided": cost}  # fmt: skip
        activity = "fine-tuning" if results.base else "training"
        consumption = {"activity": activity, "energyProviders": [provider], "activityEnergyCost": cost}
        environment = {"energyConsumptions": [consumption]}
    return {
        "modelParameters": {
            "approach": {"type": "self-supervised" if results.task in SELF_SUPERVISED else "supervised"},
            "task": results.task,
            "architectureFamily": results.architecture,
            "modelArchitecture": results.model_class,
            "datasets": [{"ref": ref} for ref in datasets],
            "inputs": [{"format": "text"}],
            "outputs": [{"format": "label" if results.task == "classification" else "text"}],
        },
        "quantitativeAnalysis": {"performanceMetrics": scores},
        "considerations": {"environmentalConsiderations": environment},
        "properties": [
            {"name": "gristmill:parameters", "value": str(results.training.get("parameters", UNKNOWN))},
            {"name": "gristmill:signature", "value": results.signature},
            {"name": "gristmill:headline", "value": next(iter(FAMILIES[results.task].metrics))},
        ],
    }
