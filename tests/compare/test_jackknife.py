"""The standard error, and how often the test is wrong with few groups, unequal groups and heavy tails."""

from collections.abc import Callable

import numpy as np
import pytest

from tasks.compare.statistics import statistic
from tasks.paired.jackknife import Estimate, estimate, influences
from tasks.paired.sums import Statistic
from tasks.stage.task import FAMILIES
from tests.compare.scores import alone, pair

EVERY = [(task, metric) for task, family in FAMILIES.items() for metric in family.metrics]
Draw = Callable[[np.random.Generator, int], tuple[Statistic, Statistic, list[int]]]


def ratio(metric: str, above: np.ndarray, below: np.ndarray) -> Statistic:
    def value(sums: np.ndarray) -> np.ndarray:
        with np.errstate(invalid="ignore"):
            return sums[..., 0] / sums[..., 1]

    return Statistic(metric, np.column_stack([above, below]).astype(float), value, below.astype(float))


def members(random: np.random.Generator, groups: int, sizes: str, heavy: bool) -> tuple[np.ndarray, np.ndarray]:
    """The group of each document, and the effect of its group."""
    usual = 6 if groups == 300 else 30
    counts = np.full(groups, usual)
    if sizes == "one giant":
        counts[0] = usual * (groups - 1)
    elif sizes == "unequal":
        counts = np.maximum(1, usual / 2 * np.exp(random.normal(0, 1.3, groups))).astype(int)
    effects = random.standard_t(3, groups) / 3**0.5 if heavy else random.normal(size=groups)
    number = np.repeat(np.arange(groups), counts)
    return number, effects[number]


def bits(random: np.random.Generator, number: np.ndarray, effects: np.ndarray, gain: float = 0.0):
    """Bits per byte of documents of unequal sizes; group effects make most of the variance, so that luck within groups
    does not hide a wrong method."""
    sizes = np.round(np.exp(random.normal(6, 0.7, len(number))))
    old = sizes * random.normal(2.0, 0.3, len(number))
    new = old - sizes * (gain + 0.02 * effects + 0.05 * random.normal(size=len(number)))
    return ratio("bits_per_byte", new, sizes), ratio("bits_per_byte", old, sizes)


def accuracy(random: np.random.Generator, number: np.ndarray, effects: np.ndarray, gain: float = 0.0):
    """Right or wrong; the models differ on three documents in ten."""
    differ = random.random(len(number)) < 0.3
    wins = random.random(len(number)) < np.clip(0.5 + gain + 0.25 * effects, 0.02, 0.98)
    both = random.random(len(number)) < 0.7
    ones = np.ones(len(number))
    return tuple(ratio("accuracy", np.where(differ, side, both), ones) for side in (wins, ~wins))


def errors(make: Callable, groups: int, sizes: str, heavy: bool, times: int) -> float:
    """How often two models that differ by chance are told apart at 5 %."""
    random = np.random.default_rng(groups)
    wrong = 0
    for _ in range(times):
        number, effects = members(random, groups, sizes, heavy)
        wrong += estimate(*make(random, number, effects), number.tolist()).p <= 0.05
    return wrong / times


@pytest.mark.parametrize("heavy", [False, True], ids=["normal", "heavy tails"])
@pytest.mark.parametrize("sizes", ["equal", "unequal", "one giant"])
@pytest.mark.parametrize("groups", [3, 10, 30, 300])
@pytest.mark.parametrize("make", [bits, accuracy])
def test_models_that_differ_by_chance_are_told_apart_in_five_percent(make, groups, sizes, heavy) -> None:
    """600 simulations have a standard error of 0.9 % at 5 %."""
    times = 600 if groups < 300 else 300
    assert errors(make, groups, sizes, heavy, times) <= 0.05 + 2.5 * (0.05 * 0.95 / times) ** 0.5


def test_a_bootstrap_over_three_groups_is_wrong_far_more_often() -> None:
    """What the method is for; it also shows that these simulations can find a dishonest method."""
    random, wrong = np.random.default_rng(0), 0
    from tasks.compare.bootstrap import paired_bootstrap

    for _ in range(300):
        number, effects = members(random, 3, "equal", False)
        new, old = bits(random, number, effects)
        ours, theirs = paired_bootstrap(new, old, number.tolist(), 200)
        low, high = np.quantile(theirs - ours, [0.025, 0.975])
        wrong += not low <= 0 <= high
    assert wrong / 300 > 0.15


@pytest.mark.parametrize(("groups", "least"), [(3, 0.75), (10, 0.95), (30, 0.99)])
def test_a_clear_gain_is_found(groups: int, least: float) -> None:
    """A gain of six standard errors (of three groups: with two degrees of freedom 4.3 are needed)."""
    random, found = np.random.default_rng(groups), 0
    for _ in range(200):
        number, effects = members(random, groups, "equal", False)
        gain = 6 * (0.02**2 / groups + 0.05**2 * 1.6 / len(number)) ** 0.5
        found += estimate(*bits(random, number, effects, gain), number.tolist()).p <= 0.05
    assert found / 200 >= least


