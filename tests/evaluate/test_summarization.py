import random

import numpy as np
import pytest

from tasks.evaluate.__main__ import STAGE
from tasks.evaluate.sentences import first_sentence, split_sentences
from tasks.evaluate.settings import BootstrapSettings, RougeSettings
from tasks.evaluate.summarization import SummarizationMetric
from tasks.stage.errors import RecipeError
from tasks.stage.run import run
from tests.evaluate.families import pair_project, write_pair_recipe
from tests.evaluate.outputs import read_output, read_scores, read_signature
from tests.evaluate.projects import run_once, write_corpus
from tests.evaluate.texts import FOLDER, SOURCES, TARGETS

COLUMNS = ("rouge1", "rouge2", "rougeLsum")
OUTPUTS = [
    "the cat sat. It ate!", "a dog", "", "old stone house. nobody lives", "to be", "Python", "sea shells", "rains",
]  # fmt: skip
REFERENCES = [
    "A cat is sitting. It slept.", "the dogs are running", "x", "An old house of stone; nobody lives there.",
    "being or not", "python 3.11", "selling shells", "raining",
]  # fmt: skip
WORDS = [
    "the", "cats", "cat", "sat", "sitting", "3.11", "naïve", "don't", "house", "houses", ".", ",", "running",
    "Runs", "e.g.", "—", "run!", "(so)", "why?", "generally",
]  # fmt: skip


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory, source_bpe):
    root, usage = tmp_path_factory.mktemp("summaries"), {"prefix": "summarize: ", "source_length": 40}
    return run_once(pair_project, root, "summarization", "t5", source_bpe, None, **usage)


@pytest.fixture
def summaries(tmp_path, monkeypatch, source_bpe):
    return pair_project(tmp_path, monkeypatch, "summarization", "t5", source_bpe, None)


def reference_scores(outputs, references, stemmer=True):
    """Reference scores by the package rouge-score, one pair at a time."""
    from rouge_score.rouge_scorer import RougeScorer

    scorer = RougeScorer(list(COLUMNS), use_stemmer=stemmer)
    lines = [["\n".join(split_sentences(text)) for text in side] for side in (references, outputs)]
    found = [scorer.score(reference, output) for reference, output in zip(*lines, strict=True)]
    return [{name: 100 * row[name].fmeasure for name in COLUMNS} for row in found]


@pytest.mark.parametrize("stemmer", [True, False])
def test_scores_are_those_of_rouge_score(stemmer):
    chosen = random.Random(0)
    outputs, references = (
        texts + [" ".join(chosen.choices(WORDS, k=chosen.randrange(30))) for _ in range(300)]
        for texts in (OUTPUTS, REFERENCES)
    )
    found = SummarizationMetric(RougeSettings(stemmer=stemmer)).add(outputs, references)
    for row, wanted in zip(found, reference_scores(outputs, references, stemmer), strict=True):
        assert row == pytest.approx(wanted, abs=1e-6)


def test_metrics_are_means_with_an_interval():
    metric = SummarizationMetric(RougeSettings())
    for at in (0, 5):
        metric.add(OUTPUTS[at : at + 5], REFERENCES[at : at + 5])
    found = metric.scores() | metric.intervals(BootstrapSettings(samples=400, seed=1))
    rows = reference_scores(OUTPUTS, REFERENCES)
    for name in COLUMNS:
        values = np.array([row[name] for row in rows])
        assert found[name] == pytest.approx(values.mean(), abs=1e-6)
        assert found[f"{name}_low"] < found[name] < found[f"{name}_high"]
        error = values.std() / np.sqrt(len(values))
        assert (found[f"{name}_high"] - found[f"{name}_low"]) / (2 * 1.96 * error) == pytest.approx(1, abs=0.25)
    assert metric.intervals(BootstrapSettings(samples=400, seed=2)).items() - found.items()


