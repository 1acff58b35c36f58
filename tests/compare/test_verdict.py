"""Better, worse, cannot tell; intervals, power, margins and the noise of seeds."""

import json
import math

import numpy as np
import pytest

from tasks.compare.documents import Documents
from tasks.compare.verdict import Comparison, Noise, compare
from tasks.stage.errors import DataError
from tests.compare.scores import alone, documents, pair


def two(gain: float, groups: int = 40, each: int = 5, noise: float = 0.1, seed: int = 0) -> tuple[Documents, Documents]:
    """A causal model that is better by `gain` bits per byte, with group effects of `noise`."""
    random = np.random.default_rng(seed)
    names = [f"g{number // each}" for number in range(groups * each)]
    sizes = random.integers(100, 300, len(names))
    old = sizes * random.uniform(1.5, 2.5, len(names))
    effects = np.repeat(random.normal(gain, noise, groups), each) + random.normal(0, noise, len(names))
    losses = (old - sizes * effects) * math.log(2), old * math.log(2)
    first, second = (documents("causal-lm", names, bytes=sizes, tokens=sizes, loss=loss) for loss in losses)
    return first, second


def verdict(gain: float, **more) -> Comparison:
    return compare(*two(gain), "bits_per_byte", {}, resamples=200, **more)


def test_better_worse_and_cannot_tell() -> None:
    better, worse, same = verdict(0.1), verdict(-0.1), verdict(0.001)
    assert (better.verdict, worse.verdict, same.verdict) == ("better", "worse", "cannot tell")
    assert 0 < better.low < better.gain < better.high and better.less_is_better
    assert better.gain == pytest.approx(better.old - better.new) and better.gain == pytest.approx(0.1, abs=0.05)
    assert better.p <= 0.05 < same.p and worse.high < 0 and worse.p <= 0.05
    assert (better.documents, better.groups) == (200, 40)
    assert better.more_documents is None and same.more_documents is not None
    assert 0 < better.bootstrap_p < 0.05 < same.bootstrap_p  # type: ignore[operator]


def test_the_other_way_round_is_the_opposite() -> None:
    new, old = two(0.1)
    there, back = compare(new, old, "bits_per_byte", {}), compare(old, new, "bits_per_byte", {})
    assert (there.verdict, back.verdict) == ("better", "worse")
    assert (back.gain, back.low, back.high) == pytest.approx((-there.gain, -there.high, -there.low))
    assert (back.p, back.detectable) == pytest.approx((there.p, there.detectable))


def test_more_is_better_for_a_metric_where_more_is_better() -> None:
    names = alone(60)
    references = [f"word{number} and some other words" for number in range(60)]
    good = documents("translation", names, prediction=references, reference=references)
    bad = documents("translation", names, prediction=["some other words"] * 60, reference=references)
    found = compare(good, bad, "chrf", {})
    assert (found.verdict, found.less_is_better, found.new) == ("better", False, 100.0)
    assert found.gain == pytest.approx(found.new - found.old)


def test_a_single_group_never_tells() -> None:
    new, old = two(0.5, groups=1, each=200)
    found = compare(new, old, "bits_per_byte", {}, noise=Noise(0.001, 5))
    assert (found.verdict, found.groups, found.p, found.within_margin) == ("cannot tell", 1, 1.0, False)
    assert (found.low, found.high, found.more_documents, found.bootstrap_p) == (-math.inf, math.inf, None, None)
    assert found.sentence().endswith("on 200 documents in 1 group: a single group says nothing about other text; "
                                     "test on more groups")  # fmt: skip
    told = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert (told["low"], told["detectable"], told["verdict"]) == (None, None, "cannot tell")


def test_three_groups_tell_only_what_is_clear() -> None:
    lucky = [compare(*two(0.2, groups=3, seed=seed), "bits_per_byte", {}).verdict == "better" for seed in range(20)]
    assert sum(lucky) < 12
    found = compare(*two(1.0, groups=3, noise=0.05), "bits_per_byte", {})
    assert found.verdict == "better" and "in 3 groups" in found.sentence() and "freedom" in found.method


def test_the_interval_holds_zero_exactly_where_p_is_above_five_percent() -> None:
    for seed in range(40):
        found = compare(*two(0.03, groups=10, seed=seed), "bits_per_byte", {}, resamples=1)
        assert (found.verdict == "cannot tell") == (found.p > 0.05) == (found.low <= 0 <= found.high)


