import re

import pytest

from tasks.register.promotion import Score, decide
from tasks.register.settings import RegisterSettings, problems
from tasks.stage.errors import RecipeError
from tasks.stage.settings import read_section
from tasks.stage.task import FAMILIES

OLD = Score("bits_per_byte", 2.0, "window:16|tok:a|data:d")
BASELINES = {"xz_bits_per_byte": 3.0, "unigram_bits_per_byte": 4.5}


def score(value: float, signature: str = OLD.signature) -> Score:
    return Score("bits_per_byte", value, signature)


def alias(new: Score, champion: Score | None = OLD, **settings: object) -> str:
    return decide(RegisterSettings.model_validate(settings), new, BASELINES, champion, "7").alias


def test_a_better_score_makes_a_champion_and_an_equal_or_worse_one_does_not():
    assert alias(score(1.9)) == "champion"
    assert alias(score(2.0)) == "challenger"
    assert alias(score(2.1)) == "challenger"


def test_an_improvement_smaller_than_asked_for_is_not_enough():
    assert alias(score(1.95), min_improvement=0.1) == "challenger"
    assert alias(score(1.85), min_improvement=0.1) == "champion"


def test_of_an_accuracy_more_is_better():
    settings = RegisterSettings(metric="accuracy")
    old = Score("accuracy", 0.5, "")
    assert decide(settings, Score("accuracy", 0.6, ""), {}, old).alias == "champion"
    assert decide(settings, Score("accuracy", 0.4, ""), {}, old).alias == "challenger"


def test_scores_on_other_data_are_not_compared_unless_the_recipe_says_so():
    other = score(1.5, "window:16|tok:a|data:e")
    decision = decide(RegisterSettings(), other, BASELINES, OLD, "7")
    assert decision.alias == "challenger"
    assert "not comparable" in decision.reason
    assert "data" in decision.reason
    assert alias(other, compare_different_data=True) == "champion"


def test_bits_per_byte_compare_across_tokenizers():
    assert alias(score(1.5, "window:16|tok:b|data:d")) == "champion"


def test_scores_of_texts_compare_however_a_model_reads_them_and_scores_of_tokens_do_not():
    for metric, value, expected in (
        ("bleu", 3.0, "champion"),
        ("accuracy", 3.0, "champion"),
        ("loss", 1.0, "challenger"),
    ):
        old = Score(metric, 2.0, "task:x|source_length:64|tok:a|data:d")
        new = Score(metric, value, "task:x|source_length:128|tok:b|data:d")
        assert decide(RegisterSettings(metric=metric), new, {}, old, "7").alias == expected


def test_a_gate_holds_back_even_the_first_version():
    assert alias(score(2.0), champion=None, at_most=1.9) == "challenger"
    assert alias(score(3.5), champion=None, beat=("unigram", "xz")) == "challenger"
    assert alias(score(2.5), champion=None, beat=("unigram", "xz")) == "champion"


def test_mistakes_in_the_section_name_file_and_key(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "recipes").mkdir()
    for text, problem in {
        "{metric: speed}": "speed",
        "{metric: loss, at_least: 2.0}": "at_least: lower loss is better; use at_most",
        "{metrics: loss}": "unknown key",
        "{min_improvement: -1}": "must be at least 0, not -1",
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
        ({"beat": ("xz",)}, "translation", r"beat: no baseline 'xz' for bleu \(available: copy\)"),
    ],
)
def test_what_does_not_fit_the_task_is_told_with_its_key(settings, task, sentence):
    (problem,) = problems(RegisterSettings.model_validate(settings), task)
    assert re.match(sentence, problem)
