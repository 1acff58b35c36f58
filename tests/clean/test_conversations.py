"""Conversations are cleaned by role: repaired and masked everywhere, judged on the answers, and always consistent."""

from collections import defaultdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.clean.__main__ import STAGE
from tasks.clean.conversations import clean_conversations
from tasks.clean.rewrite import rewrite
from tasks.clean.rules.privacy.mask import mask
from tasks.clean.rules.quality.judge import judge
from tasks.clean.settings import CleanSettings
from tasks.formats.conversation import answers, questions, read_messages, write_messages
from tasks.stage.errors import RecipeError
from tasks.stage.run import run
from tests.chats import chat_batch, chat_row, turns, write_chats
from tests.clean.corpus import ids, rejected, report, rows
from tests.clean.test_text import adversarial, garbled
from tests.scratch import write_code

CHOSEN: list[dict[str, Any]] = [
    {},
    {"max_blank_lines": 0, "unicode": "NFKC", "html": "text"},
    {"privacy": {}, "quality": {"c4": {"min_sentences": None}}},
    {"quality": {"c4": {"terminal_marks": None, "min_words_per_line": 2, "min_sentences": None}}, "min_words": 2},
]
MAIL = "write to jane.doe@mail.com"
LINES = st.lists(st.sampled_from(["A whole line of words.", "menu", MAIL, "cafÃ©", "", "a \r\nb", "{x}"]), max_size=4)
SAID = LINES.map("\n".join) | adversarial | garbled
CHATS = st.lists(st.tuples(SAID | st.none(), st.lists(st.tuples(SAID, SAID), min_size=1, max_size=3), SAID), max_size=4)


def cleaned(rows: list[dict[str, Any]], **keys: Any) -> list[dict[str, Any]]:
    return clean_conversations(chat_batch(rows), CleanSettings.model_validate(keys), {})[0].to_pylist()


@given(CHATS, st.sampled_from(CHOSEN), st.booleans())
@settings(max_examples=12, deadline=None)
def test_questions_answers_and_turns_agree_after_any_cleaning(chats: Any, keys: Any, with_rejected: bool) -> None:
    given_rows = [
        chat_row(str(n), turns(*sum(pairs, ()), system=system), rejected if with_rejected else None)
        for n, (system, pairs, rejected) in enumerate(chats)
    ]
    for before, after in zip(given_rows, cleaned(given_rows, **keys), strict=True):
        messages = read_messages(after["messages"])
        assert after["text"] == questions(messages) and after["target"] == answers(messages)
        assert after["messages"] == write_messages(messages)
        assert [turn["role"] for turn in messages] == [turn["role"] for turn in read_messages(before["messages"])]
        expected = slowly(before, after, keys)
        assert all(turn["content"] in allowed for turn, allowed in zip(messages, expected, strict=True))
        if after["reason"] is None:
            assert all(turn["content"] for turn in messages)
            assert not with_rejected or after["rejected"] not in ("", messages[-1]["content"])


def slowly(before: dict[str, Any], after: dict[str, Any], keys: dict[str, Any]) -> list[set[str]]:
    """What each turn may be, cleaned by itself: answers of conversations that are dropped need not be judged."""
    chosen, found = CleanSettings.model_validate(keys), []
    for turn in read_messages(before["messages"]):
        column, _ = rewrite(pa.array([turn["content"]], pa.large_string()), chosen, defaultdict(set))
        ruled = judge(column, chosen.quality).texts if turn["role"] == "assistant" else column
        found.append({masked(ruled, chosen)} | ({masked(column, chosen)} if after["reason"] else set()))
    return found


def masked(column: pa.Array, chosen: CleanSettings) -> str:
    return str((column if chosen.privacy is None else mask(column, chosen.privacy).column)[0])


def test_every_turn_is_repaired_and_masked_also_the_system_prompt_and_the_rejected_answer() -> None:
    row = chat_row("a", turns(f"Q {MAIL}", f"A {MAIL}", system=f"cafÃ© {MAIL}"), f"R cafÃ© {MAIL}")
    (after,) = cleaned([row], privacy={})
    assert "jane" not in str(after) and "Ã" not in str(after)
    assert [turn["content"][:1] for turn in read_messages(after["messages"])] == ["c", "Q", "A"]
    _, noted = clean_conversations(chat_batch([row]), CleanSettings.model_validate({"privacy": {}}), {})
    assert noted.personal == {"email": 4} and noted.rewritten == {"mojibake": 1}


def test_quality_is_asked_of_each_answer_and_of_no_question_and_no_rejected_answer() -> None:
    bad, good = "lorem ipsum", "It is a good answer. It is whole. It ends."
    keys = {"quality": {"c4": {"min_sentences": None}}}
    made = [
        chat_row("good", turns(bad, good, bad, good, system=bad), bad),
        chat_row("bad", turns(good, good, good, bad, system="s"), good),
        chat_row("line", turns(good, f"menu\n{good}"), bad),
    ]
    after = cleaned(made, **keys)
    assert [row["reason"] for row in after] == [None, "target_c4_no_line_left", None]
    assert after[1]["value"].endswith(" in turn 5")
    assert read_messages(after[2]["messages"])[1]["content"] == after[2]["target"] == good


