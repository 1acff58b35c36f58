"""The model card: `README.md` in the form of Hugging Face's hub, beside the weights and in the run."""

from io import StringIO
from typing import Any

from tasks.register.evidence import Evidence
from tasks.register.settings import is_baseline

PIPELINES = {"causal-lm": "text-generation"}


def model_card(evidence: Evidence) -> str:
    """Front matter for the hub, then what the model is, its data, its scores with baselines, and samples."""
    parts = [
        f"---\n{_yaml(_front_matter(evidence))}---\n",
        f"# {evidence.recipe}\n",
        str(evidence.settings.get("description") or "A language model.").strip() + "\n",
        "## Scores\n",
        _scores(evidence),
        "## Data\n",
        _data(evidence),
        "## Use\n",
        "Load this folder with `transformers`:\n",
        "```python\nfrom transformers import AutoModelForCausalLM, AutoTokenizer\n\n"
        'tokenizer = AutoTokenizer.from_pretrained("<this folder>")\n'
        'model = AutoModelForCausalLM.from_pretrained("<this folder>")\n```\n',
        "A prompt follows an end-of-text token, as every document did in training.\n",
        *_samples(evidence),
        "## How it was made\n",
        _making(evidence),
        f"```yaml\n{_yaml(evidence.settings)}```\n",
    ]
    return "\n".join(parts)


def _front_matter(evidence: Evidence) -> dict[str, Any]:
    source = evidence.settings.get("ingest") or {}
    model = evidence.settings.get("model") or {}
    found = {
        "license": str(source.get("licence", "unknown")).lower(),
        "library_name": "transformers",
        "pipeline_tag": PIPELINES.get(str(evidence.settings.get("task", "causal-lm"))),
        "tags": [tag for tag in ("gristmill", model.get("architecture")) if tag],
    }
    return {key: value for key, value in found.items() if value}


def _scores(evidence: Evidence) -> str:
    metrics = evidence.metrics
    baselines = {key for key in metrics if is_baseline(key)}
    rows = ["| metric on the test split | value |", "|---|---|"]
    rows += [f"| {key} | {_number(value)} |" for key, value in metrics.items() if key not in baselines]
    rows += [f"| baseline: {key} | {_number(metrics[key])} |" for key in metrics if key in baselines]
    return "\n".join([*rows, "", f"Signature: `{evidence.signature}`", ""])


def _data(evidence: Evidence) -> str:
    source = evidence.settings.get("ingest") or {}
    plain = ", ".join(f"{key}: {value}" for key, value in source.items() if isinstance(value, (str, int)))
    rows = ["| data | for | hash |", "|---|---|---|"]
    for data in evidence.datasets:
        shown = f"md5 {data.md5} (DVC)" if data.md5 else f"sha256 {data.sha256}"
        rows.append(f"| {data.path} | {data.context} | {shown} |")
    licence = f"Licence of the source: {source.get('licence', 'not stated in the recipe')}."
    return "\n".join([f"Source: {plain}.", licence, "", *rows, ""])


def _samples(evidence: Evidence) -> list[str]:
    if not evidence.samples:
        return []
    parts = ["## Samples\n", "Drawn with fixed seeds, not picked.\n"]
    for sample in evidence.samples:
        text = f"{sample.get('prompt', '')}{sample.get('text', '')}".replace("~~~~", "~~~ ~")
        parts.append(f"~~~~text\n{text}\n~~~~\n")
    return parts


def _making(evidence: Evidence) -> str:
    facts = {
        "Training": f"`{evidence.identity}`",
        "Weights (SHA-256)": f"`{evidence.model_sha256}`",
        "Parameters": evidence.training.get("parameters"),
        "Steps": evidence.training.get("steps"),
        "Tokens seen": evidence.training.get("tokens_seen"),
        "Precision": evidence.training.get("precision"),
    }
    lines = [f"- {name}: {_number(value)}" for name, value in facts.items() if value is not None]
    return "\n".join([*lines, "", "The recipe:", ""])


def _number(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:.4f}" if isinstance(value, float) else str(value)


def _yaml(value: Any) -> str:
    from ruamel.yaml import YAML

    text = StringIO()
    yaml = YAML()  # keeps the order of the keys
    yaml.width = 1000
    yaml.dump(value, text)
    return text.getvalue()
