"""The bootstrap is sacrebleu's, SciPy's, and that of a slow loop."""

import math
from typing import Any

import numpy as np
import pytest

from tasks.compare import bootstrap
from tasks.compare.bootstrap import paired_bootstrap, sacrebleu_p
from tasks.compare.statistics import statistic
from tasks.stage.task import FAMILIES
from tests.compare.scores import alone, pair

EVERY = [(task, metric) for task, family in FAMILIES.items() for metric in family.metrics]


@pytest.mark.parametrize("seed", [1, 12345])
def test_p_is_that_of_sacrebleus_paired_test(seed: int, monkeypatch) -> None:
    from sacrebleu.metrics import BLEU, CHRF
    from sacrebleu.significance import PairedTest

    new, old = pair("translation", alone(70), seed)
    monkeypatch.setenv("SACREBLEU_SEED", str(seed))
    named = [("old", old.strings("prediction")), ("new", new.strings("prediction"))]
    scorers = {"BLEU": BLEU(), "chrF2": CHRF()}
    _, wanted = PairedTest(named, scorers, [new.strings("reference")], test_type="bs", n_samples=500)()
    for name, metric in (("BLEU", "bleu"), ("chrF2", "chrf")):
        ours, theirs = statistic(new, metric, {}), statistic(old, metric, {})
        scores = paired_bootstrap(ours, theirs, None, 500, seed)
        result: Any = wanted[name][1]
        assert ours.total() == pytest.approx(result.score)
        assert scores[0].mean() == pytest.approx(result.mean, rel=1e-5)
        assert sacrebleu_p(*scores, ours.total() - theirs.total()) == result.p_value
        assert 0.01 < result.p_value < 0.9


@pytest.mark.parametrize(("task", "metric"), EVERY)
def test_a_resample_is_the_metric_of_the_documents_of_the_groups_drawn(task: str, metric: str, monkeypatch) -> None:
    """A slow plain loop over the groups drawn gives the same scores, however the resamples are cut into parts."""
    groups = [f"g{number * number % 7}" for number in range(40)]
    new, old = pair(task, groups, seed=5)
    ours, theirs = statistic(new, metric, {}), statistic(old, metric, {})
    monkeypatch.setattr(bootstrap, "CELLS", 50)
    found = paired_bootstrap(ours, theirs, groups, 30, seed=9)
    random, names = np.random.default_rng(9), list(dict.fromkeys(groups))
    for resample in range(30):
        drawn = [names[number] for number in random.choice(len(names), size=len(names), replace=True)]
        rows = np.array([row for name in drawn for row, group in enumerate(groups) if group == name])
        for scores, each in zip(found, (ours, theirs), strict=True):
            assert scores[resample] == pytest.approx(each.take(rows).total())


def test_means_are_resampled_as_by_scipy() -> None:
    from scipy.stats import bootstrap as scipy_bootstrap

    new, old = pair("summarization", alone(200), seed=2)
    ours, theirs = statistic(new, "rouge1", {}), statistic(old, "rouge1", {})
    first, second = paired_bootstrap(ours, theirs, None, 20_000)
    values = new.numbers("rouge1") - old.numbers("rouge1")
    wanted = scipy_bootstrap((values,), np.mean, n_resamples=20_000, method="percentile", rng=3)
    interval = np.quantile(first - second, [0.025, 0.975])
    error = wanted.standard_error
    np.testing.assert_allclose(interval, wanted.confidence_interval, atol=0.1 * error)
    assert np.std(first - second, ddof=1) == pytest.approx(error, rel=0.03)


def test_undefined_resamples_do_not_count() -> None:
    new, old = np.array([1.0, np.nan, 3.0, 2.0]), np.array([0.5, np.nan, 1.0, 1.8])
    assert sacrebleu_p(new, old, 0.8) == pytest.approx((1 + (2.0 - (0.5 + 2.0 + 0.2) / 3 > 0.8)) / 4)
    assert math.isfinite(sacrebleu_p(new, old, 0.8))