@pytest.mark.parametrize(("task", "metric"), EVERY)
def test_a_slow_loop_that_leaves_out_one_group_agrees(task: str, metric: str) -> None:
    groups = [f"g{number % 6}" for number in range(60)]
    new, old = pair(task, groups, seed=4)
    ours, theirs = statistic(new, metric, {}), statistic(old, metric, {})
    sign = -1 if ours.less_is_better else 1
    gain = sign * (ours.total() - theirs.total())

    def slow(names: dict[int, str]) -> float:
        squares = []
        for name in set(names.values()):
            rows = np.array([row for row in range(60) if names.get(row) != name])
            squares.append((sign * (ours.take(rows).total() - theirs.take(rows).total()) - gain) ** 2)
        return (sum(squares) * (len(squares) - 1) / len(squares)) ** 0.5

    found = estimate(ours, theirs, groups)
    single = slow({row: str(row) for row, weight in enumerate(ours.weights) if weight > 0})
    assert found.gain == pytest.approx(gain) and found.units == 6
    assert found.error == pytest.approx(max(slow(dict(enumerate(groups))), single))


def test_of_a_mean_it_is_the_t_test() -> None:
    """Equal weights and one document per group: SciPy's paired t-test; its permutation test agrees."""
    from scipy.stats import permutation_test, ttest_rel

    new, old = pair("summarization", alone(80), seed=11)
    ours, theirs = statistic(new, "rouge2", {}), statistic(old, "rouge2", {})
    found = estimate(ours, theirs, None)
    values = new.numbers("rouge2"), old.numbers("rouge2")
    wanted = ttest_rel(*values)
    assert found.p == pytest.approx(wanted.pvalue) and found.degrees == pytest.approx(79)
    interval = wanted.confidence_interval(0.95)
    half = found.half_width(0.95)
    assert (found.gain - half, found.gain + half) == pytest.approx(tuple(interval))
    assert found.below(1.0) == pytest.approx(ttest_rel(values[0] - 1.0, values[1], alternative="less").pvalue)
    flipped = permutation_test(values, lambda x, y: np.mean(x - y), permutation_type="samples", rng=1)
    assert found.p == pytest.approx(flipped.pvalue, abs=0.02)


def test_groups_of_unequal_size_are_fewer_in_effect() -> None:
    sizes = np.array([80.0, 10.0, 10.0])
    random = np.random.default_rng(1)
    ours, theirs = (ratio("bits_per_byte", sizes * random.uniform(1, 2, 3), sizes) for _ in range(2))
    found = estimate(ours, theirs, ["a", "b", "c"])
    assert found.effective == pytest.approx(1 / (0.8**2 + 2 * 0.1**2))
    assert found.degrees == pytest.approx(found.effective - 1)
    assert found.half_width(0.95) > 50 * found.error


def test_documents_without_text_are_no_groups() -> None:
    sizes = np.array([10.0, 10.0, 0.0, 0.0])
    ours, theirs = (ratio("bits_per_byte", sizes * number, sizes) for number in (1, 2))
    assert estimate(ours, theirs, ["a", "b", "c", "c"]).units == 2
    only = estimate(ours, theirs, ["a", "a", "b", "c"])
    assert (only.units, only.error, only.p, only.below(0)) == (1, np.inf, 1.0, 1.0)


def test_a_few_documents_that_all_agree_are_no_proof() -> None:
    """Their spread is 0; a sign test on n documents gives 2^(1 - n) at the least."""
    for count, p in ((2, 0.5), (3, 0.25), (6, 0.03125)):
        ours, theirs = (ratio("accuracy", np.full(count, right), np.ones(count)) for right in (1, 0))
        assert estimate(ours, theirs, alone(count)).p == pytest.approx(p)


def test_the_same_model_gains_nothing() -> None:
    new, _ = pair("classification", alone(30))
    ours = statistic(new, "macro_f1", {})
    found = estimate(ours, ours, new.groups)
    assert (found.gain, found.error, found.p) == (0.0, 0.0, 1.0)
    assert Estimate(1, 0, 1.0, 0.0, 5.0, 6, 6.0).p == 0.0


def test_the_influence_of_a_document_is_what_the_gain_loses_without_it() -> None:
    new, old = pair("translation", alone(20))
    ours, theirs = statistic(new, "bleu", {}), statistic(old, "bleu", {})
    rest = np.arange(1, 20)
    wanted = ours.total() - theirs.total() - ours.take(rest).total() + theirs.take(rest).total()
    assert influences(ours, theirs)[0] == pytest.approx(wanted)