@pytest.mark.parametrize("groups", [8, 40])
def test_a_detectable_gain_is_detected_in_four_of_five_cases(groups: int) -> None:
    shown = [compare(*two(0.0, groups, seed=seed), "bits_per_byte", {}, resamples=1) for seed in range(150)]
    gain = float(np.mean([each.detectable**2 for each in shown]) ** 0.5)
    found = [compare(*two(gain, groups, seed=seed), "bits_per_byte", {}, resamples=1) for seed in range(150, 400)]
    assert np.mean([each.verdict == "better" for each in found]) == pytest.approx(0.8, abs=0.08)


def test_as_many_more_documents_as_advised_decide_it() -> None:
    few = compare(*two(0.03, 30, seed=3), "bits_per_byte", {})
    assert few.verdict == "cannot tell" and few.more_documents is not None and few.more_groups is not None
    assert few.more_documents == pytest.approx(5 * few.more_groups, rel=0.1)
    groups = 30 + few.more_groups
    found = [compare(*two(few.gain, groups, seed=seed), "bits_per_byte", {}, resamples=1) for seed in range(60)]
    assert np.mean([each.verdict == "better" for each in found]) >= 0.65
    told = few.sentence()
    assert told.startswith("cannot tell: bits_per_byte ") and "in 30 groups" in told
    assert f"about {few.more_documents:,} more documents ({few.more_groups:,} groups) would decide this one" in told


def test_no_number_of_documents_decides_between_equal_models() -> None:
    new, _ = two(0.0)
    found = compare(new, new, "bits_per_byte", {})
    assert (found.gain, found.p, found.verdict, found.more_documents) == (0.0, 1.0, "cannot tell", None)


def test_a_loss_within_the_margin() -> None:
    assert not verdict(0.0).within_margin and verdict(0.0, margin=0.2).within_margin
    assert not verdict(-0.3, margin=0.2).within_margin and verdict(0.1).within_margin


def test_the_noise_of_seeds_widens_the_interval() -> None:
    plain, noisy = verdict(0.1), verdict(0.1, noise=Noise(0.05, 5))
    assert (plain.verdict, noisy.verdict) == ("better", "cannot tell")
    assert noisy.gain == plain.gain and noisy.low < plain.low and noisy.high > plain.high
    assert noisy.noise == {"deviation": 0.05, "seeds": 5} and "with the spread of 5 seeds" in noisy.sentence()
    assert noisy.more_documents is None  # the seeds alone differ by more
    assert noisy.detectable > plain.detectable
    assert verdict(0.1, noise=Noise(0.0, 5)).low == plain.low
    few, many = (verdict(0.1, noise=Noise(0.02, seeds)) for seeds in (2, 50))
    assert few.low < many.low and few.bootstrap_p == many.bootstrap_p


def test_models_that_differ_by_their_seed_alone_are_rarely_told_apart() -> None:
    """The spread of the seeds is estimated from five trainings."""
    random, wrong, blind = np.random.default_rng(8), 0, 0
    for number in range(300):
        gain = random.normal(0, 0.05 * 2**0.5)
        spread = float(np.std(random.normal(0, 0.05, 5), ddof=1))
        both = two(gain, groups=20, noise=0.05, seed=number)
        wrong += compare(*both, "bits_per_byte", {}, noise=Noise(spread, 5), resamples=1).verdict != "cannot tell"
        blind += compare(*both, "bits_per_byte", {}, resamples=1).verdict != "cannot tell"
    assert wrong / 300 <= 0.08 and blind / 300 > 0.4


@pytest.mark.parametrize(("deviation", "seeds"), [(0.1, 1), (-0.1, 5), (math.nan, 5), (math.inf, 5)])
def test_a_spread_that_is_none_is_told(deviation: float, seeds: int) -> None:
    with pytest.raises(DataError, match="the spread between seeds"):
        Noise(deviation, seeds)


@pytest.mark.parametrize("task", ["causal-lm", "translation", "summarization", "masked-lm", "classification"])
def test_every_metric_has_a_verdict(task: str) -> None:
    from tasks.stage.task import FAMILIES

    new, old = pair(task, [f"g{number % 8}" for number in range(80)])
    for metric in FAMILIES[task].metrics:
        found = compare(new, old, metric, {}, resamples=100)
        assert found.groups == 8 and found.low < found.gain < found.high and 0 < found.p <= 1
        assert json.loads(json.dumps(found.to_json(), allow_nan=False))["metric"] == metric
        assert metric in found.sentence()
