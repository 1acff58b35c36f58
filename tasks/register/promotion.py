"""Champion or challenger: pure rules, from scores and from the comparison with the champion, each with a sentence.

A version must pass the bars of its recipe (`at_most`, `at_least`, `beat`). Then it meets the champion document by
document on the same text: it must be better, or as good where the recipe prefers the newest of equals, and no guard may
be broken. Where the comparison cannot be made, the champion stays.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tasks.compare.signature import DATA, comparable_parts, differing
from tasks.register.settings import RegisterSettings
from tasks.stage.task import METRICS

if TYPE_CHECKING:
    from tasks.compare.guards import GuardResult
    from tasks.compare.verdict import Comparison

CHAMPION, CHALLENGER = "champion", "challenger"


@dataclass(frozen=True)
class Score:
    """A headline metric and the signature that makes it comparable."""

    metric: str
    value: float
    signature: str

    @property
    def parts(self) -> dict[str, str]:
        """The signature, as far as it matters to the metric."""
        return comparable_parts(self.signature, self.metric)

    @property
    def text(self) -> str:
        """The hash of the test text; empty if the signature has none."""
        return self.parts.get(DATA, "")

    def differs_in(self, other: "Score") -> list[str]:
        """The parts of the signatures that keep two scores of one metric from being compared."""
        return differing(other.parts, self.parts)


@dataclass(frozen=True)
class Decision:
    """The alias of a version, and a sentence that says why."""

    alias: str
    reason: str
    verdict: Mapping[str, Any] | None = None
    """The figures of the comparison with the champion; None without one."""


def bars(settings: RegisterSettings, score: Score, metrics: Mapping[str, object]) -> str | None:
    """Why this score may not become champion, whatever the current champion's; None if it may.

    `metrics` holds the baselines.
    """
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


def weigh(
    settings: RegisterSettings, compared: "Comparison", guards: "Sequence[GuardResult]", name: str
) -> tuple[str, str]:
    """The alias of a new version after its comparison with the champion, `name`, and why."""
    figures = compared.figures(name)
    if stopped := [guard.sentence() for guard in guards if guard.stops]:
        return CHALLENGER, f"stopped by {'a guard' if len(stopped) == 1 else 'guards'}: {'; '.join(stopped)}; {figures}"
    if compared.verdict == "better" and compared.gain < settings.min_improvement:
        return CHALLENGER, f"better by less than register.min_improvement {settings.min_improvement:g}: {figures}"
    if compared.verdict == "better":
        return CHAMPION, f"better: {figures}"
    if settings.on_tie == "newest" and compared.within_margin:
        return CHAMPION, f"a tie within register.margin {settings.margin:g}, and the newest reigns: {figures}"
    return CHALLENGER, f"{compared.verdict}: {figures}"


def doubts(
    number: int, champion: Score, baselines: Mapping[str, float], others: Mapping[int, Score], command: str
) -> Iterator[str]:
    """Why a champion may be a bad one: baselines that it does not beat, and the best version that it never met.

    `others`: the versions that no gate has judged. `command`: the start of the command that makes one champion.
    """
    shown = f"version {number} is champion with {champion.metric} {champion.value:.4f}"
    unbeaten = {name: value for name, value in baselines.items() if _gain(champion, value) <= 0}
    if unbeaten:
        named = ", ".join(f"{name} {value:.4f}" for name, value in unbeaten.items())
        every = "any baseline" if len(unbeaten) == len(baselines) else f"the baseline{'s' * (len(unbeaten) > 1)}"
        yield f"{shown}, which is not better than {every} ({named})"
    rivals = {
        other: _gain(score, champion.value)
        for other, score in others.items()
        if score.metric == champion.metric and not score.differs_in(champion)
    }
    best = max(rivals, key=lambda other: (rivals[other], -other), default=0)
    if best and rivals[best] > 0:
        yield f"{shown}, but version {best} has {others[best].value:.4f}; to promote it: {command} {best}"


def _gain(score: Score, other: float) -> float:
    """How much better a score is than another value of its metric."""
    return (other - score.value) * (1 if METRICS[score.metric] else -1)