@pytest.mark.parametrize(
    ("tokenizer", "text", "other"),
    [
        ("unicode", "Кошка сидит на коврике. Она спит.", "Собака бежит."),
        ("unicode", "Η γάτα κάθεται. Κοιμάται.", "Ο σκύλος τρέχει."),
        ("unicode", "القطة تجلس على السجادة", "الكلب يركض"),
        ("character", "猫坐在垫子上。它睡着了。", "狗跑了。"),
        ("character", "แมวนั่งบนเสื่อ", "หมู"),
        ("latin", "The cat sat. It slept.", "A dog ran."),
    ],
)
def test_a_copy_scores_100_and_another_text_little_in_every_script(tokenizer, text, other):
    metric = SummarizationMetric(RougeSettings(tokenizer=tokenizer))
    same, different = metric.add([text, other], [text] * 2)
    assert set(same.values()) == {100.0}
    assert max(different.values()) < 40


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("One. Two! Three? Four", ["One.", "Two!", "Three?", "Four"]),
        ('He said "no." She left.', ['He said "no."', "She left."]),
        ("It is e.g. a dog of 3.11 kg and so on. Yes…  No", ["It is e.g. a dog of 3.11 kg and so on.", "Yes…", "No"]),
        ("a line\nanother line.\n\nlast ", ["a line", "another line.", "last"]),
        ("他来了。她说：「走吧！」然后走了。", ["他来了。", "她说：「走吧！」", "然后走了。"]),
        (" \n ", []),
    ],
)
def test_sentences_end_where_the_rule_says(text, sentences):
    assert split_sentences(text) == sentences


def test_the_first_sentence_goes_over_line_breaks_but_not_over_paragraphs():
    assert first_sentence("A tool that\nreads mail. It is fast.\n\nMore.") == "A tool that reads mail."
    assert first_sentence("A heading\n\nA tool. More.") == "A heading"
    assert first_sentence("") == ""


def test_stored_scores_are_those_of_the_stored_texts(evaluated):
    rows, metrics = read_scores(evaluated), read_output("metrics.json", evaluated)
    assert list(rows[0]) == ["id", "group", "prediction", "reference", *COLUMNS]
    wanted = reference_scores([row["prediction"] for row in rows], TARGETS)
    for row, scores in zip(rows, wanted, strict=True):
        assert {name: row[name] for name in COLUMNS} == pytest.approx(scores, abs=1e-6)
    assert metrics["rouge1"] == pytest.approx(np.mean([row["rouge1"] for row in wanted]), abs=1e-6)
    first = reference_scores(map(first_sentence, SOURCES), TARGETS)
    assert metrics["first_sentence_rougeLsum"] == pytest.approx(np.mean([row["rougeLsum"] for row in first]), abs=1e-6)
    assert metrics["first_sentence_rouge1"] > 0


def test_signature_says_how_words_are_found(evaluated):
    pairs = read_signature(evaluated)
    assert pairs["task"] == "summarization"
    assert pairs["rouge"] == "fmeasure;tok=latin;stem=yes;sentences=punctuation;version=rouge-score-rs-0.2.1"
    unicode = SummarizationMetric(RougeSettings(tokenizer="unicode"))
    assert unicode.signature()["rouge"].startswith("fmeasure;tok=unicode;stem=no;")


def refer(targets):
    write_corpus(FOLDER / "clean/test", SOURCES[: len(targets)], ["a"] * len(targets), target=targets)


@pytest.mark.parametrize(
    ("targets", "share"),
    [
        (["Кошка спит.", "Дом стар.", "Rain", "Дождь идёт."], 86),
        (["библиотека Debian для чтения образов ISO 9660", "редактор для GNOME 3"], 66),
        (["Debian GNU/Linux のパッケージ管理ツール", "これは本です5"], 53),
        (["A cat sleeps on the mat.", "Кошка спит на коврике и на крыше."], 59),
    ],
)
def test_a_tokenizer_that_drops_much_of_a_script_is_refused(summaries, targets, share):
    refer(targets)
    told = rf"^recipes/tiny.yaml: evaluate.rouge.tokenizer: latin .* drops {share}% of the references' letters"
    with pytest.raises(RecipeError, match=told):
        run(STAGE, "tiny")
    write_pair_recipe(summaries, "summarization", rouge={"tokenizer": "unicode"})
    run(STAGE, "tiny")


def test_a_few_accents_do_no_harm(summaries):
    refer(["A café named after Beyoncé in São Paulo.", "Dvořák's naïve visitors", "Une bibliothèque déjà enregistrée."])
    run(STAGE, "tiny")


def test_a_stemmer_for_another_script_is_refused(summaries):
    write_pair_recipe(summaries, "summarization", rouge={"tokenizer": "unicode", "stemmer": True})
    with pytest.raises(RecipeError, match=r"recipes/tiny.yaml: evaluate.rouge.stemmer: only for English"):
        run(STAGE, "tiny")
