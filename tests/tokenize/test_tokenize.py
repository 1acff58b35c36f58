import json
import random
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from tasks.formats.corpus import read_batches, row_groups
from tasks.formats.tokens import Tokens, TokenWriter
from tasks.stage.errors import DataError, RecipeError
from tasks.stage.identity import hash_tree
from tasks.stage.run import run
from tasks.tokenize import engine as engines
from tasks.tokenize.__main__ import STAGE
from tasks.tokenize.settings import TokenizeSettings
from tasks.tokenize.specials import specials_of
from tasks.tokenize.vocabulary import train_vocabulary
from tasks.tokenize.work import texts_of, to_learn_from
from tests.corpora import write_corpus, write_recipe
from tests.tokenize.test_families import rewrite

SPECIALS = specials_of("causal-lm", TokenizeSettings())
TRAIN = ["To be, or not to be: that is the question.\nWhether 'tis nobler in the mind", "naïve 中文 🎭 \x00 to be"] * 40
TEST = ["A horse, a horse! my kingdom for a horse!", "", "to be <|endoftext|> or not"]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_recipe(tmp_path, "hamlet", "task: causal-lm\ntokenize: {vocab_size: 300}\n")
    for split, texts in {"train": TRAIN, "validation": TRAIN[:2], "test": TEST}.items():
        write_corpus(tmp_path / "data/hamlet/clean" / split, texts)
    (tmp_path / "data/hamlet/base").mkdir()
    return tmp_path


def test_auto_tokenizer_loads_it_and_gives_the_stored_ids(project: Path) -> None:
    from transformers import AutoTokenizer

    run(STAGE, "hamlet")
    tokenizer = AutoTokenizer.from_pretrained("data/hamlet/tokenizer")
    tokens = Tokens.open(Path("data/hamlet/tokens/test"))
    assert len(tokenizer) == tokens.index.vocab_size == 300
    for number, text in enumerate(TEST):
        assert tokens.document(number).tolist() == [
            *tokenizer(text, split_special_tokens=True)["input_ids"],
            tokenizer.eos_token_id,
        ]
    assert tokenizer.decode(tokens.document(0)[:-1]) == TEST[0]


def test_nothing_is_lost_between_text_and_tokens(project: Path) -> None:
    report = run(STAGE, "hamlet")
    tokenizer = Tokenizer.from_file("data/hamlet/tokenizer/tokenizer.json")
    tokens = Tokens.open(Path("data/hamlet/tokens/train"))
    texts = [text for batch in read_batches(Path("data/hamlet/clean/train")) for text in batch["text"].to_pylist()]
    assert [tokenizer.decode(tokens.document(n)[:-1].tolist(), skip_special_tokens=False) for n in range(80)] == texts
    assert tokens.index.text_bytes == sum(len(text.encode()) for text in texts)
    splits = report.details["splits"]
    assert splits["test"]["end_of_text_in_documents"] == 0
    assert splits["test"]["documents_with_special_tokens"] == 1
    assert "documents_with_special_tokens" not in splits["train"]


def test_an_endless_run_of_letters_does_not_hold_up_learning(tmp_path: Path) -> None:
    dna = "".join(random.Random(0).choices("ACGT", k=1_000_000))
    began = time.monotonic()
    vocabulary = train_vocabulary(lambda: [column(dna)], TokenizeSettings(vocab_size=300), SPECIALS)
    assert vocabulary.get_vocab_size() == 300 and vocabulary.encode(dna[:2000]).ids
    assert time.monotonic() - began < 30  # without the split: more than an hour


def test_the_vocabulary_never_sees_another_split(project: Path) -> None:
    run(STAGE, "hamlet")
    before = Path("data/hamlet/tokenizer/tokenizer.json").read_bytes()
    for split in ("validation", "test"):
        rewrite(project / "data/hamlet/clean" / split, ["zzzz qqqq " * 200])
    run(STAGE, "hamlet")
    assert Path("data/hamlet/tokenizer/tokenizer.json").read_bytes() == before


