"""Conversations and preferences in the forms that data sets have; what cannot be used is a problem with its place."""

import csv
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.formats.conversation import Message, answers, questions, read_messages, write_messages
from tasks.stage.errors import DataError, RecipeError
from tests.chats import turns
from tests.ingest.conftest import read_report, write, write_rows

FORMATS = ("a.jsonl", "a.json", "a.parquet", "a.csv")
SHARE = {"user": "human", "assistant": "gpt", "system": "system"}


def write_table(name: str, rows: list[dict[str, Any]]) -> None:
    """The rows in a format; lists as JSON in the cells of a CSV file."""
    if name.endswith(".csv"):
        with Path(name).open("w", newline="") as file:
            table = csv.DictWriter(file, rows[0])
            table.writeheader()
            for row in rows:
                table.writerow({key: each if isinstance(each, str) else json.dumps(each) for key, each in row.items()})
    elif name.endswith(".json"):
        write(name, json.dumps(rows))
    else:
        write_rows(name, rows)


def share(messages: list[Message]) -> list[dict[str, str]]:
    return [{"from": SHARE[turn["role"]], "value": turn["content"]} for turn in messages]


ONE, TWO = turns("Hi", "Hello", system="Be kind."), turns("1+1?", "2", "again", "2!")
ALPACA = {"instruction_column": "instruction", "input_column": "input", "output_column": "output"}
FORMS: list[tuple[dict[str, str], list[dict[str, Any]], list[list[Message]]]] = [
    ({"messages_column": "messages"}, [{"messages": ONE}, {"messages": TWO}], [ONE, TWO]),
    ({"messages_column": "conversations"}, [{"conversations": share(ONE)}, {"conversations": share(TWO)}], [ONE, TWO]),
    ({"prompt_column": "prompt", "completion_column": "completion", "system": "Be kind."},
     [{"prompt": "Hi", "completion": "Hello"}], [ONE]),
    ({"prompt_column": "prompt", "completion_column": "completion"},
     [{"prompt": TWO[:3], "completion": TWO[3:]}, {"prompt": ONE[:2], "completion": ONE[2:]}], [TWO, ONE]),
    (ALPACA,
     [{"instruction": "Add", "input": "1 2", "output": "3"}, {"instruction": "Hi", "input": " ", "output": "o"}],
     [turns("Add\n\n1 2", "3"), turns("Hi", "o")]),
    ({**ALPACA, "history_column": "history", "system_column": "system"},
     [{"instruction": "c", "input": "", "output": "d", "history": [["a", "b"]], "system": "Be kind."},
      {"instruction": "c", "input": "", "output": "d", "history": [], "system": ""}],
     [turns("a", "b", "c", "d", system="Be kind."), turns("c", "d")]),
    ({"prompt_template": "{{Define}} {word}: ({kind})", "completion_column": "gloss"},
     [{"word": "ash", "kind": "n", "gloss": "a tree"}], [turns("{Define} ash: (n)", "a tree")]),
]  # fmt: skip


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize(("documents", "rows", "expected"), FORMS)
def test_every_form_becomes_the_same_turns_from_every_format(run, name, documents, rows, expected):
    write_table(name, rows)
    made = run("chat", kind="files", files=[name], documents=documents)
    assert [row["messages"] for row in made] == [write_messages(messages) for messages in expected]
    assert [row["text"] for row in made] == [questions(messages) for messages in expected]
    assert [row["target"] for row in made] == [answers(messages) for messages in expected]
    assert {row["problem"] for row in made} == {None}


BETTER, WORSE = turns("q", "better"), turns("q", "worse")
PAIR = {"chosen_column": "chosen", "rejected_column": "rejected"}
PREFERENCES: list[tuple[dict[str, str], dict[str, Any]]] = [
    ({"prompt_column": "prompt", **PAIR}, {"prompt": "q", "chosen": "better", "rejected": "worse"}),
    ({"prompt_column": "prompt", **PAIR}, {"prompt": BETTER[:1], "chosen": BETTER[1:], "rejected": WORSE[1:]}),
    ({"prompt_column": "prompt", **PAIR}, {"prompt": "q", "chosen": BETTER, "rejected": WORSE}),
    (PAIR, {"chosen": BETTER, "rejected": WORSE}),
    ({"prompt_template": "{a}", **PAIR}, {"a": "q", "chosen": "better", "rejected": "worse"}),
]


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize(("documents", "row"), PREFERENCES)
def test_preferences_end_with_the_chosen_answer_beside_the_rejected_one(run, name, documents, row):
    write_table(name, [row])
    (made,) = run("preference", kind="files", files=[name], documents=documents)
    assert (read_messages(made["messages"]), made["rejected"]) == (BETTER, "worse")
    assert (made["text"], made["target"], made["problem"]) == ("q", "better", None)


