"""The stage tokenize for conversations and preferences: what it writes, what it tells, what it refuses."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tasks.formats import corpus
from tasks.formats.chat_ids import ChatTemplate
from tasks.formats.conversation import answers, questions, write_messages
from tasks.formats.corpus import CorpusWriter, corpus_schema
from tasks.formats.tokens import Answers, Tokens
from tasks.stage.errors import DataError, RecipeError
from tasks.stage.identity import hash_tree
from tasks.stage.run import run
from tasks.tokenize import conversations as stage
from tasks.tokenize.__main__ import STAGE
from tasks.tokenize.settings import TEMPLATES, TokenizeSettings
from tests.corpora import write_recipe
from tests.formats.test_chat_ids import CONVERSATIONS, turns

Messages = list[dict[str, str]]
SOME = [*CONVERSATIONS, turns("a <|im_end|> b", "c <|endoftext|>")]


def write_conversations(folder: Path, every: Sequence[Messages], rejected: Sequence[str] = ()) -> None:
    """A split of a corpus as the stage clean writes it."""
    extra = ("messages", "rejected") if rejected else ("messages",)
    rows = [
        {
            "id": f"c{number}", "group": "g", "text": questions(said), "target": answers(said), "label": None,
            "source": "test", "messages": write_messages(said), "rejected": rejected[number] if rejected else None,
        }
        for number, said in enumerate(every)
    ]  # fmt: skip
    schema = corpus_schema(extra=extra)
    shutil.rmtree(folder, ignore_errors=True)
    with CorpusWriter(folder, schema) as writer:
        writer.write(pa.RecordBatch.from_pylist([{name: row[name] for name in schema.names} for row in rows], schema))


def recipe(folder: Path, task: str, **tokenize: Any) -> None:
    write_recipe(folder, "talk", json.dumps({"task": task, "tokenize": tokenize}))


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    recipe(tmp_path, "chat", vocab_size=300, chat_template="chatml", min_frequency=1)
    for split in ("train", "validation", "test"):
        write_conversations(tmp_path / "data/talk/clean" / split, SOME)
    (tmp_path / "data/talk/base").mkdir()
    return tmp_path


@pytest.mark.parametrize("template", TEMPLATES)
@pytest.mark.parametrize("kind", ["byte-level-bpe", "unigram"])
def test_what_is_stored_is_what_transformers_renders(template: str, kind: str, project: Path) -> None:
    from transformers import AutoTokenizer

    size = 300 if kind == "byte-level-bpe" else 70
    recipe(project, "chat", kind=kind, vocab_size=size, chat_template=template, min_frequency=1)
    report = run(STAGE, "talk").details
    theirs = AutoTokenizer.from_pretrained("data/talk/tokenizer")
    tokens = Tokens.open(Path("data/talk/tokens/test"))
    asked = Answers.open(Path("data/talk/tokens/test"), tokens)
    end = "<|im_end|>" if template == "chatml" else "<|endoftext|>"
    assert theirs.eos_token == report["end_of_answer"] == end
    assert theirs.pad_token == "<|endoftext|>"
    assert tokens.index.eos_token_id == theirs.eos_token_id and not tokens.index.closed
    assert tokens.index.template == ChatTemplate.open(Path("data/talk/tokenizer")).sha256
    for number, said in enumerate(SOME):
        ids, start = tokens.document(number), tokens.starts[number]
        if number < len(CONVERSATIONS):
            assert ids.tolist() == theirs.apply_chat_template(said)["input_ids"]
        texts = [theirs.decode(ids[first - start : until - start]) for first, until in asked.of(number)]
        wanted = [turn["content"] + end for turn in said if turn["role"] == "assistant"]
        if kind == "byte-level-bpe":
            said_here = [text.removesuffix(end).strip() for text in texts]
            assert said_here == [text.removesuffix(end).strip() for text in wanted]
        assert len(texts) == len(wanted) and all(text.endswith(end) for text in texts)
        if kind == "unigram" and said[0]["role"] == "user":  # system prompts are not learned from
            assert theirs.unk_token_id not in ids
    row = report["splits"]["test"]
    assert row["answers"] == len(asked.spans) == 8 and row["asked"] == int(np.diff(asked.spans).sum())
    spoken = [turn["content"] for messages in SOME for turn in messages if turn["role"] == "assistant"]
    assert row["bytes"] == len("".join(spoken).encode())
    assert row["length"]["longest"] == max(np.diff(tokens.starts)) > row["asked_length"]["longest"]
    assert row["documents_with_special_tokens"] == 1


def test_a_preference_has_the_chosen_and_the_rejected_answer(project: Path) -> None:
    from transformers import AutoTokenizer

    recipe(project, "preference", vocab_size=300, chat_template="chatml", min_frequency=1)
    others = [f"No, {number}." for number in range(len(SOME))]
    for split in ("train", "validation", "test"):
        write_conversations(project / "data/talk/clean" / split, SOME, others)
    report = run(STAGE, "talk").details["splits"]["test"]
    theirs = AutoTokenizer.from_pretrained("data/talk/tokenizer")
    for place, answer in (("", [said[-1]["content"] for said in SOME]), ("rejected", others)):
        folder = Path("data/talk/tokens/test") / place
        tokens = Tokens.open(folder)
        asked = Answers.open(folder, tokens)
        assert asked.first.tolist() == list(range(len(SOME) + 1))  # one each, although one has two answers before
        ids = [tokens.slice(start, end) for start, end in asked.spans]
        assert [theirs.decode(one) for one in ids] == [f"{text}<|im_end|>" for text in answer]
        row = report[place] if place else report
        assert row["bytes"] == sum(len(text.encode()) for text in answer) and row["answers"] == len(SOME)


def test_bytes_are_the_same_whatever_is_tokenized_at_once(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corpus, "BATCH_BYTES", 80)
    write_conversations(project / "data/talk/clean/train", SOME * 8)
    assert len(list(corpus.row_groups(project / "data/talk/clean/train"))) > 2
    run(STAGE, "talk")
    before = hash_tree(Path("data/talk/tokens/train"))
    monkeypatch.setattr(stage, "AT_ONCE", 2)
    run(STAGE, "talk")
    assert hash_tree(Path("data/talk/tokens/train")) == before


QWEN = "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + ('<think></think>' if loop.last and m.role == "
QWEN += "'assistant' else '') + m.content + '<|im_end|>' }}{% endfor %}{% if add_generation_prompt %}{{ "
QWEN += "'<|im_start|>assistant\n' }}{% endif %}"


def test_a_template_that_rewrites_earlier_answers_leaves_the_last_one(project: Path) -> None:
    Path("recipes/own.jinja").write_text(QWEN)
    recipe(project, "chat", vocab_size=300, chat_template="recipes/own.jinja", min_frequency=1)
    row = run(STAGE, "talk").details["splits"]["test"]
    assert (row["answers"], row["answers_rendered_differently"]) == (len(SOME), 3)
    folder = Path("data/talk/tokens/test")
    assert Tokens.open(folder).index.last_only and "last_only" in (folder / "index.json").read_text()
    assert Path("data/talk/tokenizer/chat_template.jinja").read_text() == QWEN


SILENT = "{% for m in messages if m.role != 'system' %}{{ m.role + ':' + m.content + eos_token }}{% endfor %}"
SILENT += "{% if add_generation_prompt %}{{ 'assistant:' }}{% endif %}"


def test_a_system_turn_that_is_left_out_is_told(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("recipes/own.jinja").write_text(SILENT)
    recipe(project, "chat", vocab_size=300, chat_template="recipes/own.jinja", min_frequency=1)
    row = run(STAGE, "talk").details["splits"]["test"]
    assert row["system_turns_left_out"] == 1
    assert "3 conversations have a system turn, which the chat template leaves out" in capsys.readouterr().err


BAD_FILES = {
    "{{ x": r"tokenize\.chat_template: recipes/own\.jinja: the chat template is not valid Jinja: line 1: ",
    "{{ raise_exception('Never.') }}": r"own\.jinja: for a question and its answer, the chat template says: Never\.$",
    "{{ messages[0].content }}": r"own\.jinja: the chat template leaves out what the assistant says; ",
    "{% for m in messages %}{{ m.content + eos_token }}{% endfor %}": r"own\.jinja: the chat template renders the same",
    "{% for m in messages %}{{ m.role + m.content }}{% endfor %}": r"own\.jinja: .* no special token of the tokenizer",
}


@pytest.mark.parametrize("text", BAD_FILES)
def test_a_template_that_cannot_be_used_is_one_sentence(text: str, project: Path) -> None:
    Path("recipes/own.jinja").write_text(text)
    recipe(project, "chat", vocab_size=300, chat_template="recipes/own.jinja", min_frequency=1)
    with pytest.raises(RecipeError, match=BAD_FILES[text]):
        run(STAGE, "talk")


def test_a_missing_file_is_named(project: Path) -> None:
    recipe(project, "chat", vocab_size=300, chat_template="recipes/none.jinja")
    with pytest.raises(RecipeError, match=r"tokenize\.chat_template: recipes/none\.jinja: no such file in the project"):
        run(STAGE, "talk")


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ([*turns("a", "b"), *turns("c")], "document c0: the conversation does not end with an answer"),
        ([*turns("a"), *turns("b", "c")], r"document c0: .*must alternate, but turn 2 is of user"),
    ],
)
def test_a_conversation_that_cannot_be_rendered_is_named(said: Messages, told: str, project: Path) -> None:
    recipe(project, "chat", vocab_size=300, chat_template="llama-2", min_frequency=1)
    write_conversations(project / "data/talk/clean/validation", [said])
    with pytest.raises(DataError, match=rf"data/talk/clean/validation: {told}"):
        run(STAGE, "talk")


def base_of(folder: Path, template: str | None) -> None:
    """A base with GPT-2's special token, whose vocabulary has no control tokens."""
    run(STAGE, "talk")
    base = folder / "data/talk/base"
    shutil.copytree(folder / "data/talk/tokenizer", base, dirs_exist_ok=True)
    (base / "chat_template.jinja").unlink()
    if template is not None:
        config = json.loads((base / "tokenizer_config.json").read_text())
        (base / "tokenizer_config.json").write_text(json.dumps({**config, "chat_template": template}))
    (base / "config.json").write_text('{"model_type": "llama"}')


