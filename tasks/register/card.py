"""The model card: a `README.md` in the Hugging Face Hub's format, next to the weights and in the run."""

import json
from collections.abc import Mapping
from io import StringIO
from typing import Any

from tasks.formats.mixture import licence_of, source_sections
from tasks.register.base import Base
from tasks.register.results import Results
from tasks.register.schema import defaults, first_history
from tasks.register.scores import measured, rest
from tasks.stage.identity import hash_file
from tasks.stage.redact import redact
from tasks.stage.task import CHATS, FAMILIES, PAIRS

PIPELINES = {
    "causal-lm": "text-generation", "translation": "translation", "summarization": "summarization",
    "masked-lm": "fill-mask", "classification": "text-classification", **dict.fromkeys(CHATS, "text-generation"),
}  # fmt: skip
"""Task → the Hub's `pipeline_tag`."""
CONVERSATIONAL = dict.fromkeys(CHATS, ("conversational",))
"""Task → more tags of the Hub."""
TEMPLATE = "chat_template.jinja"
TABLES = {"by_turn": "turn", "by_part": "source"}
"""Tables of the evaluation → the title of their first column."""


def model_card(results: Results) -> str:
    """Front matter for the Hub, then description, scores with baselines, data, usage, samples and training."""
    parts = [
        f"---\n{_yaml(_front_matter(results))}---\n",
        f"# {results.recipe}\n",
        str(results.settings.get("description") or "A language model.").strip() + "\n",
        "## Scores\n",
        _scores(results),
        *_tables(results),
        "## Data\n",
        _data(results),
        "## Use\n",
        *_use(results),
        *_samples(results),
        "## How it was made\n",
        _making(results),
        f"```yaml\n{_yaml(results.settings)}```\n",
    ]
    return redact("\n".join(parts))


def _front_matter(results: Results) -> dict[str, Any]:
    licences, base = {part.get("licence") for part in source_sections(results.settings.get("ingest"))}, results.base
    found = {
        "license": str(licences.pop() or "unknown").lower() if len(licences) == 1 else "other",
        "library_name": "transformers",
        "pipeline_tag": PIPELINES[results.task],
        "base_model": base.title if base and base.kind == "hub" else None,
        "tags": [tag for tag in ("gristmill", results.architecture, *CONVERSATIONAL.get(results.task, ())) if tag],
    }
    return {key: value for key, value in found.items() if value}


def _scores(results: Results) -> str:
    rows = ["| metric on the test split | value | interval | baselines |", "|---|---|---|---|"]
    for found in measured(results.task, results.metrics):
        interval = " to ".join(_number(bound) for bound in found.interval or ())
        rows.append(f"| {found.metric} | {_number(found.value)} | {interval} | {found.told(_number)} |")
    counted = rest(results.task, results.metrics).items()
    also = ", ".join(f"{name} {_number(number)}" for name, number in counted if "/" not in name)
    told = [f"Also counted: {also}."] if also else []
    return "\n".join([*rows, "", *told, f"Signature: `{results.signature}`", ""])


def _tables(results: Results) -> list[str]:
    """The metrics by turn and by source, where the evaluation has more than one, and those of variants."""
    parts = []
    for key, title in TABLES.items():
        rows = results.evaluation.get(key) or {}
        if len(rows) > 1:
            parts.append(_table(title, rows))
    if results.variants:  # the model beside them; speed and memory where they were measured
        parts.append(_table("variant", results.variants))
    return parts


