"""What a sweep found: a table of its trials, the importance of each setting, a picture, the comment for the recipe."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Self

from flows.sweep.trials import Trial, rank, short_keys, told_value
from tasks.formats.figures import INK, TRAIN, dress, new_figure, save, short
from tasks.stage.progress import duration

if TYPE_CHECKING:
    import optuna
    from matplotlib.axes import Axes

FEWEST = 10
"""Complete trials for an importance. With fewer, fANOVA's forest mostly tells settings apart by luck."""
FAR = 3.0
"""The loss axis ends this many times as far from the best trial as the median is; worse ones are drawn at its end."""
FEW = 6
"""At most so many different values that trials share are choices, which stand at the same distances."""
DECADES = 20
"""Numbers that span more than this factor stand on a logarithmic axis."""
LOSS = "validation loss"
PRUNED = "#8c959f"


def table(trials: Sequence[Trial]) -> tuple[list[str], list[list[str]]]:
    """The columns and rows of a table, best trial first; keys by their last parts."""
    keys = _keys(trials)
    columns = ["", "trial", *short_keys(keys).values(), LOSS, "step", "time", ""]
    rows = []
    for place, trial in enumerate(rank(trials), start=1):
        note = trial.told if trial.state == "failed" else "" if trial.state == "complete" else trial.state
        rows.append(
            [
                str(place) if trial.state == "complete" else "",
                str(trial.number + 1),
                *(told_value(trial.values[key]) if key in trial.values else "" for key in keys),
                "" if trial.loss is None else f"{trial.loss:.4f}",
                f"{trial.step:,}" if trial.step else "",
                duration(trial.seconds),
                note,
            ]
        )
    return columns, rows


def importance(study: "optuna.Study") -> dict[str, float]:
    """By key, its share in how far the losses of complete trials differ, the largest first; the sum is 1.

    fANOVA (Hutter, Hoos and Leyton-Brown 2014, https://proceedings.mlr.press/v32/hutter14.html): a random forest
    predicts the loss, and its variance is split among the settings. Empty where it would be no figure: with fewer than
    FEWEST complete trials, with one setting, and where all losses are the same.
    """
    from optuna.importance import FanovaImportanceEvaluator, get_param_importances
    from optuna.trial import TrialState

    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    varied = [
        key for key in (complete[0].params if complete else {}) if len({str(t.params[key]) for t in complete}) > 1
    ]
    if len(complete) < FEWEST or len(varied) < 2 or len({trial.value for trial in complete}) < 2:
        return {}
    return dict(get_param_importances(study, evaluator=FanovaImportanceEvaluator(seed=0), params=varied))


def told_importance(found: Mapping[str, float], trials: Sequence[Trial]) -> str:
    """The importance of each setting in a line, or why there is none."""
    if found:
        names = short_keys(_keys(trials))
        return f"importance: {', '.join(f'{names[key]} {share:.0%}' for key, share in found.items())} (fANOVA)"
    complete = sum(trial.state == "complete" for trial in trials)
    if len(_keys(trials)) < 2:
        return "importance: with one setting, all of the difference is its own or chance"
    if complete < FEWEST:
        return f"importance: needs {FEWEST} complete trials, and there are {complete}"
    return "importance: none, since the trials differ in one setting at most, or their losses are all the same"


def comment(sweep: str, best: Trial, trials: int, day: date) -> str:
    """Where a value that `write_into` puts into a recipe comes from."""
    return f"by the sweep {sweep}, trial {best.number + 1} of {trials}, {LOSS} {best.loss:.4g}, {day}"


def picture(trials: Sequence[Trial], importance: Mapping[str, float], recipe: str = "") -> bytes:
    """A PNG with parallel coordinates: an axis per setting, the loss at the right, a line per trial.

    The best complete trial is drawn last and thick, the others the fainter the worse, pruned ones dashed and grey;
    failed ones are counted in the title. Numbers from a range get an axis of numbers, logarithmic if they span
    more than a factor of DECADES; all others an axis of choices, whose lines are spread a little.
    """
    keys, ranked = _keys(trials), rank(trials)
    complete = [trial for trial in ranked if trial.state == "complete" and trial.loss is not None]
    pruned = [trial for trial in ranked if trial.state == "pruned"]
    figure = new_figure(max(7.0, 2.1 * (len(keys) + 1) + 1.5), 4.8)
    axes = figure.subplots()
    scales = [_Scale.of([trial.values[key] for trial in trials if key in trial.values]) for key in keys]
    losses = _Scale.of_losses([trial.loss for trial in complete if trial.loss is not None])
    names = short_keys(keys)
    labels = [_label(names[key], importance.get(key)) for key in keys]
    for place, scale in enumerate(scales):
        _draw_axis(axes, place, scale)
    _draw_axis(axes, len(keys), losses, right=True)
    for number, trial in enumerate([*reversed(pruned), *reversed(complete)]):
        line = [
            scale.place(trial.values[key], trial.number) if key in trial.values else math.nan
            for key, scale in zip(keys, scales, strict=True)
        ]
        if trial.state == "pruned":
            axes.plot(range(len(line)), line, color=PRUNED, linewidth=0.9, linestyle=(0, (4, 3)), alpha=0.45, zorder=2)
            continue
        line.append(losses.place(trial.loss, trial.number))
        best = trial is complete[0]
        behind = (len(pruned) + len(complete) - 1 - number) / max(
            1, len(complete) - 1
        )  # 0 for the best, 1 for the worst
        axes.plot(
            range(len(line)),
            line,
            color=TRAIN,
            linewidth=2.6 if best else 1.2,
            alpha=1.0 if best else 0.75 - 0.6 * behind,
            zorder=4 if best else 3,
            marker="o" if best else None,
            markersize=5,
        )
    axes.set_xlim(-0.25, len(keys) + 0.45)
    axes.set_ylim(-0.04, 1.04)
    axes.set_xticks(range(len(keys) + 1), [*labels, LOSS], parse_math=False)
    axes.set_yticks([])
    axes.tick_params(axis="x", length=0, pad=8)
    axes.spines[:].set_visible(False)
    dress(figure, _title(trials, complete, pruned, recipe), grid=False)
    axes.spines[:].set_visible(False)
    with TemporaryDirectory() as folder:
        save(figure, path := Path(folder, "sweep.png"))
        return path.read_bytes()


