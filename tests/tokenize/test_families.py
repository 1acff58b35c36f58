"""The tokens of each task, with vocabularies learned here and with a base's."""

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tasks.formats.tokens import Labels, Tokens
from tasks.stage.errors import DataError, RecipeError
from tasks.stage.run import run
from tasks.stage.settings import read_section
from tasks.tokenize.__main__ import STAGE
from tasks.tokenize.settings import TokenizeSettings
from tests.corpora import write_corpus, write_recipe

RANDOM = random.Random(0)
WORDS = [
    "".join(RANDOM.choices(["ka", "lo", "mi", "ten", "ra", "su", "vel"], k=RANDOM.randint(1, 4))) for _ in range(300)
]
ENGLISH = [" ".join(RANDOM.choices(WORDS, k=8)).capitalize() + "." for _ in range(60)]
FRENCH = [text.replace("e", "é").replace("su", "ç'") for text in ENGLISH]
LABELS = ["animals", "software", "other"] * 20
SIZES = {"byte-level-bpe": 300, "unigram": 90, "wordpiece": 90}
"""Vocabulary size by kind."""
Project = Callable[..., Path]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """Make a project with a recipe `tiny` for a task, as the working directory."""
    monkeypatch.chdir(tmp_path)

    def make(task: str, labels: list[str] = LABELS, **tokenize: object) -> Path:
        write_recipe(tmp_path, "tiny", json.dumps({"task": task, "tokenize": tokenize}))
        folder = tmp_path / "data/tiny"
        shutil.rmtree(folder / "clean", ignore_errors=True)
        for split, count in {"train": 60, "validation": 6, "test": 3}.items():
            write_corpus(folder / "clean" / split, ENGLISH[:count], target=FRENCH[:count], label=labels[:count])
        (folder / "base").mkdir(exist_ok=True)
        return folder

    return make


def refuses(error: type[Exception], sentence: str) -> None:
    with pytest.raises(error, match=sentence):
        run(STAGE, "tiny")


def load(folder: Path):
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder)


def rewrite(split: Path, texts: list[str], **columns: list[str | None]) -> None:
    shutil.rmtree(split)
    write_corpus(split, texts, **columns)


@pytest.mark.parametrize("kind", SIZES)
@pytest.mark.parametrize("task", ["translation", "classification", "masked-lm", "causal-lm"])
def test_auto_tokenizer_gives_the_stored_ids(project: Project, task: str, kind: str) -> None:
    folder = project(task, kind=kind, vocab_size=SIZES[kind])
    run(STAGE, "tiny")
    tokens, tokenizer = Tokens.open(folder / "tokens/train"), load(folder / "tokenizer")
    packed = task in ("causal-lm", "masked-lm")
    end = [tokens.index.eos_token_id]
    for number, text in enumerate(ENGLISH[:3]):
        ids = tokenizer(text, add_special_tokens=not packed)["input_ids"]
        assert tokens.document(number).tolist() == (ids + end if packed else ids)
    assert tokenizer.convert_ids_to_tokens(end) == [
        {"causal-lm": "<|endoftext|>", "translation": "</s>"}.get(task, "[SEP]")
    ]


@pytest.mark.parametrize("kind", SIZES)
def test_the_same_texts_give_the_same_vocabulary(project: Project, kind: str) -> None:
    folder = project("masked-lm", kind=kind, vocab_size=SIZES[kind])
    learned = set()
    for _ in range(5):
        run(STAGE, "tiny")
        learned.add((folder / "tokenizer/tokenizer.json").read_bytes())
    assert len(learned) == 1


def test_unigram_knows_every_sign_of_the_training_text(project: Project) -> None:
    folder = project("translation", kind="unigram", vocab_size=90)
    texts = [*ENGLISH, "a\tb ▁c  d\ne", "\t漢字 x</s>y <unk>"]
    rewrite(folder / "clean/train", texts, target=texts, label=["x"] * len(texts))
    run(STAGE, "tiny")
    tokenizer = load(folder / "tokenizer")
    for text in ("a\tb ▁c d\ne", "漢ba\t字"):
        assert tokenizer.unk_token_id not in tokenizer(text)["input_ids"]
    assert tokenizer.decode(tokenizer("a\tb ka\nx", add_special_tokens=False)["input_ids"]) == "a\tb ka\nx"
    write_recipe(Path(), "tiny", json.dumps({"task": "translation", "tokenize": {"kind": "unigram", "vocab_size": 20}}))
    refuses(RecipeError, r"20 is too small for the 3. distinct characters of the training text and 3 ")


@pytest.mark.parametrize("kind", SIZES)
def test_a_mask_stands_for_a_piece_as_texts_have_it(project: Project, kind: str) -> None:
    """No separate space precedes the mask: in a text, each piece includes its space."""
    folder = project("masked-lm", kind=kind, vocab_size=SIZES[kind])
    run(STAGE, "tiny")
    tokenizer = load(folder / "tokenizer")
    before, behind = ENGLISH[0].split()[:2]

    def tokens(text: str) -> list[str]:
        return tokenizer.convert_ids_to_tokens(tokenizer(text, add_special_tokens=False)["input_ids"])

    assert tokens(f"{before} [MASK] {behind}") == [
        *tokens(before),
        "[MASK]",
        *tokens(f"x {behind}")[len(tokens("x")) :],
    ]


