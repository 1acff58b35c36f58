from pathlib import Path

import numpy as np
import pytest

from tasks.evaluate.__main__ import STAGE
from tasks.evaluate.class_baselines import fit_baselines
from tasks.evaluate.classification import _averages
from tasks.evaluate.confusion import CLASSES as MOST
from tasks.evaluate.confusion import OTHERS, confusion_matrix, draw_confusion
from tasks.stage.errors import DataError
from tasks.stage.run import run
from tests.evaluate.damage import edit_json, lose, other_tokens, spoil
from tests.evaluate.families import CLASSES, LABELLED, TRAINING, class_project, make_classifier, write_labelled
from tests.evaluate.outputs import output_bytes, read_output, read_scores, read_signature
from tests.evaluate.projects import run_once
from tests.evaluate.texts import FOLDER

LABELS = [label for _, label in LABELLED]


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory, masked_bpe):
    return run_once(class_project, tmp_path_factory.mktemp("classes"), "bert", masked_bpe, source_length=30)


@pytest.fixture
def bert(tmp_path, monkeypatch, masked_bpe):
    return class_project(tmp_path, monkeypatch, "bert", masked_bpe, source_length=30)


@pytest.fixture
def gpt2(tmp_path, monkeypatch, bpe):
    return class_project(tmp_path, monkeypatch, "gpt2", bpe, prefix="kind: ")


def chances_one_by_one(kind: str, tokenizer: Path, prefix: str, limit: int) -> np.ndarray:
    """Reference probabilities, without batches or padding."""
    import torch
    from transformers import AutoTokenizer

    loaded, model = AutoTokenizer.from_pretrained(tokenizer), make_classifier(kind)
    rows = []
    for text, _ in LABELLED:
        ids = loaded(prefix + text, truncation=True, max_length=limit, return_tensors="pt").input_ids
        with torch.no_grad():
            rows.append(model(input_ids=ids).logits[0].double().softmax(0).numpy())
    return np.array(rows)


@pytest.mark.parametrize(("kind", "prefix", "limit"), [("bert", "", 30), ("gpt2", "kind: ", 64)])
def test_probabilities_are_those_of_each_text_alone(request, kind, prefix, limit, masked_bpe, bpe):
    request.getfixturevalue(kind)
    run(STAGE, "tiny")
    chances = chances_one_by_one(kind, masked_bpe if kind == "bert" else bpe, prefix, limit)
    assert len(set(chances.argmax(1))) > 1
    rows = read_scores()
    assert list(rows[0]) == ["id", "group", "label", "predicted", "probability", "label_probability"]
    for row, label, own in zip(rows, LABELS, chances, strict=True):
        assert row["label"] == label and row["predicted"] == CLASSES[own.argmax()]
        assert row["probability"] == pytest.approx(own.max(), abs=1e-4)
        assert row["label_probability"] == pytest.approx(own[CLASSES.index(label)], abs=1e-4)


def test_metrics_are_those_of_scikit_learn(evaluated):
    from sklearn.metrics import accuracy_score, f1_score, precision_score, recall_score

    rows, metrics = read_scores(evaluated), read_output("metrics.json", evaluated)
    predicted = [row["predicted"] for row in rows]
    options = {"average": "macro", "zero_division": 0}
    assert metrics["accuracy"] == pytest.approx(accuracy_score(LABELS, predicted), abs=1e-6)
    for name, score in (("f1", f1_score), ("precision", precision_score), ("recall", recall_score)):
        assert metrics[f"macro_{name}"] == pytest.approx(score(LABELS, predicted, **options), abs=1e-6)
    assert metrics["documents"] == 9 and 0 < metrics["macro_f1"] < 1
    classes = {row["label"]: row for row in read_output("report.json", evaluated)["details"]["classes"]}
    assert {name: row["support"] for name, row in classes.items()} == {"cats": 4, "dogs": 3, "letters": 2}
    wanted = f1_score(LABELS, predicted, average=None, labels=CLASSES, zero_division=0)
    assert [classes[name]["f1"] for name in CLASSES] == pytest.approx(list(wanted), abs=1e-6)