def _table(title: str, rows: Mapping[str, Mapping[str, Any]]) -> str:
    names = list(dict.fromkeys(name for row in rows.values() for name in row))
    lines = [f"| {title} | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
    lines += [f"| {row} | {' | '.join(_shown(own.get(name)) for name in names)} |" for row, own in rows.items()]
    return "\n".join([*lines, ""])


def _shown(value: Any) -> str:
    return "" if value is None else _number(value)


def _data(results: Results) -> str:
    ingest = results.settings.get("ingest")
    plain = "; ".join(
        ", ".join(f"{key}: {value}" for key, value in source.items() if isinstance(value, (str, int)))
        for source in source_sections(ingest)
    )
    rows = ["| data | for | hash |", "|---|---|---|"]
    for data in results.datasets:
        shown = f"md5 {data.md5} (DVC)" if data.md5 else f"sha256 {data.sha256}"
        rows.append(f"| {data.path} | {data.context} | {shown} |")
    licences = [f"Licence of the source: {licence_of(ingest) or 'not stated in the recipe'}."]
    if results.base is not None and results.base.licence is not None:
        licences.append(f"Licence of the model it started from: {results.base.licence}.")
    return "\n".join([f"Source: {plain}.", *licences, "", *rows, ""])


def _use(results: Results) -> list[str]:
    name, usage = results.model_class, results.usage
    told = []
    if results.task == "causal-lm":
        told.append("A prompt follows an end-of-text token, as every document did in training.")
    if usage.prefix:
        told.append(f"Before each text stands `{usage.prefix}`, as in training.")
    sources = source_sections(results.settings.get("ingest"))
    if prefixes := [f"`{one['prefix']}` ({one.get('name')})" for one in sources if one.get("prefix")]:
        told.append(f"A text begins with the prefix of its source, as in training: {', '.join(prefixes)}.")
    if usage.closing is not None:
        told.append(f"Token {usage.closing} closes each text, which the tokenizer does not do by itself.")
    if results.task in PAIRS and results.model_class == FAMILIES["causal-lm"].model:
        told.append("The output follows the text in the same row.")
    if results.task in CHATS:
        told += _chat_use(results)
    elif usage.source_length is not None:
        told.append(f"It was trained on {usage.source_length:,} tokens of a text; what is longer is cut off.")
    if (results.folder / "model" / "target").is_dir():
        told.append("What it writes is read with the tokenizer in `target/`.")
    return [
        "Load this folder with `transformers`:\n",
        f"```python\nfrom transformers import {name}, AutoTokenizer\n\n"
        'tokenizer = AutoTokenizer.from_pretrained("<this folder>")\n'
        f'model = {name}.from_pretrained("<this folder>")\n{_chat(results)}```\n',
        *(f"{sentence}\n" for sentence in told),
    ]


def _chat(results: Results) -> str:
    """Code that asks a question and prints the answer."""
    if results.task not in CHATS:
        return ""
    turns = ",\n".join(f"    {json.dumps(turn, ensure_ascii=False)}" for turn in first_history(results))
    return (
        f"messages = [\n{turns},\n]\n"
        "inputs = tokenizer.apply_chat_template(\n"
        '    messages, add_generation_prompt=True, return_tensors="pt", return_dict=True\n)\n'
        f"output = model.generate(**inputs, max_new_tokens={defaults(results)['max_new_tokens']}, do_sample=False)\n"
        'print(tokenizer.decode(output[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True))\n'
    ).replace("```", "`` `")


def _chat_use(results: Results) -> list[str]:
    folder, tokenize = results.folder / "model", results.settings.get("tokenize") or {}
    named = tokenize.get("chat_template")
    what = f", `{named}` of the recipe" if named else ", the base model's" if results.base else ""
    found = [f"Conversations are rendered by its chat template{what}."]
    if (folder / TEMPLATE).is_file():
        found[0] = f"{found[0][:-1]} (`{TEMPLATE}`, SHA-256 `{hash_file(folder / TEMPLATE)[:12]}…`)."
    if results.usage.source_length is not None:
        found.append(f"It was trained on conversations of at most {results.usage.source_length:,} tokens.")
    if (folder / "adapter").is_dir():
        found.append(
            "`adapter/` holds the LoRA adapter alone, in PEFT's format; it is already merged into the weights."
        )
    return found


def _samples(results: Results) -> list[str]:
    if not results.samples:
        return []
    causal = results.task == "causal-lm"
    told = "Drawn with fixed seeds, not picked.\n" if causal else "Texts, and behind the arrow what the model says.\n"
    arrow = "" if causal else "\n→ "
    parts = ["## Samples\n", told]
    for sample in results.samples:
        shown = f"{sample.get('prompt', '')}{arrow}{sample.get('text', '')}"
        for key, title in (("base", "before training"), ("reference", "reference"), ("label", "label")):
            shown += f"\n{title}: {sample[key]}" if key in sample else ""
        text = shown.replace("~~~~", "~~~ ~")
        parts.append(f"~~~~text\n{text}\n~~~~\n")
    return parts


def _making(results: Results) -> str:
    facts = {
        "Training": f"`{results.identity}`",
        "Weights (SHA-256)": f"`{results.model_sha256}`",
        "Started from": None if results.base is None else _started(results.base),
        "Parameters": results.training.get("parameters"),
        "Steps": results.training.get("steps"),
        "Tokens seen": results.training.get("tokens_seen"),
        "Of each source": _mixture(results.training.get("sources") or {}) or None,
        "Precision": results.training.get("precision"),
    }
    lines = [f"- {name}: {_number(value)}" for name, value in facts.items() if value is not None]
    return "\n".join([*lines, "", "The recipe:", ""])


def _mixture(sources: Mapping[str, Mapping[str, float]]) -> str:
    """`plays 75 % (2.1 epochs), bible 25 % (0.4 epochs)`."""
    return ", ".join(f"{name} {own['share']:.1%} ({own['epochs']:g} epochs)" for name, own in sources.items())


def _started(base: Base) -> str:
    what = {"recipe": f"the model of recipe {base.title}", "hub": f"{base.title} of the Hugging Face Hub"}
    training = f", training `{base.identity}`" if base.identity else ""
    return what.get(base.kind, f"the {base.kind} {base.title}") + training


def _number(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:.4f}" if isinstance(value, float) else str(value)


def _yaml(value: Any) -> str:
    from ruamel.yaml import YAML

    text = StringIO()
    yaml = YAML()  # keeps key order
    yaml.width = 1000
    yaml.dump(value, text)
    return text.getvalue()