def test_a_base_keeps_its_own_template_or_takes_the_recipes(project: Path) -> None:
    recipe(project, "chat", vocab_size=300, chat_template="plain", min_frequency=1)
    own = (Path(stage.__file__).parent / "templates/zephyr.jinja").read_text()
    base_of(project, own)
    recipe(project, "chat", kind="base")
    run(STAGE, "talk")
    kept = ChatTemplate.open(Path("data/talk/tokenizer"))
    assert kept.text == own and not Path("data/talk/tokenizer/chat_template.jinja").exists()
    recipe(project, "chat", kind="base", chat_template="alpaca")
    run(STAGE, "talk")
    assert "### Instruction" in ChatTemplate.open(Path("data/talk/tokenizer")).text
    assert Tokens.open(Path("data/talk/tokens/test")).index.template != kept.sha256


def test_a_base_that_does_not_fit_is_told_which_templates_do(project: Path) -> None:
    recipe(project, "chat", vocab_size=300, chat_template="plain", min_frequency=1)
    base_of(project, None)
    fit = "templates that fit the base: alpaca, llama-2, plain, zephyr"
    recipe(project, "chat", kind="base")
    with pytest.raises(RecipeError, match=f"the base's own cannot be used: the tokenizer has no chat template; {fit}$"):
        run(STAGE, "talk")
    recipe(project, "chat", kind="base", chat_template="chatml")
    with pytest.raises(RecipeError, match=rf"chatml: .*after an answer, but '<\|im_end\|>\\n'; .*; {fit}$"):
        run(STAGE, "talk")


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("chatlm", r"did you mean chatml\?"),
        ("/etc/x.jinja", "outside of the project"),
        ("../x.jinja", "outside of the project"),
    ],
)
def test_a_template_that_cannot_be_meant_is_refused(given: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        TokenizeSettings(chat_template=given)


def test_keys_that_do_not_fit_the_task_are_refused() -> None:
    assert list(TokenizeSettings(chat_template="plain").problems("causal-lm")) == [
        "tokenize.chat_template: has no effect on causal-lm; remove this key"
    ]
    assert [line.split(":")[0] for line in TokenizeSettings().problems("chat")] == ["tokenize.chat_template"]
    given = TokenizeSettings(chat_template="plain", special_tokens_in_text="control")
    assert [line.split(":")[0] for line in given.problems("preference")] == ["tokenize.special_tokens_in_text"]
    assert list(TokenizeSettings(kind="base").problems("chat")) == []
