"""The model card: `README.md` in the form of Hugging Face's hub, beside the weights and in the run."""

from io import StringIO
from typing import Any

from tasks.contract.task import FAMILIES, PAIRS
from tasks.register.base import Base
from tasks.register.evidence import Evidence
from tasks.register.scores import measured, rest

PIPELINES = {
    "causal-lm": "text-generation", "translation": "translation", "summarization": "summarization",
    "masked-lm": "fill-mask", "classification": "text-classification",
}  # fmt: skip
"""The hub's words for what a model is for."""


def model_card(evidence: Evidence) -> str:
    """Front matter for the hub, then what the model is, its scores with baselines, its data, its use, and samples."""
    parts = [
        f"---\n{_yaml(_front_matter(evidence))}---\n",
        f"# {evidence.recipe}\n",
        str(evidence.settings.get("description") or "A language model.").strip() + "\n",
        "## Scores\n",
        _scores(evidence),
        "## Data\n",
        _data(evidence),
        "## Use\n",
        *_use(evidence),
        *_samples(evidence),
        "## How it was made\n",
        _making(evidence),
        f"```yaml\n{_yaml(evidence.settings)}```\n",
    ]
    return "\n".join(parts)


def _front_matter(evidence: Evidence) -> dict[str, Any]:
    source, base = evidence.settings.get("ingest") or {}, evidence.base
    found = {
        "license": str(source.get("licence", "unknown")).lower(),
        "library_name": "transformers",
        "pipeline_tag": PIPELINES[evidence.task],
        "base_model": base.title if base and base.kind == "hub" else None,
        "tags": [tag for tag in ("gristmill", evidence.architecture) if tag],
    }
    return {key: value for key, value in found.items() if value}


def _scores(evidence: Evidence) -> str:
    rows = ["| metric on the test split | value | interval | baselines |", "|---|---|---|---|"]
    for found in measured(evidence.task, evidence.metrics):
        interval = " to ".join(_number(bound) for bound in found.interval or ())
        others = ", ".join(f"{name} {_number(value)}" for name, value in found.baselines.items())
        rows.append(f"| {found.metric} | {_number(found.value)} | {interval} | {others} |")
    also = ", ".join(f"{name} {_number(number)}" for name, number in rest(evidence.task, evidence.metrics).items())
    told = [f"Also counted: {also}."] if also else []
    return "\n".join([*rows, "", *told, f"Signature: `{evidence.signature}`", ""])


def _data(evidence: Evidence) -> str:
    source = evidence.settings.get("ingest") or {}
    plain = ", ".join(f"{key}: {value}" for key, value in source.items() if isinstance(value, (str, int)))
    rows = ["| data | for | hash |", "|---|---|---|"]
    for data in evidence.datasets:
        shown = f"md5 {data.md5} (DVC)" if data.md5 else f"sha256 {data.sha256}"
        rows.append(f"| {data.path} | {data.context} | {shown} |")
    licences = [f"Licence of the source: {source.get('licence', 'not stated in the recipe')}."]
    if evidence.base is not None and evidence.base.licence is not None:
        licences.append(f"Licence of the model it started from: {evidence.base.licence}.")
    return "\n".join([f"Source: {plain}.", *licences, "", *rows, ""])


def _use(evidence: Evidence) -> list[str]:
    name, usage = evidence.model_class, evidence.usage
    told = []
    if evidence.task == "causal-lm":
        told.append("A prompt follows an end-of-text token, as every document did in training.")
    if usage.prefix:
        told.append(f"Before each text stands `{usage.prefix}`, as in training.")
    if usage.closing is not None:
        told.append(f"Token {usage.closing} closes each text, which the tokenizer does not do by itself.")
    if evidence.task in PAIRS and evidence.model_class == FAMILIES["causal-lm"].model:
        told.append("The output follows the text in the same row.")
    if usage.source_length is not None:
        told.append(f"It was trained on {usage.source_length:,} tokens of a text; what is longer is cut off.")
    if (evidence.folder / "model" / "target").is_dir():
        told.append("What it writes is read with the tokenizer in `target/`.")
    return [
        "Load this folder with `transformers`:\n",
        f"```python\nfrom transformers import {name}, AutoTokenizer\n\n"
        'tokenizer = AutoTokenizer.from_pretrained("<this folder>")\n'
        f'model = {name}.from_pretrained("<this folder>")\n```\n',
        *(f"{sentence}\n" for sentence in told),
    ]


def _samples(evidence: Evidence) -> list[str]:
    if not evidence.samples:
        return []
    causal = evidence.task == "causal-lm"
    told = "Drawn with fixed seeds, not picked.\n" if causal else "Texts, and behind the arrow what the model says.\n"
    arrow = "" if causal else "\n→ "
    parts = ["## Samples\n", told]
    for sample in evidence.samples:
        shown = f"{sample.get('prompt', '')}{arrow}{sample.get('text', '')}"
        for key in ("reference", "label"):
            shown += f"\n{key}: {sample[key]}" if key in sample else ""
        text = shown.replace("~~~~", "~~~ ~")
        parts.append(f"~~~~text\n{text}\n~~~~\n")
    return parts


def _making(evidence: Evidence) -> str:
    facts = {
        "Training": f"`{evidence.identity}`",
        "Weights (SHA-256)": f"`{evidence.model_sha256}`",
        "Started from": None if evidence.base is None else _started(evidence.base),
        "Parameters": evidence.training.get("parameters"),
        "Steps": evidence.training.get("steps"),
        "Tokens seen": evidence.training.get("tokens_seen"),
        "Precision": evidence.training.get("precision"),
    }
    lines = [f"- {name}: {_number(value)}" for name, value in facts.items() if value is not None]
    return "\n".join([*lines, "", "The recipe:", ""])


def _started(base: Base) -> str:
    what = {"recipe": f"the model of recipe {base.title}", "hub": f"{base.title} of the Hugging Face Hub"}
    training = f", training `{base.identity}`" if base.identity else ""
    return what.get(base.kind, f"the {base.kind} {base.title}") + training


def _number(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:.4f}" if isinstance(value, float) else str(value)


def _yaml(value: Any) -> str:
    from ruamel.yaml import YAML

    text = StringIO()
    yaml = YAML()  # keeps the order of the keys
    yaml.width = 1000
    yaml.dump(value, text)
    return text.getvalue()
