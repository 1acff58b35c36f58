"""Champion or challenger: a pure decision from recorded scores, with a sentence that says why.

Scores are compared only if they were measured the same way on the same text, that is, have the same signature; the
tokenizer may differ unless the metric is per token. Otherwise the champion stays: promoting a model on an incomparable
number is a mistake that nobody sees, while a waiting challenger is one command away from promotion. A recipe with a
growing test split can set `compare_different_data: true`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from tasks.register.settings import RegisterSettings
from tasks.stage.task import METRICS

CHAMPION, CHALLENGER = "champion", "challenger"
OF_TOKENS = ("perplexity", "loss", "pseudo_perplexity", "masked_accuracy")
"""Metrics per token; all others are per text, whatever the model's tokenizer."""
INSIDE = ("tok", "source_length")
"""Parts of a signature that do not matter to metrics per text."""


@dataclass(frozen=True)
class Score:
    """A headline metric and the signature that makes it comparable."""

    metric: str
    value: float
    signature: str


@dataclass(frozen=True)
class Decision:
    """The alias of a version, and a sentence that says why."""

    alias: str
    reason: str


def decide(
    settings: RegisterSettings,
    score: Score,
    metrics: Mapping[str, object],
    champion: Score | None,
    champion_version: str = "",
) -> Decision:
    """Champion or challenger; `metrics` holds the baselines, `champion` the current champion's score, if any."""
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
    gain = _gain(score, champion)
    caveat = f", though their signatures differ in {', '.join(differing)}" if differing else ""
    compared = f"{score.metric} {score.value:.4f} against {champion.value:.4f} of {name}{caveat}"
    if gain <= 0:
        return Decision(CHALLENGER, f"not better: {compared}")
    if gain < settings.min_improvement:
        return Decision(CHALLENGER, f"better by less than {settings.min_improvement:g}: {compared}")
    return Decision(CHAMPION, f"better: {compared}")


def doubts(
    settings: RegisterSettings,
    number: int,
    champion: Score,
    baselines: Mapping[str, float],
    others: Mapping[int, Score],
    command: str,
) -> Iterator[str]:
    """Why a champion may be a bad one: baselines that it does not beat, and the best of the other versions.

    `command` is the start of the command that makes another version champion.
    """
    metric, shown = champion.metric, f"version {number} is champion with {champion.metric} {champion.value:.4f}"
    unbeaten = {name: value for name, value in baselines.items() if _gain(champion, Score(metric, value, "")) <= 0}
    if unbeaten:
        named = ", ".join(f"{name} {value:.4f}" for name, value in unbeaten.items())
        every = "any baseline" if len(unbeaten) == len(baselines) else f"the baseline{'s' * (len(unbeaten) > 1)}"
        yield f"{shown}, which is not better than {every} ({named})"
    better = {
        other: _gain(score, champion)
        for other, score in others.items()
        if score.metric == metric and (settings.compare_different_data or not _differing(score, champion))
    }
    best = max(better, key=lambda other: (better[other], -other), default=0)
    if best and better[best] > 0 and better[best] >= settings.min_improvement:
        yield f"{shown}, but version {best} has {others[best].value:.4f}; to promote it: {command} {best}"


def _gain(score: Score, other: Score) -> float:
    """How much better a score is than another one of its metric."""
    return (other.value - score.value) * (1 if METRICS[score.metric] else -1)


def _gate(settings: RegisterSettings, score: Score, metrics: Mapping[str, object]) -> str | None:
    """Why this score may not become champion, whatever the current champion's; None if it may."""
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
    """Keys in which two signatures (`key:value|…`) differ, if they matter to the metric."""
    ours, theirs = (_parts(each.signature) for each in (score, champion))
    ignored = () if score.metric in OF_TOKENS else INSIDE
    return [key for key in dict.fromkeys((*ours, *theirs)) if ours.get(key) != theirs.get(key) and key not in ignored]


def _parts(signature: str) -> dict[str, str]:
    return {key: value for key, _, value in (part.partition(":") for part in signature.split("|"))}
