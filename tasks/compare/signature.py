"""Which scores can be compared: those whose signatures (`key:value|…`) agree in all that matters to the metric."""

OF_TOKENS = ("perplexity", "loss", "pseudo_perplexity", "masked_accuracy")
"""Metrics per token, comparable only with the same tokenizer; all others are per text, whatever the model reads."""
OF_MODELS = ("tok", "template", "context", "source_length", "classes")
"""Parts that belong to a model, not to the text or its evaluation; metrics per text ignore them."""
OF_INTERVALS = ("bootstrap",)
"""Parts that change no score of a document."""
DATA = "data"
"""The part with the hash of the test text."""


def parts(signature: str) -> dict[str, str]:
    """A signature as a mapping."""
    return {key: value for key, _, value in (part.partition(":") for part in signature.split("|"))}


def comparable_parts(signature: str, metric: str) -> dict[str, str]:
    """The parts that matter to a metric."""
    ignored = (*OF_INTERVALS, *(() if metric in OF_TOKENS else OF_MODELS))
    return {key: value for key, value in parts(signature).items() if key not in ignored}


def differing(old: dict[str, str], new: dict[str, str]) -> list[str]:
    """The keys in which two signatures differ."""
    return [key for key in dict.fromkeys((*new, *old)) if old.get(key) != new.get(key)]
