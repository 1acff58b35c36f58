import numpy as np
import pytest

from tasks.evaluate.bootstrap import interval, resampled_sums
from tasks.evaluate.settings import BootstrapSettings
from tasks.evaluate.translation import TranslationMetric
from tests.evaluate.texts import SOURCES, TARGETS

OUTPUTS = ["le chat était sur le tapis.", "un chien", "y", "la maison est très vieille.", "ne pas", "", "elle", "pluie"]


def scored(outputs: list[str], settings: BootstrapSettings, tokenize: str = "13a") -> dict[str, float]:
    metric = TranslationMetric(tokenize)
    for at in range(0, len(outputs), 3):  # several batches of a corpus
        metric.add(outputs[at : at + 3], TARGETS[at : at + 3])
    return metric.scores() | metric.intervals(settings)


@pytest.mark.parametrize("tokenize", ["13a", "intl", "char"])
def test_scores_and_intervals_are_those_of_sacrebleu(tokenize, monkeypatch):
    from sacrebleu.metrics import BLEU, CHRF

    monkeypatch.setenv("SACREBLEU_SEED", "7")
    found = scored(OUTPUTS, BootstrapSettings(samples=200, seed=7), tokenize)
    for name, metric in (("bleu", BLEU(tokenize=tokenize)), ("chrf", CHRF())):
        wanted = metric.corpus_score(OUTPUTS, [TARGETS], n_bootstrap=200)
        assert found[name] == pytest.approx(wanted.score, abs=1e-6)
        assert (found[f"{name}_high"] - found[f"{name}_low"]) / 2 == pytest.approx(wanted._ci, abs=1e-3)
        assert found[f"{name}_low"] < found[name] < found[f"{name}_high"]
        copied = metric.corpus_score(SOURCES, [TARGETS]).score
        assert scored(SOURCES, BootstrapSettings(), tokenize)[name] == pytest.approx(copied, abs=1e-6)


def test_a_copy_of_the_reference_scores_100_and_a_wrong_order_less():
    settings = BootstrapSettings(samples=50, seed=1)
    found = scored(TARGETS, settings)
    assert [found[key] for key in ("bleu", "chrf", "bleu_low", "chrf_high")] == [100.0] * 4
    assert scored(TARGETS[::-1], settings)["bleu"] < 50


def test_resamples_are_those_of_sacrebleu(monkeypatch):
    from sacrebleu.significance import _bootstrap_resample

    class Sum:
        def _compute_score_from_stats(self, sums):
            return sums.copy()

    monkeypatch.setenv("SACREBLEU_SEED", "3")
    rows = np.random.default_rng(0).integers(0, 9, (11, 4))
    _, wanted = _bootstrap_resample(rows.tolist(), Sum(), 60)
    np.testing.assert_array_equal(resampled_sums(rows, BootstrapSettings(samples=60, seed=3)), wanted)


def test_an_interval_leaves_out_a_fortieth_at_each_end():
    assert interval(range(1000)) == (25, 974)
    assert interval([3.0, 1.0, 2.0]) == (1.0, 3.0)