def test_both_sides_share_a_vocabulary_or_have_one_each(project: Project) -> None:
    folder = project("translation", vocab_size=320)
    run(STAGE, "tiny")
    shared = load(folder / "tokenizer")
    other = Tokens.open(folder / "tokens/train/target")
    assert other.index.documents == Tokens.open(folder / "tokens/train").index.documents == 60
    assert shared.decode(other.document(1), skip_special_tokens=True) == FRENCH[1]
    assert not (folder / "tokenizer/target").exists()

    project("translation", vocab_size=300, shared=False)
    run(STAGE, "tiny")
    own = load(folder / "tokenizer/target")
    other = Tokens.open(folder / "tokens/train/target")
    assert own.get_vocab() != load(folder / "tokenizer").get_vocab()
    assert own.decode(other.document(1), skip_special_tokens=True) == FRENCH[1]


def test_a_prefix_stands_before_each_text_and_no_target(project: Project) -> None:
    folder = project("summarization", vocab_size=300, prefix="summarize: ")
    run(STAGE, "tiny")
    tokens, tokenizer = Tokens.open(folder / "tokens/test"), load(folder / "tokenizer")
    assert tokens.index.prefix == "summarize: "
    assert tokenizer.decode(tokens.document(0)) == f"summarize: {ENGLISH[0]}</s>"
    assert tokenizer.decode(Tokens.open(folder / "tokens/test/target").document(0)) == f"{FRENCH[0]}</s>"


def test_labels_are_numbered_by_the_names_of_the_training_split(project: Project) -> None:
    folder = project("classification", vocab_size=300)
    report = run(STAGE, "tiny")
    labels = Labels.open(folder / "tokens/validation")
    assert labels.names == ["animals", "other", "software"]
    assert [labels.names[index] for index in labels.indices] == LABELS[:6]
    assert report.details["labels"]["software"] == {"train": 20, "validation": 2, "test": 1}


def test_what_a_document_lacks_is_told(project: Project) -> None:
    project("classification", vocab_size=300)
    test = Path("data/tiny/clean/test")
    rewrite(test, ENGLISH[:2], target=[None, None], label=["animals", "plants"])
    refuses(DataError, r"clean/test: document g-1 has the label 'plants', which is not in the training")
    rewrite(test, ENGLISH[:2], target=[None, None], label=["animals", None])
    refuses(DataError, r"clean/test: document g-1 has no label")
    project("classification", labels=["animals"] * 60, vocab_size=300)
    refuses(DataError, "only one class, 'animals'")
    project("translation", vocab_size=300)
    rewrite(test, ENGLISH[:2], target=["x", None], label=[None, None])
    refuses(DataError, r"clean/test: document g-1 has no target")


def test_the_tokenizer_of_a_base_is_copied_to_the_byte(project: Project, tmp_path: Path) -> None:
    folder = project("classification", kind="wordpiece", vocab_size=90, lowercase=True)
    vocabulary = tmp_path / "learned"
    run(STAGE, "tiny")
    shutil.copytree(folder / "tokenizer", vocabulary)
    shutil.copytree(vocabulary, folder / "base", dirs_exist_ok=True)
    (folder / "base/config.json").write_text('{"model_type": "bert"}')
    (folder / "base/model.safetensors").write_bytes(b"weights")
    project("classification", kind="base")
    report = run(STAGE, "tiny")
    assert report.details["vocabulary"] == "of the base, unchanged"
    assert {p.name: p.read_bytes() for p in (folder / "tokenizer").iterdir()} == {
        p.name: p.read_bytes() for p in vocabulary.iterdir()
    }
    ids = load(vocabulary)(ENGLISH[0])["input_ids"]
    assert Tokens.open(folder / "tokens/train").document(0).tolist() == ids


def test_what_a_causal_base_writes_begins_with_the_text(project: Project) -> None:
    """Some tokenizers also start a text with its end token; an output that starts with it would be empty."""
    folder = project("causal-lm", vocab_size=300)
    run(STAGE, "tiny")
    shutil.copytree(folder / "tokenizer", folder / "base", dirs_exist_ok=True)
    begin_with(folder / "base", "<|endoftext|> $A", [("<|endoftext|>", 0)])
    project("summarization", kind="base")
    run(STAGE, "tiny")
    text, target = Tokens.open(folder / "tokens/train"), Tokens.open(folder / "tokens/train/target")
    for number in range(10):
        assert text.document(number)[[0, -1]].tolist() == [0, 0] and (text.document(number)[1:-1] != 0).all()
        assert target.document(number)[-1] == 0 and (target.document(number)[:-1] != 0).all()


