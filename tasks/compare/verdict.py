"""Better, worse, or cannot tell: the verdict on two models scored on the same documents."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from tasks.compare.bootstrap import paired_bootstrap, sacrebleu_p
from tasks.compare.documents import Documents, require_same
from tasks.compare.statistics import statistic
from tasks.paired.jackknife import Estimate, estimate, quantile
from tasks.stage.errors import DataError

MOST_DRAWS, FEWEST_RESAMPLES = 100_000_000, 1000
"""With more than 10,000 groups there are fewer resamples than 10,000, at least sacrebleu's 1,000: two seconds of work,
not a minute."""

LEVEL, POWER = 0.95, 0.8
"""Of the interval, and of `detectable`."""

MOST_TIMES = 1000
"""A test text so many times as large is no sensible advice."""

Verdict = Literal["better", "worse", "cannot tell"]


@dataclass(frozen=True)
class Noise:
    """The spread of the metric between trainings that differ by their seed alone."""

    deviation: float
    """Standard deviation, in the metric's units."""
    seeds: int
    """Trainings that it was estimated from."""

    def __post_init__(self) -> None:
        """Raises DataError for a deviation that is no estimate."""
        if self.seeds < 2:
            raise DataError(f"the spread between seeds needs at least 2 trainings, not {self.seeds}")
        if not (math.isfinite(self.deviation) and self.deviation >= 0):
            raise DataError(f"the spread between seeds must be a finite number of at least 0, not {self.deviation}")


@dataclass(frozen=True)
class Comparison:
    """A new model against an old one."""

    metric: str
    less_is_better: bool
    new: float
    old: float
    gain: float
    """Positive: the new model is better."""
    low: float
    high: float
    """The 95 % interval of the gain; infinite if there is a single group."""
    p: float
    """Two-sided; at most 0.05 exactly where the interval excludes 0."""
    verdict: Verdict
    within_margin: bool
    """Not worse by the margin or more: `low` is above -margin (non-inferiority)."""
    documents: int
    groups: int
    """Groups with text to score: what the verdict stands on."""
    method: str
    detectable: float
    """The smallest true gain that would be found with 80 % power."""
    more_documents: int | None
    """For "cannot tell": about how many more documents would decide it, if the gain stays as it is; None if that is no
    sensible number."""
    more_groups: int | None
    """How many groups those are, at the present documents per group."""
    noise: dict[str, float] | None
    """Spread between seeds in the interval: `deviation`, `seeds`; None if unknown."""
    bootstrap_p: float | None
    """The p of `sacrebleu --paired-bs` with groups as units, for comparison with the literature; about half of a
    two-sided one, and too small with few groups. None for a single group."""

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON values; infinite ones are null."""
        return {name: _finite(value) for name, value in asdict(self).items()}

    def sentence(self) -> str:
        """The verdict, its figures and the method, without a full stop at the end."""
        return f"{self.verdict}: {self.figures()}" + (f"; {self.method}" if self.groups > 1 else "")

    def figures(self, old: str = "") -> str:
        """What the verdict stands on: `bits_per_byte 1.9113 against 1.9604 of version 3, a gain of …`; `old` is the
        name of the old model."""
        told = f"{self.metric} {shown(self.new)} against {shown(self.old)}{f' of {old}' if old else ''}"
        where = f"{counted(self.documents, 'document')} in {counted(self.groups, 'group')}"
        if self.groups < 2:
            return f"{told} on {where}: a single group says nothing about other text; test on more groups"
        gain = f"a gain of {shown(self.gain)}" if self.gain >= 0 else f"a loss of {shown(-self.gain)}"
        told += f", {gain} (95 % interval {shown(self.low)} to {shown(self.high)}, p {_p(self.p)}) on {where}"
        if self.noise is not None:
            told += f", with the spread of {self.noise['seeds']:.0f} seeds"
        if self.verdict != "cannot tell":
            return told
        told += f"; this test text shows gains from {shown(self.detectable)} on"
        if self.more_documents is not None and self.more_groups is not None:
            more = f"{counted(self.more_documents, 'more document')} ({counted(self.more_groups, 'group')})"
            told += f", and about {more} would decide this one"
        return told


def compare(
    new: Documents,
    old: Documents,
    metric: str,
    settings: Mapping[str, Any],
    *,
    margin: float = 0.0,
    noise: Noise | None = None,
    resamples: int = 10_000,
) -> Comparison:
    """Compare two models by a metric, paired by document; groups are the units.

    `settings`: the section `evaluate` of the recipe. `margin`: a loss that does not matter. `resamples`: of the
    bootstrap, fewer with more than 10,000 groups. Raises DataError if the documents are not the same, or the metric
    cannot be computed on them.
    """
    require_same(new, old, metric)
    ours, theirs = statistic(new, metric, settings), statistic(old, metric, settings)
    known = estimate(ours, theirs, new.groups)
    whole = with_noise(known, noise)
    resampled = None
    if known.units > 1:
        times = min(resamples, max(FEWEST_RESAMPLES, MOST_DRAWS // known.units))
        resampled = sacrebleu_p(*paired_bootstrap(ours, theirs, new.groups, times), known.gain)
    half = whole.half_width(LEVEL)
    low, high = whole.gain - half, whole.gain + half
    verdict: Verdict = "better" if low > 0 else "worse" if high < 0 else "cannot tell"
    larger = None if verdict != "cannot tell" else _times(known, noise)
    return Comparison(
        metric=metric, less_is_better=ours.less_is_better, new=known.new, old=known.old, gain=known.gain,
        low=low, high=high, p=whole.p, verdict=verdict, within_margin=low > -margin, documents=len(new),
        groups=known.units, method=method(whole), detectable=detectable(whole),
        more_documents=None if larger is None else _about((larger - 1) * len(new)),
        more_groups=None if larger is None else _about((larger - 1) * known.units),
        noise=None if noise is None else asdict(noise), bootstrap_p=resampled,
    )  # fmt: skip


def with_noise(known: Estimate, noise: Noise | None) -> Estimate:
    """An estimate that counts the seeds of both trainings: variances add up, 2 · deviation² for the difference.

    Degrees of freedom by Welch and Satterthwaite (Satterthwaite, Biometrics Bulletin 1946).
    """
    if noise is None or not noise.deviation or not math.isfinite(known.error):
        return known
    text, seeds = known.error**2, 2 * noise.deviation**2
    degrees = (text + seeds) ** 2 / (text**2 / known.degrees + seeds**2 / (noise.seeds - 1))
    return replace(known, error=math.sqrt(text + seeds), degrees=degrees)


def detectable(known: Estimate) -> float:
    """The smallest true gain that the two-sided test finds with 80 % power: its ratio to the standard error is the
    noncentrality of the t distribution that exceeds the test's bound in four of five cases (Cohen 1988, chapter 2)."""
    return known.error * noncentrality(known.degrees, (1 + LEVEL) / 2)


