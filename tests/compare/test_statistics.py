"""The sums give the metrics of the evaluation itself, of sacrebleu, and of scikit-learn."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tasks.compare.documents import COLUMNS, SAME, read_documents
from tasks.compare.statistics import bleu, chrf, statistic
from tasks.paired.sums import dense, summed
from tasks.stage.errors import DataError
from tasks.stage.settings import read_yaml
from tasks.stage.task import FAMILIES, METRICS
from tests.compare.scores import alone, documents, pair
from tests.evaluate.chats import chat_project
from tests.evaluate.families import class_project, masked_project, pair_project
from tests.evaluate.preferences import preference_project
from tests.evaluate.projects import causal_project, run_once

EVERY = [(task, metric) for task, family in FAMILIES.items() for metric in family.metrics]


@pytest.fixture(scope="module")
def evaluated(
    tmp_path_factory, bpe, llama, source_bpe, target_bpe, masked_bpe, chat_bpe, chat_model, word_tokenizer
) -> dict[str, Path]:
    """Real evaluations by task: the root of each project."""
    new = tmp_path_factory.mktemp
    return {
        "causal-lm": run_once(causal_project, new("causal"), bpe, llama),
        "translation": run_once(
            pair_project, new("pairs"), "translation", "marian", source_bpe, target_bpe, prefix="fr: "
        ),
        "summarization": run_once(pair_project, new("sums"), "summarization", "t5", source_bpe, None, source_length=40),
        "masked-lm": run_once(masked_project, new("masked"), masked_bpe),
        "classification": run_once(class_project, new("classes"), "bert", masked_bpe, source_length=30),
        "chat": run_once(chat_project, new("chat"), chat_bpe, chat_model),
        "preference": run_once(preference_project, new("preference"), word_tokenizer),
    }


@pytest.mark.parametrize(("task", "metric"), EVERY)
def test_the_metric_of_all_documents_is_that_of_the_evaluation(task: str, metric: str, evaluated) -> None:
    folder = evaluated[task]
    wanted = json.loads((folder / "evaluation" / "metrics.json").read_text())[metric]
    settings = read_yaml(folder.parents[1] / "recipes" / "tiny.yaml")["evaluate"]
    scores = read_documents(folder / "evaluation" / "scores.parquet", task)
    found = statistic(scores, metric, settings)
    assert found.total() == pytest.approx(wanted, rel=1e-6, abs=2e-6)
    assert found.less_is_better == METRICS[metric]
    assert found.rows.shape[0] == len(found.weights) == len(scores)


def test_every_task_and_metric_is_known() -> None:
    assert set(COLUMNS) == set(FAMILIES) and set(SAME) == set(METRICS)


@pytest.mark.parametrize(("task", "metric"), EVERY)
def test_sums_of_any_documents_give_their_metric(task: str, metric: str) -> None:
    """The documents alone, parts of them, and all without one: as if they were the whole test split."""
    scores, _ = pair(task, alone(12), seed=3)
    whole = statistic(scores, metric, {})

    def of(places: list[int]) -> float:
        table = scores.table.take(places)
        try:
            return statistic(documents(task, alone(len(places)), **{
                name: table.column(name) for name in COLUMNS[task]
            }), metric, {}).total()  # fmt: skip
        except DataError:
            return np.nan

    np.testing.assert_allclose(whole.each(), [of([place]) for place in range(12)])
    without = [of([other for other in range(12) if other != place]) for place in range(12)]
    np.testing.assert_allclose(whole.without_each(whole.rows), without)
    halves = whole.value(dense(summed(whole.rows, np.arange(12) % 2)))
    np.testing.assert_allclose(halves, [of(list(range(0, 12, 2))), of(list(range(1, 12, 2)))])
    assert whole.take(np.array([1, 5, 6])).total() == pytest.approx(of([1, 5, 6]), nan_ok=True)


@pytest.mark.parametrize("tokenize", ["13a", "char"])
@pytest.mark.parametrize("metric", ["bleu", "chrf"])
def test_bleu_and_chrf_are_those_of_sacrebleu(metric: str, tokenize: str) -> None:
    from sacrebleu.metrics import BLEU, CHRF

    scores, _ = pair("translation", alone(40))
    scorer: Any = BLEU(tokenize=tokenize) if metric == "bleu" else CHRF()
    wanted = scorer.corpus_score(scores.strings("prediction"), [scores.strings("reference")]).score
    assert statistic(scores, metric, {"bleu_tokenize": tokenize}).total() == pytest.approx(wanted, abs=1e-9)


def test_bleu_and_chrf_of_odd_sums_are_those_of_sacrebleu() -> None:
    """No output, no match in some orders (smoothing), no n-gram of some orders, brevity."""
    from sacrebleu.metrics import BLEU, CHRF

    random = np.random.default_rng(1)
    every = random.integers(0, 4, (4000, 4)) * random.integers(0, 2, (4000, 1))
    right = np.minimum(random.integers(0, 4, (4000, 4)), every)
    sums = np.column_stack([random.integers(0, 9, (4000, 2)), right, every]).astype(float)
    scorer: Any = BLEU()
    wanted = [scorer._compute_score_from_stats(row.tolist()).score for row in sums]
    np.testing.assert_allclose(bleu(sums), wanted, atol=1e-9)
    assert len({round(score, 6) for score in wanted}) > 100 and 0.0 in wanted
    sizes = random.integers(0, 3, (4000, 6, 2))
    grams = np.concatenate([sizes, np.minimum(sizes.min(-1), random.integers(0, 3, (4000, 6)))[..., None]], -1)
    sums = grams.reshape(4000, 18).astype(float)
    scorer = CHRF()
    np.testing.assert_allclose(chrf(sums), [scorer._compute_f_score(row.tolist()) for row in sums], atol=1e-9)


@pytest.mark.parametrize("metric", FAMILIES["classification"].metrics)
def test_classes_seen_or_predicted_are_averaged_as_by_scikit_learn(metric: str) -> None:
    """On resamples, too, from which rare classes vanish."""
    from sklearn.metrics import accuracy_score, precision_recall_fscore_support

    scores, _ = pair("classification", alone(60), classes=25)
    labels, predicted = (np.array(scores.strings(name)) for name in ("label", "predicted"))
    found, random = statistic(scores, metric, {}), np.random.default_rng(2)
    for _ in range(20):
        drawn = random.integers(0, 60, 60)
        both = labels[drawn], predicted[drawn]
        averages = precision_recall_fscore_support(*both, average="macro", zero_division=0)
        wanted = dict(zip(("macro_precision", "macro_recall", "macro_f1"), averages, strict=False))
        wanted["accuracy"] = accuracy_score(*both)
        assert found.take(drawn).total() == pytest.approx(wanted[metric], abs=1e-12)


def test_many_classes_stay_sparse() -> None:
    groups = alone(20_000)
    scores = documents("classification", groups, label=groups, predicted=groups[::-1])
    found = statistic(scores, "macro_f1", {})
    assert found.rows.shape == (20_000, 60_000) and found.rows.nnz == 40_000
    assert found.total() == 0.0


def test_a_label_is_compared_to_the_last_character() -> None:
    """NumPy's strings would lose a NUL at the end."""
    scores = documents("classification", alone(2), label=["a\0", "b"], predicted=["a", "b"])
    assert statistic(scores, "accuracy", {}).total() == 0.5
    assert statistic(scores, "macro_f1", {}).total() == pytest.approx(1 / 3)


def test_text_without_anything_to_score_and_a_metric_of_another_task_are_told() -> None:
    empty = documents("masked-lm", ["a", "b"], masked=[0, 0], right=[0, 0], loss=[0.0, 0.0])
    with pytest.raises(DataError, match="pseudo_perplexity is undefined: the documents have no text to score"):
        statistic(empty, "pseudo_perplexity", {})
    with pytest.raises(DataError, match=r"bleu is not a metric of masked-lm \(pseudo_perplexity, masked_accuracy\)"):
        statistic(empty, "bleu", {})
    broken = documents("causal-lm", ["a", "b"], bytes=[5, 6], tokens=[1, 2], loss=[1.0, float("nan")])
    with pytest.raises(DataError, match=r"scores\.parquet: document d1: loss is missing or not finite"):
        statistic(broken, "bits_per_byte", {})
    broken = documents("translation", ["a", "b"], prediction=["x", None], reference=["x", "y"])
    with pytest.raises(DataError, match=r"scores\.parquet: document d1: prediction is missing"):
        statistic(broken, "chrf", {})