def test_bounds_are_about_questions_and_answers_and_languages_too() -> None:
    made = [chat_row("a", turns("one two three", "x")), chat_row("b", turns("one", "y y y", "two", "y"))]
    assert [row["reason"] for row in cleaned(made, max_words=2)] == ["too_many_words", None]
    assert [row["reason"] for row in cleaned(made, target={"max_words": 3})] == [None, "target_too_many_words"]


def test_what_is_emptied_names_its_turn_and_a_blocked_word_its_first() -> None:
    made = [
        chat_row("a", turns("q", "x", "\u200b\u200b", "y")),
        chat_row("b", turns("q", "x"), "frogs"),
        chat_row("c", turns("q", "same"), "same\r\n"),
    ]
    after = cleaned([{**made[0], "rejected": "z"}, *made[1:]], blocked_words={"words": ("frogs",)})
    assert [(row["reason"], row["value"]) for row in after] == [
        ("empty_turn", "turn 3 (user)"),
        ("blocked_words", "1, first in the rejected answer"),
        ("same_answers", "4 characters"),
    ]


def stage(root: Path, clean: str, made: list[dict[str, Any]]) -> Path:
    (root / "recipes").mkdir()
    write_code(root)
    (root / "recipes" / "small.yaml").write_text(f"task: chat\nclean:\n{clean}", encoding="utf-8")
    write_chats(root / "data" / "small" / "valid", made)
    run(STAGE, "small")
    return root / "data" / "small" / "clean"


@pytest.fixture(autouse=True)
def own_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def words(*numbers: int) -> str:
    return " ".join(f"word{n}" for n in numbers)


def test_duplicates_are_whole_conversations_near_ones_and_contamination_about_questions(tmp_path: Path) -> None:
    question, answer = words(*range(100)), words(*range(500, 600))
    made = [
        chat_row("kept", turns(words(*range(200, 300)), answer)),
        chat_row("same", turns(words(*range(200, 300)), answer)),
        chat_row("other answer", turns("q", words(1))),
        chat_row("its question again", turns("q", words(2))),
        chat_row("near", turns(f"{question} more", words(3))),
        chat_row("quotes", turns(f"{words(*range(700, 750))} {words(*range(20))}", words(4))),
        chat_row("tested", turns(question, answer), group="held out"),
    ]
    held = "  splits: {validation: 0, test: 0, test_groups: [held out]}\n"
    out = stage(tmp_path, "  near_duplicates: {}\n  contamination: {}\n" + held, made)
    assert ids(out / "train") == ["kept", "other answer"]
    assert rejected(out) == {
        "same": ("duplicate", "same as kept", None),
        "its question again": ("near_duplicate", "1.000 with other answer", "0.8"),
        "near": ("near_duplicate", "0.990 with tested", "0.8"),
        "quotes": ("contaminated", "8, 0.286 of the words", "1"),
    }
    assert read_messages(rows(out / "train")[1]["messages"]) == turns("q", words(1))
    assert report(out)["details"]["funnel"][0]["documents"] == 7


def test_one_answer_to_several_questions_stays_in_the_test_split(tmp_path: Path) -> None:
    made = [
        chat_row("a", turns("Define: ash", "a tree")),
        chat_row("b", turns("Define: oak", "a tree of the genus Quercus")),
        chat_row("c", turns("Define: Fraxinus", "a tree"), group="held out"),
    ]
    held = "  splits: {validation: 0, test: 0, test_groups: [held out]}\n"
    same = "  contamination: {sides: [target], min_words: 1, min_share: 1}\n"
    out = stage(tmp_path, same + held, made)
    assert ids(out / "train") == ["b"]
    assert rejected(out) == {"a": ("target_contaminated", "1, 1.000 of the words", "1, 1 of the words")}


def test_evaluation_files_may_be_conversations_whose_roles_are_no_texts(tmp_path: Path) -> None:
    exam = f'{{"messages": [{{"role": "user", "content": "{words(*range(20))}"}}]}}\n'
    (tmp_path / "exam.jsonl").write_text(exam)
    made = [chat_row("a", turns(f"x {words(*range(20))}", "y")), chat_row("b", turns("the user asks", "y"))]
    out = stage(
        tmp_path, "  contamination: {files: [exam.jsonl], min_words: 1}\n  splits: {validation: 0, test: 0}\n", made
    )
    assert ids(out / "train") == ["b"]


def test_paragraphs_are_not_taken_out_of_conversations(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"recipes/small.yaml: clean.duplicate_paragraphs: not for conversations"):
        stage(tmp_path, "  duplicate_paragraphs: {}\n", [chat_row("a", turns("q", "x"))])
