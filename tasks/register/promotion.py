"""Champion or challenger: a pure decision from recorded scores, with its reason as a sentence.

A score is compared only with one that was measured the same way on the same text, that is, of the same signature; the
tokenizer may differ where the metric is not counted on tokens. Otherwise the champion stays: to put a model into use on
a number that means something else is the mistake that nobody sees, while a challenger that waits is one command away
from promotion. A recipe whose test split grows night by night says `compare_different_data: true` and knows why.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from tasks.register.settings import RegisterSettings
from tasks.stage.task import METRICS

CHAMPION, CHALLENGER = "champion", "challenger"
OF_TOKENS = ("perplexity", "loss", "pseudo_perplexity", "masked_accuracy")
"""Metrics that are counted on tokens; all others are counted on texts, whatever a model makes of them inside."""
INSIDE = ("tok", "source_length")
"""Parts of a signature that are a model's own matter where the score is counted on texts."""


@dataclass(frozen=True)
class Score:
    """A headline metric with what it takes to compare it."""

    metric: str
    value: float
    signature: str


@dataclass(frozen=True)
class Decision:
    """The alias a version gets, and the sentence that says why."""

    alias: str
    reason: str


def decide(
    settings: RegisterSettings,
    score: Score,
    metrics: Mapping[str, object],
    champion: Score | None,
    champion_version: str = "",
) -> Decision:
    """Champion or challenger; `metrics` holds the baselines, `champion` the recorded score of the one there is."""
    if (failed := _gate(settings, score, metrics)) is not None:
        return Decision(CHALLENGER, failed)
    name = f"version {champion_version}"
    if champion is None:
        return Decision(CHAMPION, f"there was no champion; {score.metric} {score.value:.4f}")
    if champion.metric != score.metric:
        return Decision(CHALLENGER, f"{name} is champion by its {champion.metric}, which is not comparable")
    differing = _differing(score, champion)
    if differing and not settings.compare_different_data:
        return Decision(
            CHALLENGER,
            f"{score.metric} {score.value:.4f} and the {champion.value:.4f} of {name} are not comparable"
            f" (their signatures differ in {', '.join(differing)}); {name} stays champion until"
            " `gristmill promote` or register.compare_different_data says otherwise",
        )
    gain = (champion.value - score.value) * (1 if METRICS[score.metric] else -1)
    caveat = f", though their signatures differ in {', '.join(differing)}" if differing else ""
    compared = f"{score.metric} {score.value:.4f} against {champion.value:.4f} of {name}{caveat}"
    if gain <= 0:
        return Decision(CHALLENGER, f"not better: {compared}")
    if gain < settings.min_improvement:
        return Decision(CHALLENGER, f"better by less than {settings.min_improvement:g}: {compared}")
    return Decision(CHAMPION, f"better: {compared}")


def _gate(settings: RegisterSettings, score: Score, metrics: Mapping[str, object]) -> str | None:
    """Why the score may not become champion, whatever the champion's is; None where it may."""
    shown = f"{score.metric} {score.value:.4f}"
    if settings.at_most is not None and score.value > settings.at_most:
        return f"{shown} is more than register.at_most {settings.at_most:g}"
    if settings.at_least is not None and score.value < settings.at_least:
        return f"{shown} is less than register.at_least {settings.at_least:g}"
    for name in settings.beat:
        baseline = metrics[f"{name}_{score.metric}"]
        assert isinstance(baseline, (int, float))
        if (score.value >= baseline) if METRICS[score.metric] else (score.value <= baseline):
            return f"{shown} is not better than the baseline {name} with {baseline:.4f}"
    return None


def _differing(score: Score, champion: Score) -> list[str]:
    """The keys in which two signatures (`key:value|…`) differ, as far as it matters for the metric."""
    ours, theirs = (_parts(each.signature) for each in (score, champion))
    ignored = () if score.metric in OF_TOKENS else INSIDE
    return [key for key in dict.fromkeys((*ours, *theirs)) if ours.get(key) != theirs.get(key) and key not in ignored]


def _parts(signature: str) -> dict[str, str]:
    return {key: value for key, _, value in (part.partition(":") for part in signature.split("|"))}