def test_fixed_cases_of_the_averages():
    assert set(_averages(["a", "b"], ["a", "b"]).values()) == {1.0}
    # Class a: recall 2/2, precision 2/3; b: recall 1/2, precision 1; c is predicted once and never true.
    found = _averages(["a", "a", "b", "b", "b"], ["a", "a", "a", "b", "c"])
    assert found["accuracy"] == 0.6
    assert found["macro_precision"] == pytest.approx((2 / 3 + 1 + 0) / 3, abs=1e-6)
    assert found["macro_recall"] == pytest.approx((1 + 1 / 3 + 0) / 3, abs=1e-6)
    assert found["macro_f1"] == pytest.approx((0.8 + 0.5 + 0) / 3, abs=1e-6)


def test_baselines_are_the_commonest_class_and_a_linear_model_of_words(evaluated):
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import f1_score

    metrics = read_output("metrics.json", evaluated)
    assert metrics["majority_accuracy"] == pytest.approx(4 / 9, abs=1e-6)
    assert metrics["majority_macro_recall"] == pytest.approx(1 / 3, abs=1e-6)
    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"\w+")
    features = words.fit_transform([text for text, _ in TRAINING])
    model = LogisticRegression(C=10.0, max_iter=1000).fit(features, [label for _, label in TRAINING])
    predicted = model.predict(words.transform([text for text, _ in LABELLED]))
    wanted = f1_score(LABELS, predicted, average="macro", zero_division=0)
    assert metrics["tfidf_macro_f1"] == pytest.approx(wanted, abs=1e-6)
    assert metrics["tfidf_accuracy"] > metrics["majority_accuracy"]
    assert {f"{one}_{two}" for one in ("majority", "tfidf") for two in ("macro_precision", "accuracy")} <= set(metrics)


def test_of_much_text_the_linear_model_learns_from_documents_at_even_distances(tmp_path, monkeypatch):
    monkeypatch.setattr("tasks.evaluate.class_baselines.MAX_BYTES", 60)
    write_labelled(tmp_path / "train", TRAINING)  # 90 bytes
    found = fit_baselines(tmp_path / "train")
    assert found.documents == 4 and found.majority == "cats"
    assert "hunt" not in found.vectorizer.vocabulary_ and "purrs" in found.vectorizer.vocabulary_


def test_what_is_too_long_is_cut_off_and_counted(evaluated, masked_bpe):
    from transformers import AutoTokenizer

    lengths = [len(AutoTokenizer.from_pretrained(masked_bpe).encode(text)) for text, _ in LABELLED]
    too_long = sum(length > 30 for length in lengths)
    metrics = read_output("metrics.json", evaluated)
    assert 0 < too_long < 9 and metrics["truncated"] == too_long
    parts = read_signature(evaluated)
    assert (parts["task"], parts["source_length"], parts["classes"]) == ("classification", "30", "3")


def test_workers_change_no_byte_and_the_order_of_the_corpus_no_score(evaluated, bert, monkeypatch):
    monkeypatch.setenv("GRISTMILL_WORKERS", "3")
    run(STAGE, "tiny")
    assert output_bytes() == output_bytes(evaluated)
    order = [8, 3, 0, 5, 1, 7, 2, 6, 4]
    write_labelled(FOLDER / "clean/test", [LABELLED[n] for n in order], id=[f"d{n}" for n in order])
    run(STAGE, "tiny")
    rows = read_scores(evaluated)
    assert read_scores() == [rows[n] for n in order]


def test_samples_are_right_ones_and_the_most_confidently_wrong(evaluated):
    rows, samples = {row["id"]: row for row in read_scores(evaluated)}, read_output("samples.json", evaluated)
    right = [sample for sample in samples if sample["text"] == sample["label"]]
    wrong = samples[len(right) :]
    assert 0 < len(right) <= 4 and 0 < len(wrong) <= 4
    for sample in samples:
        row = rows[sample["id"]]
        assert (sample["text"], sample["label"]) == (row["predicted"], row["label"])
        assert sample["prompt"] == LABELLED[int(sample["id"][1:])][0] and sample["probability"] == row["probability"]
    errors = sorted((row["probability"] for row in rows.values() if row["label"] != row["predicted"]), reverse=True)
    assert [sample["probability"] for sample in wrong] == errors[: len(wrong)]