def begin_with(base: Path, template: str, tokens: list[tuple[str, int]]) -> None:
    """Give the base's tokenizer a template around a text."""
    from tokenizers import Tokenizer, processors

    tokenizer = Tokenizer.from_file(str(base / "tokenizer.json"))
    tokenizer.post_processor = processors.TemplateProcessing(single=template, special_tokens=tokens)
    tokenizer.save(str(base / "tokenizer.json"))
    (base / "config.json").write_text('{"model_type": "llama"}')


@pytest.mark.parametrize(
    ("template", "before"), [("[CLS] $A", [2]), ("[CLS] $A [SEP]", [2]), ("$A [SEP]", []), ("[SEP] $A", []), ("$A", [])]
)
def test_documents_begin_and_end_as_the_base_has_it(project: Project, template: str, before: list[int]) -> None:
    folder = project("masked-lm", vocab_size=300)
    run(STAGE, "tiny")
    shutil.copytree(folder / "tokenizer", folder / "base", dirs_exist_ok=True)
    begin_with(folder / "base", template, [("[CLS]", 2), ("[SEP]", 3)])
    config = folder / "base/tokenizer_config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"bos_token": "[CLS]", "eos_token": "[SEP]"}))
    project("causal-lm", kind="base")
    report = run(STAGE, "tiny")
    assert report.details["engine"] == "gigatoken"
    tokens, tokenizer = Tokens.open(folder / "tokens/train"), load(folder / "tokenizer")
    for number, text in enumerate(ENGLISH[:5]):
        plain = tokenizer(text, add_special_tokens=False)["input_ids"]
        assert tokens.document(number).tolist() == [*before, *plain, 3]
    found = report.details["splits"]["train"]
    assert found["bytes_per_token"] == pytest.approx(
        found["bytes"] / (found["tokens"] - 60 * len([*before, 3])), abs=1e-3
    )


SPECIAL = {"causal-lm": "<|endoftext|>", "translation": "</s>", "classification": "[SEP]", "masked-lm": "[MASK]"}


@pytest.mark.parametrize("control", [False, True])
@pytest.mark.parametrize("kind", ["byte-level-bpe", "unigram"])
@pytest.mark.parametrize("task", SPECIAL)
def test_special_tokens_in_documents_are_text_unless_the_recipe_says_otherwise(
    project: Project, task: str, kind: str, control: bool
) -> None:
    more = {"special_tokens_in_text": "control"} if control else {}
    folder = project(task, kind=kind, vocab_size=300 if kind == "byte-level-bpe" else 90, **more)
    token, train = SPECIAL[task], folder / "clean/train"
    shutil.rmtree(train)
    texts = [f"{ENGLISH[0]} {token} ka", f"{token}lo", *ENGLISH[2:]]
    write_corpus(train, texts, target=texts[::-1], label=LABELS)
    report = run(STAGE, "tiny")
    tokenizer = load(folder / "tokenizer")
    number = tokenizer.convert_tokens_to_ids(token)
    sides = ["train", "train/target"] if task == "translation" else ["train"]
    for side in sides:
        ends = Tokens.open(folder / "tokens" / side)
        own = [ends.document(place).tolist().count(number) for place in range(60)]
        closed = 0 if token == "[MASK]" else 1
        assert sorted(own)[-2:] == [closed + control] * 2 and min(own) == closed
        assert report.details["splits"][side]["documents_with_special_tokens"] == 2
    assert "documents_with_special_tokens" not in report.details["splits"]["test"]
    assert Tokens.open(folder / "tokens/train").index.control is control


def test_a_prefix_with_a_special_token_needs_control(project: Project) -> None:
    project("translation", vocab_size=300, prefix="</s> ")
    with pytest.raises(RecipeError, match=r"tiny\.yaml: tokenize\.prefix: </s> is a special token, .* control"):
        run(STAGE, "tiny")
    folder = project("translation", vocab_size=300, prefix="</s> ", special_tokens_in_text="control")
    run(STAGE, "tiny")
    assert Tokens.open(folder / "tokens/test").document(0)[[0, -1]].tolist() == [1, 1]


def test_a_base_without_a_model_or_a_tokenizer_is_told(project: Project) -> None:
    folder = project("classification", kind="base")
    refuses(DataError, r"data/tiny/base: no model found, but tokenize\.kind is base")
    (folder / "base/config.json").write_text('{"model_type": "bert"}')
    refuses(DataError, r"data/tiny/base: no tokenizer.json or other")


@pytest.mark.parametrize(
    ("tokenize", "sentence"),
    [
        ({"kind": "base", "vocab_size": 300}, "vocab_size: the base's tokenizer is used unchanged"),
        ({"lowercase": True}, "lowercase: only valid with kind: wordpiece"),
    ],
)
def test_keys_that_mean_nothing_are_refused(project: Project, tokenize: dict, sentence: str) -> None:
    project("masked-lm", **tokenize)
    with pytest.raises(RecipeError, match=sentence):
        read_section("tiny", "tokenize", TokenizeSettings)
    fine = TokenizeSettings(shared=False, prefix="x")
    assert [problem.partition(":")[0] for problem in fine.problems("masked-lm")] == [
        "tokenize.shared",
        "tokenize.prefix",
    ]