def test_turns_after_the_last_answer_are_cut_and_counted(run):
    write_rows("a.jsonl", [{"m": turns("q", "a", "and?")}, {"m": turns("q", "a")}])
    made = run("chat", kind="files", files=["a.jsonl"], documents={"messages_column": "m"})
    assert [read_messages(row["messages"]) for row in made] == [turns("q", "a")] * 2
    assert read_report()["details"]["turns_cut_after_the_last_answer"] == 1


def test_a_conversation_that_cannot_be_used_is_kept_with_its_problem(run):
    user, answer = turns("q", "a")
    bad: list[tuple[Any, str]] = [
        ([user], "no answer in a.jsonl line 2: no turn of the assistant"),
        ([answer], "the conversation begins with the assistant in a.jsonl line 3; the user comes first"),
        ([{"role": "elf", "content": "x"}, answer], "turn 1 of m in a.jsonl line 4 has the unknown role 'elf' (known"),
        ([user, {**answer, "content": " "}], "turn 2 (assistant) is empty in a.jsonl line 5"),
        ([], "no turns in a.jsonl line 6: the conversation is empty"),
        (None, "no m in a.jsonl line 7"),
        ("[{'role': 'user'}]", "m is not JSON in a.jsonl line 8: Expecting property name"),
        ('"q"', "m is text, not a list of turns, in a.jsonl line 9"),
        (["q"], "turn 1 of m in a.jsonl line 10 is no object with role and content, but str"),
        ([{"content": "q"}], "turn 1 of m in a.jsonl line 11 has no role (its keys: content)"),
        ([user, {"role": "assistant", "content": None, "tool_calls": [{}]}],
         "turn 2 of m in a.jsonl line 12 has tool_calls, which is not read; write the call into its content"),
        ([user, {**answer, "weight": 0}], "turn 2 of m in a.jsonl line 13 has weight 0, which is not supported"),
        ([{"role": "user", "content": [{"type": "image_url"}]}], "turn 1 of m in a.jsonl line 14 holds image_url, not"),
        ([user, {**answer, "content": "\ud800"}], "lone surrogate at character 0 of content in turn 2 of m in a.jsonl"),
        ([user, {**answer, "content": 7}], "content is no text, but int, in turn 2 of m in a.jsonl line 16"),
    ]  # fmt: skip
    write_rows("a.jsonl", [{"m": turns("q", "a")}, *({"m": value} for value, _ in bad)])
    made = run("chat", kind="files", files=["a.jsonl"], documents={"messages_column": "m"})
    for row, (_, told) in zip(made[1:], bad, strict=True):
        assert row["problem"].startswith(told)
    assert made[0]["problem"] is None and read_report()["details"]["problems"]["documents"] == len(bad)


def test_a_preference_that_cannot_be_used_is_kept_with_its_problem(run):
    rows = [
        {"chosen": BETTER, "rejected": WORSE},
        {"chosen": BETTER, "rejected": BETTER},
        {"chosen": BETTER, "rejected": turns("other", "worse")},
        {"chosen": turns("q", "a", "r", "b"), "rejected": turns("q", "c", "r", "b")},
        {"chosen": turns("q", "a"), "rejected": turns("q", " ")},
    ]
    write_rows("a.jsonl", rows)
    made = run("preference", kind="files", files=["a.jsonl"], documents=PAIR)
    told = [
        "the chosen and the rejected answer are the same in a.jsonl line 2",
        "no prompt in a.jsonl line 3: chosen and rejected have no beginning in common; name the prompt with documents.",
        "chosen is not the prompt with one answer of the assistant in a.jsonl line 4: after the prompt come the",
        "the rejected answer is empty in a.jsonl line 5: nothing in the column 'rejected'",
    ]
    assert made[0]["problem"] is None
    assert all(row["problem"].startswith(start) for row, start in zip(made[1:], told, strict=True))


def test_parts_of_text_tools_and_other_names_of_roles_are_read(run):
    parts = [{"type": "text", "text": "Look"}, {"type": "text", "text": " here"}]
    said = [("developer", "s"), ("Human", parts), ("function_call", "f()"), ("observation", "1"), ("model", "one")]
    write_rows("a.jsonl", [{"m": [{"role": role, "content": content} for role, content in said]}])
    (row,) = run("chat", kind="files", files=["a.jsonl"], documents={"messages_column": "m"})
    roles = ["system", "user", "assistant", "tool", "assistant"]
    assert [turn["role"] for turn in read_messages(row["messages"])] == roles
    assert (row["text"], row["target"]) == ("Look here\n\n1", "f()\n\none")