def test_confusions_are_counted_by_true_and_predicted_class(evaluated):
    names, counts = confusion_matrix(["a", "a", "b"], ["a", "b", "b"])
    assert names == ["a", "b"] and counts.tolist() == [[1, 1], [0, 1]]
    labels = [f"c{n:02d}" for n in range(MOST + 5) for _ in range(2 if n < 50 else 1)]
    names, counts = confusion_matrix(labels, labels)
    assert len(names) == MOST and names[-1] == OTHERS and counts.sum() == len(labels) == np.trace(counts)
    assert (evaluated / "evaluation/scores.png").read_bytes().startswith(b"\x89PNG")
    mixed = read_output("report.json", evaluated)["details"]["confusions"]
    assert sum(row["documents"] for row in mixed) == sum(r["label"] != r["predicted"] for r in read_scores(evaluated))


def test_the_picture_of_confusions_is_the_same_each_time(tmp_path):
    labels = [f"class ${n}" for n in range(21)] * 3
    guesses = np.random.default_rng(0).permutation(labels).tolist()
    for name in ("one.png", "other.png"):
        draw_confusion(tmp_path / name, labels, guesses, "tiny")
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "other.png").read_bytes()


def fails_in_one_sentence(sentence: str) -> None:
    with pytest.raises(DataError, match=sentence) as caught:
        run(STAGE, "tiny")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("split", "documents", "sentence"),
    [
        ("test", [("", "cats")], "no text"),
        ("test", [("a cat", "cats"), ("a dog", None)], "document d1 has no label"),
        ("test", [("a cat", "cats"), ("a bird", "birds")],
         "document d1 has label 'birds', which is not one of the 3 classes of .*/model "),
        ("train", [("a cat", "cats"), ("a dog", None)], "document d1 has no label"),
        ("train", TRAINING[:3], "3 documents with 1 distinct labels; at least 2"),
        ("train", [("!", "cats"), ("?", "dogs")], "the texts contain no words"),
    ],
)  # fmt: skip
def test_unusable_documents_end_in_one_sentence(bert, split, documents, sentence):
    write_labelled(FOLDER / "clean" / split, documents)
    fails_in_one_sentence(f"data/tiny/clean/{split}: {sentence}")


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (other_tokens, "tokens/train/index.json: made with a different tokenizer"),
        (lambda: edit_json(FOLDER / "model/gristmill.json", task="masked-lm"),
         "model/gristmill.json: the model was trained for masked-lm, not classification"),
        (lambda: lose("classifier.weight"), "model: 1 weights are missing, e.g. classifier.weight"),
        (lambda: spoil("classifier.bias"), "model: classifier.bias has NaN"),
    ],
)  # fmt: skip
def test_unusable_inputs_end_in_one_sentence(bert, damage, sentence):
    damage()
    fails_in_one_sentence(f"data/tiny/{sentence}")


def test_a_decoder_takes_the_padding_of_its_tokenizer_where_its_configuration_has_none(gpt2):
    run(STAGE, "tiny")
    rows = read_scores()
    edit_json(FOLDER / "model/config.json", pad_token_id=None)
    edit_json(FOLDER / "model/tokenizer_config.json", pad_token="!")
    run(STAGE, "tiny")
    for row, again in zip(rows, read_scores(), strict=True):  # different padding, same scores up to rounding
        assert again == row | {key: pytest.approx(row[key], abs=1e-5) for key in ("probability", "label_probability")}


def test_a_decoder_without_padding_is_refused(gpt2):
    edit_json(FOLDER / "model/config.json", pad_token_id=None)
    with pytest.raises(DataError, match=r"data/tiny/model/config.json: pad_token_id is missing"):
        run(STAGE, "tiny")