@dataclass(frozen=True)
class _Scale:
    """Where values stand on an axis, from 0 to 1."""

    ticks: dict[float, str]
    """Place → label."""
    choices: list[str] = field(default_factory=list)
    spread: float = 0
    """How far apart the lines through one choice stand."""
    low: float = 0
    high: float = 1
    log: bool = False

    @classmethod
    def of(cls, values: Sequence[Any]) -> Self:
        """For the values of a setting."""
        numeric = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
        distinct = sorted(set(values)) if numeric else list(dict.fromkeys(map(told_value, values)))
        if not numeric or len(distinct) < 2 or (len(distinct) <= FEW and len(values) > len(distinct)):
            labels = [told_value(value) for value in distinct]
            spread = 0.3 / len(labels) if len(values) > len(labels) else 0
            return cls({(n + 0.5) / len(labels): label for n, label in enumerate(labels)}, labels, spread)
        low, high = float(distinct[0]), float(distinct[-1])
        return cls._of_numbers(low, high, low > 0 and high / low > DECADES)

    @classmethod
    def of_losses(cls, losses: Sequence[float]) -> Self:
        """For validation losses, the best first; a few very bad ones do not press the others together."""
        finite = [loss for loss in losses if math.isfinite(loss)]
        if not finite:
            return cls({})
        low, worst, median = finite[0], finite[-1], finite[len(finite) // 2]
        high = min(worst, low + FAR * (median - low)) if median > low else worst
        scale = cls._of_numbers(low, high if high > low else low + 1e-6 + 0.01 * abs(low), False)
        if high < worst:
            ends = {place: label for place, label in scale.ticks.items() if place < 0.94}
            return cls({**ends, 1.0: f"≥ {high:.4g}"}, low=scale.low, high=scale.high)
        return scale

    @classmethod
    def _of_numbers(cls, low: float, high: float, log: bool) -> Self:
        from matplotlib.ticker import LogLocator, MaxNLocator

        locator = LogLocator(subs=(1.0, 2.0, 5.0) if high / low < 1000 else (1.0,)) if log else MaxNLocator(6)
        scale = cls({}, low=low, high=high, log=log)
        ticks = {
            scale._share(float(tick)): f"{tick:g}" for tick in locator.tick_values(low, high) if low <= tick <= high
        }
        return cls(ticks, low=low, high=high, log=log)

    def place(self, value: Any, number: int) -> float:
        """The place of a value; lines through one choice are spread by the number of their trial."""
        if self.choices:
            aside = self.spread * ((number * 0.618034) % 1 - 0.5)  # by the golden ratio: even for any count
            return (self.choices.index(told_value(value)) + 0.5) / len(self.choices) + aside
        return min(max(self._share(float(value)), 0.0), 1.0) if math.isfinite(value) else 1.0

    def _share(self, value: float) -> float:
        if self.log:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)


def _keys(trials: Sequence[Trial]) -> list[str]:
    return list(dict.fromkeys(key for trial in trials for key in trial.values))


def _label(name: str, share: float | None) -> str:
    return short(name) if share is None else f"{short(name)}\n{share:.0%} of the difference"


def _draw_axis(axes: "Axes", place: int, scale: _Scale, right: bool = False) -> None:
    """A vertical line with the ticks of a scale, whose labels stand on white, over the lines of trials."""
    axes.plot([place, place], [0, 1], color=INK, linewidth=1.0, zorder=5)
    side = 1 if right else -1
    for at, label in scale.ticks.items():
        axes.plot([place, place + side * 0.015], [at, at], color=INK, linewidth=1.0, zorder=5)
        axes.text(
            place + side * 0.03, at, label, ha="left" if right else "right", va="center", fontsize=8.5, color=INK,
            zorder=6, parse_math=False,
            bbox={"boxstyle": "round,pad=0.12", "facecolor": "white", "edgecolor": "none", "alpha": 0.85},
        )  # fmt: skip


def _title(trials: Sequence[Trial], complete: Sequence[Trial], pruned: Sequence[Trial], recipe: str) -> str:
    counts = {
        "complete": len(complete),
        "pruned (dashed)": len(pruned),
        "failed": sum(t.state == "failed" for t in trials),
    }
    told = ", ".join(f"{count} {state}" for state, count in counts.items() if count)
    best = f"; best {complete[0].loss:.4g}, trial {complete[0].number + 1}" if complete else ""
    return f"{f'{recipe}: ' if recipe else ''}{told or 'no trial ended'}{best}"