def test_a_text_that_is_json_stays_a_text_and_a_wrong_byte_spoils_one_row_of_parquet(run):
    write_rows("a.jsonl", [{"p": '[{"a": 1}]', "c": "[1, 2]"}])
    (row,) = run("chat", kind="files", files=["a.jsonl"], documents={"prompt_column": "p", "completion_column": "c"})
    assert (row["text"], row["target"]) == ('[{"a": 1}]', "[1, 2]")
    contents = pa.array([b"q", b"a", b"q\xff", b"a"]).view(pa.string())
    each = pa.StructArray.from_arrays([pa.array(["user", "assistant"] * 2), contents], ["role", "content"])
    pq.write_table(pa.table({"m": pa.ListArray.from_arrays(pa.array([0, 2, 4], pa.int32()), each)}), "a.parquet")
    made = run("chat", kind="files", files=["a.parquet"], documents={"messages_column": "m"})
    assert [row["problem"] for row in made] == [
        None,
        "not UTF-8 at byte 1 of content in turn 1 of m in a.parquet row 2",
    ]


def test_a_hub_folder_of_conversations(run, project, monkeypatch):
    monkeypatch.setenv("HF_HOME", str(project.parent / "hf"))
    write_rows("sets/mine/train.parquet", [{"messages": ONE}, {"messages": TWO}])
    made = run("chat", kind="hub", dataset="sets/mine", split="train", documents={"messages_column": "messages"})
    assert [read_messages(row["messages"]) for row in made] == [ONE, TWO]


@pytest.mark.parametrize(
    ("columns", "advice"),
    [
        (["messages"], "{messages_column: messages} and task: chat"),
        (["conversations", "id"], "{messages_column: conversations} and task: chat"),
        (["prompt", "completion"], "{prompt_column: prompt, completion_column: completion} and task: chat"),
        (["instruction", "output", "input"], "{instruction_column: instruction, input_column: input, output_column: "),
        (["chosen", "rejected"], "{chosen_column: chosen, rejected_column: rejected} and task: preference"),
    ],
)
def test_a_table_of_conversations_without_keys_says_what_to_write(run, columns, advice):
    write_rows("a.jsonl", [dict.fromkeys(columns, "x")])
    Path("a.csv").write_text(",".join(columns) + "\n" + ",".join(columns) + "\n")
    for name in ("a.jsonl", "a.csv"):
        with pytest.raises(DataError) as told:
            run("causal-lm", kind="files", files=[name])
        assert f"; for conversations, write documents: {advice}" in str(told.value)


@pytest.mark.parametrize(
    ("documents", "told"),
    [
        ({"messages_column": "m", "target_column": "t"}, "messages_column and target_column are mutually exclusive"),
        ({"messages_column": "m", "prompt_column": "p"}, "messages_column and prompt_column are mutually exclusive"),
        ({"messages_column": "m", "output_column": "p"}, "messages_column and output_column are mutually exclusive"),
        (
            {"prompt_column": "p", "prompt_template": "{a}", "output_column": "o"},
            "prompt_column and prompt_template are",
        ),
        ({"chosen_column": "c"}, "chosen_column needs rejected_column"),
        ({"completion_column": "c"}, "completion_column needs prompt_column, prompt_template or instruction_column"),
        ({"prompt_column": "c"}, "prompt_column needs completion_column, or chosen_column and rejected_column"),
        ({"messages_column": "m", "input_column": "i"}, "input_column needs instruction_column"),
        ({"system": "s"}, "system is only for conversations; name their columns, such as messages_column"),
        ({"prompt_template": "{a!r}", "output_column": "o"}, "braces hold the name of a column"),
        ({"prompt_template": "Define", "output_column": "o"}, "names no column; write one in braces"),
        ({"prompt_template": "{a", "output_column": "o"}, "expected '}' before end of string"),
    ],
)
def test_keys_that_do_not_fit_together_are_told(run, documents, told):
    write_rows("a.jsonl", [{"m": turns("q", "a")}])
    with pytest.raises(RecipeError) as error:
        run("chat", kind="files", files=["a.jsonl"], documents=documents)
    assert told in str(error.value)


@pytest.mark.parametrize(
    ("task", "documents", "told"),
    [
        ("chat", {}, "ingest.documents.messages_column: no messages; chat needs conversations: messages_column, or "),
        (
            "preference",
            {"messages_column": "m"},
            "ingest.documents.rejected_column: no rejected; preference needs chosen_",
        ),
        (
            "causal-lm",
            {"messages_column": "m"},
            "causal-lm does not read the messages; remove or change this key, or use",
        ),
        ("chat", PAIR, "chat does not read the rejected; remove or change this key, or use task: preference"),
    ],
)
def test_a_task_that_does_not_read_conversations_refuses_them(run, task, documents, told):
    write_rows("a.jsonl", [{"m": turns("q", "a")}])
    with pytest.raises(RecipeError) as error:
        run(task, kind="files", files=["a.jsonl"], documents=documents)
    assert told in str(error.value)


def test_a_corpus_whose_every_conversation_is_bad_names_the_first_problem(run):
    write_rows("a.jsonl", [{"m": "hello"}])
    with pytest.raises(RecipeError, match=r"1 documents, none with text; the first: m is not JSON in a\.jsonl line 1"):
        run("chat", kind="files", files=["a.jsonl"], documents={"messages_column": "m"})
