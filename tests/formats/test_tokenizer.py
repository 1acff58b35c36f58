"""Text is text, and a text begins and ends as its tokenizer has it."""

import json
from pathlib import Path

import pyarrow as pa
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from tasks.formats.text_ids import Frame, encode_masked, opening, read_as_text
from tasks.formats.tokenizer import load_tokenizer
from tasks.tokenize.engine import choose_engine
from tasks.tokenize.settings import TokenizeSettings
from tasks.tokenize.specials import specials_of
from tasks.tokenize.vocabulary import save_vocabulary, train_vocabulary

TEXTS = pa.array(
    ["the cat *** sat [on] the mat", "a dog***s </ house > is </so> old", "<pad, <unk"] * 20, pa.large_string()
)
KINDS: list[tuple[str, str, dict]] = [
    ("causal-lm", "***", {"vocab_size": 300, "end_of_text": "***"}),  # merges make it, too
    ("translation", "</s>", {"vocab_size": 300}),
    ("translation", "</s>", {"kind": "unigram", "vocab_size": 48}),
    ("masked-lm", "[SEP]", {"kind": "unigram", "vocab_size": 48}),
    ("masked-lm", "[MASK]", {"kind": "wordpiece", "vocab_size": 60}),
]


def learned(folder: Path, task: str, **settings: object) -> Path:
    keys = TokenizeSettings.model_validate(settings)
    specials = specials_of(task, keys)
    save_vocabulary(train_vocabulary(lambda: [TEXTS], keys, specials), specials, folder)
    return folder


def marian(folder: Path, symbol: str) -> Path:
    """A tokenizer in Python, by sentencepiece, with `</s>`, `<unk>` and a symbol in its model."""
    import sentencepiece

    folder.mkdir()
    for side in ("source", "target"):
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(TEXTS.to_pylist()), model_prefix=str(folder / side), vocab_size=48,
            hard_vocab_limit=False, minloglevel=2, user_defined_symbols=symbol,
        )  # fmt: skip
        (folder / f"{side}.model").rename(folder / f"{side}.spm")
    model = sentencepiece.SentencePieceProcessor(model_file=str(folder / "source.spm"))
    pieces = [model.id_to_piece(number) for number in range(model.vocab_size())]
    names = dict.fromkeys(["</s>", "<unk>", *pieces, "<pad>"])
    (folder / "vocab.json").write_text(json.dumps({piece: number for number, piece in enumerate(names)}))
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "MarianTokenizer", "source_lang": "en", "target_lang": "fr"})
    )
    return folder


@pytest.mark.parametrize(
    ("task", "token", "settings"),
    [*KINDS, ("translation", "</s>", {"symbol": "cat"}), ("translation", "<pad>", {"symbol": "<pad>"})],
)
def test_a_special_token_in_a_text_is_text(tmp_path: Path, task: str, token: str, settings: dict) -> None:
    folder = tmp_path / "it"
    marian(folder, **settings) if "symbol" in settings else learned(folder, task, **settings)
    text, control = load_tokenizer(folder), load_tokenizer(folder, control=True)
    number, special = text.convert_tokens_to_ids(token), set(text.all_special_ids) - {text.unk_token_id}
    frame = Frame.of(text)
    for sentence in (token, f"{token} the cat", f"the {token} cat", f"cat{token}{token}s", f"the {token}"):
        ids = text(sentence)["input_ids"]
        assert not special & set(ids[len(frame.before) : len(ids) - len(frame.behind)]), text.convert_ids_to_tokens(ids)
        assert number in control(sentence, add_special_tokens=False)["input_ids"]
    for sentence in TEXTS.to_pylist():
        if token not in sentence:
            assert text(sentence)["input_ids"] == control(sentence)["input_ids"]
    assert len(text) == len(control) and text.decode([number], skip_special_tokens=True) == ""


@pytest.mark.parametrize(("task", "token", "settings"), KINDS)
def test_the_fast_engine_reads_it_as_the_reference_does(task: str, token: str, settings: dict) -> None:
    keys = TokenizeSettings.model_validate(settings)
    tokenizer = train_vocabulary(lambda: [TEXTS], keys, specials_of(task, keys))
    texts = pa.array([f"the {token} cat{token}", token], pa.large_string())
    for as_text in (False, True):
        if as_text:
            read_as_text(tokenizer)
        engine = choose_engine(tokenizer, False, [TEXTS])
        expected = [
            number for text in texts.to_pylist() for number in tokenizer.encode(text, add_special_tokens=False).ids
        ]
        assert engine.encode(texts).ids.tolist() == expected
        assert (tokenizer.token_to_id(token) in expected) is not as_text


@pytest.mark.parametrize("kind", ["byte-level-bpe", "unigram", "wordpiece"])
def test_a_mask_in_an_input_masks_and_nothing_else_controls(tmp_path: Path, kind: str) -> None:
    folder = learned(tmp_path / "it", "masked-lm", kind=kind, vocab_size=300 if kind == "byte-level-bpe" else 48)
    text, control = load_tokenizer(folder), load_tokenizer(folder, control=True)
    for sentence in ("the [MASK] sat", "[MASK]", "[MASK] [MASK]cat[MASK] . [MASK]", " the cat [MASK]"):
        assert encode_masked(text, sentence) == control(sentence)["input_ids"]
    ids = encode_masked(text, "the [SEP] [MASK] [PAD]")
    assert ids.count(text.sep_token_id) == 1 and ids[-1] == text.sep_token_id and text.pad_token_id not in ids
    assert ids.count(text.mask_token_id) == 1


def llama(folder: Path, template: str) -> Path:
    """A byte-level tokenizer with <s>, </s> and <cls>, and a template around a text."""
    names = {"<s>": 0, "</s>": 1, "<cls>": 2}
    letters = {sign: number for number, sign in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()), 3)}
    tokenizer = Tokenizer(models.BPE(names | letters, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.add_special_tokens(list(names))
    tokenizer.post_processor = processors.TemplateProcessing(single=template, special_tokens=list(names.items()))
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>").save_pretrained(folder)
    return folder


@pytest.mark.parametrize(
    ("template", "begin"),
    [
        ("$A", []),
        ("<s> $A", [0]),
        ("<s> $A </s>", [0]),
        ("$A </s>", []),
        ("</s> $A", []),  # what ends a text stands before the next one
        ("<cls> <s> $A", [2, 0]),
    ],
)
def test_how_a_text_begins_is_found_in_the_tokenizer(tmp_path: Path, template: str, begin: list) -> None:
    assert opening(load_tokenizer(llama(tmp_path, template))) == begin


@pytest.mark.parametrize("unknown", [None, "<s>"])
def test_how_a_text_begins_is_found_without_any_letter_of_ours(tmp_path: Path, unknown: str | None) -> None:
    """A vocabulary of other letters, whose unknown token is that which begins a text, or which has none."""
    tokenizer = Tokenizer(models.BPE({"<s>": 0, "</s>": 1, "C": 2, "G": 3}, [], unk_token=unknown))
    tokenizer.add_special_tokens(["<s>", "</s>"])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 1)]
    )
    given = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": unknown}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **given).save_pretrained(tmp_path)
    assert Frame.of(load_tokenizer(tmp_path)) == Frame([0], [1])