def test_of_a_large_corpus_a_part_at_even_distances_is_learned_from(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasks.formats.corpus.BATCH_BYTES", 1000)
    train = project / "data/hamlet/clean/train"
    rewrite(train, TRAIN)
    places = row_groups(train)
    total = sum(size for *_, size in places)
    for share in (1, 0.5, 0.25):
        monkeypatch.setattr("tasks.tokenize.work.LEARN_BYTES", int(total * share))
        taken = [places.index(place) for place in places if place[:2] in to_learn_from(places)]
        assert len(places) * share - 1 <= len(taken) <= len(places) * share
        assert len(taken) < 3 or max(np.diff(taken)) - min(np.diff(taken)) <= 1
    report = run(STAGE, "hamlet")
    assert f"learned from {len(taken)} of the {len(places)} row groups of the training" in report.details["vocabulary"]
    learned = Path("data/hamlet/tokenizer/tokenizer.json").read_bytes()
    texts = [texts for number, texts in enumerate(texts_of(train, "text")) if number in taken]
    train_vocabulary(lambda: texts, TokenizeSettings(vocab_size=300), SPECIALS).save("alone.json")
    assert Path("alone.json").read_bytes() == learned


def column(*texts: str) -> pa.LargeStringArray:
    return pa.array(texts, pa.large_string())


@pytest.mark.parametrize("workers", ["1", "2"])
def test_outputs_are_the_same_bytes_every_time(project: Path, monkeypatch: pytest.MonkeyPatch, workers: str) -> None:
    monkeypatch.setattr("tasks.formats.corpus.BATCH_BYTES", 1000)
    rewrite(project / "data/hamlet/clean/train", TRAIN)
    assert len(row_groups(project / "data/hamlet/clean/train")) > 4
    run(STAGE, "hamlet")
    before = hash_tree(Path("data/hamlet/tokens")), hash_tree(Path("data/hamlet/tokenizer"))
    monkeypatch.setenv("GRISTMILL_WORKERS", workers)
    run(STAGE, "hamlet")
    assert (hash_tree(Path("data/hamlet/tokens")), hash_tree(Path("data/hamlet/tokenizer"))) == before


def test_a_vocabulary_without_all_bytes_is_left_to_the_library_that_knows_it() -> None:
    tokenizer = Tokenizer(models.BPE({"a": 0, "b": 1, "ab": 2}, [("a", "b")]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    engine = engines.choose_engine(tokenizer, specials=False, sample=[column("ab")])
    assert engine.name == "tokenizers"
    assert engine.encode(column("abba")).ids.tolist() == [2, 1, 0]


def test_a_fast_engine_that_disagrees_is_not_used(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    right = run(STAGE, "hamlet")
    ids = hash_tree(Path("data/hamlet/tokens/train"))

    def wrong(tokenizer):  # type: ignore[no-untyped-def]
        true = engines.reference_engine(tokenizer, specials=False)
        return engines.Engine(
            "wrong", lambda texts: engines.Encoded(true.encode(texts).ids[::-1], true.encode(texts).lengths)
        )

    monkeypatch.setattr(engines, "gigatoken_engine", wrong)
    fallback = run(STAGE, "hamlet")
    assert (right.details["engine"], fallback.details["engine"]) == ("gigatoken", "tokenizers")
    assert hash_tree(Path("data/hamlet/tokens/train")) == ids


def test_a_vocabulary_that_the_text_does_not_allow_is_refused(project: Path) -> None:
    run(STAGE, "hamlet")
    before = hash_tree(Path("data/hamlet/tokens"))
    write_recipe(project, "hamlet", "task: causal-lm\ntokenize: {vocab_size: 50000}\n")
    with pytest.raises(RecipeError, match=r"recipes/hamlet.yaml: tokenize.vocab_size: 50,000 is too large .* gave \d+"):
        run(STAGE, "hamlet")
    assert hash_tree(Path("data/hamlet/tokens")) == before


def test_an_empty_training_split_is_refused(project: Path) -> None:
    rewrite(project / "data/hamlet/clean/train", [])
    with pytest.raises(DataError, match="data/hamlet/clean/train: no document"):
        run(STAGE, "hamlet")


def test_a_cut_off_shard_is_noticed(project: Path) -> None:
    run(STAGE, "hamlet")
    shard = Path("data/hamlet/tokens/train/part-00000.bin")
    shard.write_bytes(shard.read_bytes()[:-2])
    with pytest.raises(DataError, match=r"part-00000\.bin: missing or truncated"):
        Tokens.open(shard.parent)


def test_large_vocabularies_take_four_bytes_an_id(tmp_path: Path) -> None:
    writer = TokenWriter(tmp_path / "t", 70_000, 0, "hash")
    writer.write(np.array([69_999, 0], np.uint32), np.array([2]), 1)
    writer.close()
    assert json.loads((tmp_path / "t/index.json").read_text())["dtype"] == "<u4"
    assert Tokens.open(tmp_path / "t").document(0).tolist() == [69_999, 0]