def noncentrality(degrees: float, level: float) -> float:
    """How many standard errors from 0 a t test finds with 80 % power; `level`: the quantile that it must exceed."""
    from scipy.special import nctdtrinc

    return float(nctdtrinc(degrees, 1 - POWER, quantile(degrees, level)))


def method(known: Estimate) -> str:
    """How an estimate was made."""
    if known.units < 2:
        return "none: a single group"
    degrees = f"{known.degrees:.1f}" if known.degrees < 100 else f"{known.degrees:,.0f}"
    return f"jackknife over groups, t with {degrees} degrees of freedom"


def _times(known: Estimate, noise: Noise | None) -> float | None:
    """How many times as many groups would show this gain with 80 % power; None if the gain is 0, or none would."""

    def shows(times: float) -> bool:
        more = replace(
            known, error=known.error / math.sqrt(times), degrees=max(known.effective * times - 1, known.degrees)
        )
        return detectable(with_noise(more, noise)) <= abs(known.gain)

    if not known.gain or not math.isfinite(known.error) or not shows(MOST_TIMES):
        return None
    few, enough = 1.0, float(MOST_TIMES)
    while enough / few > 1.001:
        middle = math.sqrt(few * enough)
        few, enough = (few, middle) if shows(middle) else (middle, enough)
    return enough


def _about(number: float) -> int:
    """A number of two digits and zeros, not below `number`."""
    step = 10 ** max(0, math.floor(math.log10(max(number, 1))) - 1)
    return math.ceil(number / step) * step


def shown(value: float) -> str:
    """A number of a sentence: four decimals, or more digits if it is small."""
    return f"{value:.4f}" if not value or abs(value) >= 0.01 else f"{value:.3g}"


def counted(number: int, what: str) -> str:
    """`1 group`, `2,000 groups`."""
    return f"{number:,} {what}" + ("" if number == 1 else "s")


def _p(value: float) -> str:
    return "below 0.0001" if value < 0.0001 else f"{value:.3g}"


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
