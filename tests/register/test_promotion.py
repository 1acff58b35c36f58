import re

import pytest

from tasks.compare.guards import GuardResult
from tasks.compare.verdict import Comparison
from tasks.register.promotion import Score, bars, weigh
from tasks.register.settings import RegisterSettings, problems
from tasks.stage.errors import RecipeError
from tasks.stage.settings import read_section
from tasks.stage.task import FAMILIES

OLD = Score("bits_per_byte", 2.0, "window:16|tok:a|data:d")
BASELINES = {"xz_bits_per_byte": 3.0, "unigram_bits_per_byte": 4.5}


def settings(**given: object) -> RegisterSettings:
    return RegisterSettings.model_validate(given)


def compared(gain: float, low: float, high: float, margin: float = 0.0) -> Comparison:
    verdict = "better" if low > 0 else "worse" if high < 0 else "cannot tell"
    return Comparison(
        metric="bits_per_byte", less_is_better=True, new=2.0 - gain, old=2.0, gain=gain, low=low, high=high, p=0.5,
        verdict=verdict, within_margin=low > -margin, documents=36, groups=12, method="by hand", detectable=0.1,
        more_documents=70, more_groups=20, noise=None, bootstrap_p=None,
    )  # fmt: skip


def alias(comparison: Comparison, *guards: GuardResult, **given: object) -> tuple[str, str]:
    return weigh(settings(**given), comparison, guards, "version 7")


def test_better_is_promoted_and_worse_and_cannot_tell_are_not() -> None:
    reigns, reason = alias(compared(0.1, 0.05, 0.15))
    assert reigns == "champion" and reason.startswith(
        "better: bits_per_byte 1.9000 against 2.0000 of version 7, a gain"
    )
    assert alias(compared(-0.1, -0.15, -0.05))[1].startswith("worse: bits_per_byte 2.1000 against 2.0000 of version 7")
    reigns, reason = alias(compared(0.1, -0.05, 0.25))
    assert reigns == "challenger" and reason.startswith("cannot tell: ")
    assert "about 70 more documents (20 groups) would decide this one" in reason


def test_a_smaller_gain_than_asked_for_is_not_enough() -> None:
    reigns, reason = alias(compared(0.1, 0.05, 0.15), min_improvement=0.2)
    assert reigns == "challenger" and reason.startswith("better by less than register.min_improvement 0.2: ")


@pytest.mark.parametrize(
    ("low", "high", "reigns"),
    [(-0.02, 0.04, "champion"), (-0.02, -0.01, "champion"), (-0.06, 0.08, "challenger"), (-0.08, -0.06, "challenger")],
)
def test_of_equals_the_newest_reigns_where_the_recipe_says_so(low: float, high: float, reigns: str) -> None:
    tie = compared((low + high) / 2, low, high, margin=0.05)
    assert alias(tie, margin=0.05, on_tie="newest")[0] == reigns
    assert alias(tie, margin=0.05)[0] == "challenger"


def guard(outcome: str, named: bool = True) -> GuardResult:
    return GuardResult("loss", "group", "macbeth", 0.0, outcome, "too few documents", 12, 3, named, "groups",
                       1.2, 1.0, -0.2, -0.3, -0.1, 0.01, 0.1)  # type: ignore[arg-type]  # fmt: skip


def test_a_broken_guard_and_one_without_evidence_stop_even_a_better_model() -> None:
    better = compared(0.1, 0.05, 0.15)
    assert alias(better, guard("kept"))[0] == "champion"
    reigns, reason = alias(better, guard("kept"), guard("broken"))
    assert reigns == "challenger" and reason.startswith("stopped by a guard: broken: loss of group macbeth: 1.2000")
    assert alias(better, guard("no evidence", named=False))[0] == "champion"  # one small slice of many
    assert alias(better, guard("no evidence"))[1].startswith("stopped by a guard: no evidence: loss of group macbeth")


def test_scores_are_comparable_on_the_same_text_with_the_same_settings() -> None:
    assert OLD.differs_in(Score("bits_per_byte", 1.0, "window:16|tok:b|data:d")) == []
    assert OLD.differs_in(Score("bits_per_byte", 1.0, "window:32|tok:a|data:e")) == ["window", "data"]


def test_scores_of_texts_compare_however_a_model_reads_them_and_scores_of_tokens_do_not() -> None:
    old, new = "task:x|source_length:64|tok:a|data:d", "task:x|source_length:128|tok:b|data:d"
    for metric, differing in (("bleu", []), ("accuracy", []), ("loss", ["source_length", "tok"])):
        assert Score(metric, 1.0, new).differs_in(Score(metric, 2.0, old)) == differing


def test_bars_hold_back_even_the_first_version() -> None:
    assert bars(settings(at_most=1.9), OLD, BASELINES) == "bits_per_byte 2.0000 is more than register.at_most 1.9"
    high = Score("bits_per_byte", 3.5, "")
    assert "not better than the baseline xz" in str(bars(settings(beat=("unigram", "xz")), high, BASELINES))
    assert bars(settings(beat=("unigram", "xz")), OLD, BASELINES) is None


def test_mistakes_in_the_section_name_file_and_key(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "recipes").mkdir()
    for text, problem in {
        "{metric: speed}": "speed",
        "{metric: loss, at_least: 2.0}": "at_least: lower loss is better; use at_most",
        "{metrics: loss}": "unknown key",
        "{min_improvement: -1}": "must be at least 0, not -1",
        "{compare_different_data: true}": "unknown key",
        "{on_tie: newest}": "needs a margin",
        "{guards: [{by: text}]}": "each document has its own text",
    }.items():
        (tmp_path / "recipes" / "x.yaml").write_text(f"register: {text}\n")
        with pytest.raises(RecipeError, match=f"recipes/x.yaml: register.*{problem}"):
            read_section("x", "register", RegisterSettings)


@pytest.mark.parametrize("task", FAMILIES)
def test_without_a_metric_the_headline_of_the_task_decides(task):
    first = next(iter(FAMILIES[task].metrics))
    assert RegisterSettings().metric_of(task) == first
    assert list(problems(RegisterSettings(beat=FAMILIES[task].metrics[first]), task)) == []


@pytest.mark.parametrize(
    ("settings", "task", "sentence"),
    [
        ({"metric": "bleu"}, "classification", r"metric: bleu is not a metric of classification \(available: mac"),
        ({"at_least": 1.0}, "masked-lm", "at_least: lower pseudo_perplexity is better; use at_most"),
        ({"at_most": 30.0}, "translation", "at_most: higher bleu is better; use at_least"),
        ({"guards": ({"metric": "bleu"},)}, "causal-lm", r"guards.0.metric: bleu is not a metric of causal-lm"),
        ({"beat": ("xz",)}, "translation", r"beat: no baseline 'xz' for bleu \(available: copy\)"),
    ],
)
def test_what_does_not_fit_the_task_is_told_with_its_key(settings, task, sentence):
    (problem,) = problems(RegisterSettings.model_validate(settings), task)
    assert re.match(sentence, problem)
