"""The values of a row to a conversation: turns in one form, or a prompt with a chosen and a rejected answer.

    {"messages": [{"role": "user", "content": "Hi"}, …]}            messages_column, OpenAI's form
    {"conversations": [{"from": "human", "value": "Hi"}, …]}        messages_column, ShareGPT's form
    {"prompt": "Hi", "completion": "Hello"}                         prompt_column, completion_column
    {"instruction": "Add", "input": "1 2", "output": "3"}           instruction_column, input_column, output_column
    {"prompt": "Hi", "chosen": "Hello", "rejected": "What?"}        prompt_column, chosen_column, rejected_column
    {"chosen": [{"role": …}, …], "rejected": [{"role": …}, …]}      chosen_column, rejected_column

A list of turns may also be JSON in a text, as in a cell of a CSV file. What cannot be used is a problem of the
document, one sentence with the place.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tasks.formats.conversation import ASSISTANT, Message
from tasks.ingest.conversation_keys import ConversationKeys, fill_template, template_columns
from tasks.ingest.decoding import text_of
from tasks.ingest.json_records import DECODER, json_problem

ROLE_NAMES = {
    **dict.fromkeys(("system", "developer"), "system"),
    **dict.fromkeys(("user", "human", "prompter"), "user"),
    **dict.fromkeys(("assistant", "gpt", "chatgpt", "bot", "model", "function_call"), ASSISTANT),
    **dict.fromkeys(("tool", "function", "observation", "tool_response", "ipython"), "tool"),
}
"""Roles by their names in data sets: OpenAI's, ShareGPT's, OpenAssistant's, Llama's."""
ROLE_KEYS, CONTENT_KEYS = ("role", "from"), ("content", "value")
CALLS = ("tool_calls", "function_call")
"""Keys of a turn that calls a tool in OpenAI's format, which no column of a corpus holds."""
INPUT = "\n\n"
"""Between Alpaca's instruction and its input."""
FORMS = (
    (("chosen", "rejected", "prompt"), "chosen_column: chosen, rejected_column: rejected, prompt_column: prompt",
     "preference"),
    (("chosen", "rejected"), "chosen_column: chosen, rejected_column: rejected", "preference"),
    (("messages",), "messages_column: messages", "chat"),
    (("conversations",), "messages_column: conversations", "chat"),
    (("prompt", "completion"), "prompt_column: prompt, completion_column: completion", "chat"),
    (("instruction", "input", "output"),
     "instruction_column: instruction, input_column: input, output_column: output", "chat"),
    (("instruction", "output"), "instruction_column: instruction, output_column: output", "chat"),
)  # fmt: skip
"""Columns by which a file of conversations is known, what to write under `documents`, and the task."""


def conversation_keys(columns: Iterable[str]) -> str:
    """What to write for a table that seems to hold conversations: `; for conversations, …`, or nothing."""
    there = set(columns)
    for names, keys, task in FORMS:
        if there.issuperset(names):
            return f"; for conversations, write documents: {{{keys}}} and task: {task}"
    return ""


@dataclass(frozen=True)
class Conversation:
    """The turns of a conversation; a preference ends with the chosen answer."""

    messages: list[Message]
    rejected: str | None = None
    cut: int = 0
    """Turns after the last answer, which are left out."""


class _UnusableError(Exception):
    """A conversation that cannot be read; the sentence is its problem."""


def read_conversation(
    values: Mapping[str, Any], keys: ConversationKeys, place: str, problems: list[str]
) -> Conversation:
    """The conversation in a row; adds to `problems` what cannot be used, and then returns what can be shown.

    `values`: by column name. `place`: for messages: `chat.jsonl line 3`.
    """
    row = _Row(values, keys, place, problems)
    try:
        found = row.preference() if keys.answering == "chosen_column" else row.chat()
    except _UnusableError as error:
        problems.append(str(error))
        return Conversation([])
    return _checked(found, keys, place, problems)


def _checked(found: Conversation, keys: ConversationKeys, place: str, problems: list[str]) -> Conversation:
    turns = found.messages
    first = next((turn["role"] for turn in turns if turn["role"] != "system"), None)
    answers = [number for number, turn in enumerate(turns) if turn["role"] == ASSISTANT]
    empty = [number for number, turn in enumerate(turns, 1) if not turn["content"].strip()]
    if not turns:
        problems.append(f"no turns in {place}: the conversation is empty")
    elif empty:
        problems.append(f"turn {empty[0]} ({turns[empty[0] - 1]['role']}) is empty in {place}")
    elif not answers:
        problems.append(f"no answer in {place}: no turn of the assistant")
    elif first != "user":
        problems.append(f"the conversation begins with the {first} in {place}; the user comes first")
    elif found.rejected is not None and not found.rejected.strip():
        problems.append(f"the rejected answer is empty in {place}: nothing in the column {keys.rejected_column!r}")
    elif found.rejected == turns[-1]["content"]:
        problems.append(f"the chosen and the rejected answer are the same in {place}")
    last = answers[-1] + 1 if answers else len(turns)
    return Conversation(turns[:last], found.rejected, len(turns) - last)


@dataclass(frozen=True)
class _Row:
    values: Mapping[str, Any]
    keys: ConversationKeys
    place: str
    problems: list[str]

    def chat(self) -> Conversation:
        """All turns, or a prompt with its answer."""
        keys = self.keys
        if keys.messages_column is not None:
            said = self._said(keys.messages_column)
            if isinstance(said, str):
                raise _UnusableError(f"{keys.messages_column} is text, not a list of turns, in {self.place}")
            return Conversation(self._with_system(said))
        column = keys.completion_column or keys.output_column
        assert column is not None
        return Conversation(self._with_system([*self._prompt(), *_as_answer(self._said(column))]))

    def preference(self) -> Conversation:
        """A prompt with its chosen answer, and the rejected one."""
        keys = self.keys
        assert keys.chosen_column is not None and keys.rejected_column is not None
        chosen, rejected = (_as_answer(self._said(column)) for column in (keys.chosen_column, keys.rejected_column))
        if keys.asking is not None:
            prompt = self._prompt()
            chosen, rejected = (_behind(prompt, turns) for turns in (chosen, rejected))
        else:
            same = (one == other for one, other in zip(chosen, rejected, strict=False))
            count = next((number for number, equal in enumerate(same) if not equal), None)
            if count is None:  # one is the beginning of the other, or they are the same
                count = max(0, min(len(chosen), len(rejected)) - 1)
            prompt, chosen, rejected = chosen[:count], chosen[count:], rejected[count:]
            if not prompt:
                told = f"no prompt in {self.place}: {keys.chosen_column} and {keys.rejected_column} have no beginning"
                raise _UnusableError(f"{told} in common; name the prompt with documents.prompt_column")
        for column, turns in ((keys.chosen_column, chosen), (keys.rejected_column, rejected)):
            if [turn["role"] for turn in turns] != [ASSISTANT]:
                raise _UnusableError(
                    f"{column} is not the prompt with one answer of the assistant in {self.place}: after the prompt "
                    f"come the turns {', '.join(turn['role'] for turn in turns) or '(none)'}"
                )
        return Conversation(self._with_system([*prompt, *chosen]), rejected[0]["content"])

    def _prompt(self) -> list[Message]:
        """The turns up to the answer, without the system prompt of another column."""
        keys, history = self.keys, []
        if keys.history_column is not None:
            history = self._history(keys.history_column)
        if keys.prompt_template is not None:
            columns = {column: self._text(column) for column in template_columns(keys.prompt_template)}
            return [*history, {"role": "user", "content": fill_template(keys.prompt_template, columns)}]
        if keys.instruction_column is not None:
            text = self._text(keys.instruction_column)
            more = "" if keys.input_column is None else self._optional(keys.input_column)
            return [*history, {"role": "user", "content": f"{text}{INPUT}{more}" if more.strip() else text}]
        assert keys.prompt_column is not None
        said = self._said(keys.prompt_column)
        return [*history, *([{"role": "user", "content": said}] if isinstance(said, str) else said)]

    def _history(self, column: str) -> list[Message]:
        value = _decoded(self.values.get(column), must=True)
        if value is not None and not isinstance(value, list):
            raise _UnusableError(f"{column} is not a list of pairs in {self.place}")
        turns: list[Message] = []
        for number, pair in enumerate(value or (), 1):
            if not isinstance(pair, Sequence) or isinstance(pair, str | bytes) or len(pair) != 2:
                raise _UnusableError(f"{column} is not a list of pairs in {self.place}: see number {number}")
            for role, text in zip(("user", ASSISTANT), pair, strict=True):
                told = text_of(text, f"pair {number} of {column}", self.place, self.problems) or ""
                turns.append({"role": role, "content": told})
        return turns

    def _with_system(self, turns: list[Message]) -> list[Message]:
        """The turns with the system prompt of the row or the recipe, unless they have one; without empty ones."""
        turns = [turn for turn in turns if turn["role"] != "system" or turn["content"].strip()]
        if not turns or turns[0]["role"] == "system":
            return turns
        own = "" if self.keys.system_column is None else self._optional(self.keys.system_column)
        system = own if own.strip() else self.keys.system
        return turns if system is None else [{"role": "system", "content": system}, *turns]

    def _text(self, column: str) -> str:
        text = text_of(self.values.get(column), column, self.place, self.problems)
        if text is None or not text.strip():
            raise _UnusableError(f"no {column} in {self.place}")
        return text

    def _optional(self, column: str) -> str:
        return text_of(self.values.get(column), column, self.place, self.problems) or ""

    def _said(self, column: str) -> str | list[Message]:
        """A column as a text, or as turns if it holds a list of them, also as JSON."""
        value = _decoded(self.values.get(column), column == self.keys.messages_column)
        if isinstance(value, _UnusableError):
            raise _UnusableError(f"{column} is not JSON in {self.place}: {value}")
        if value is None:
            raise _UnusableError(f"no {column} in {self.place}")
        if isinstance(value, Mapping) and value and all(isinstance(each, list) for each in value.values()):
            value = [dict(zip(value, each, strict=False)) for each in zip(*value.values(), strict=False)]
        if isinstance(value, list):
            return [self._turn(turn, number, column) for number, turn in enumerate(value, 1)]
        return text_of(value, column, self.place, self.problems) or ""

    def _turn(self, turn: Any, number: int, column: str) -> Message:
        where = f"turn {number} of {column} in {self.place}"
        if not isinstance(turn, Mapping):
            raise _UnusableError(f"{where} is no object with role and content, but {type(turn).__name__}")
        name, content = (next((turn[key] for key in keys if turn.get(key) is not None), None) for keys in
                         (ROLE_KEYS, CONTENT_KEYS))  # fmt: skip
        if name is None:
            raise _UnusableError(f"{where} has no role (its keys: {', '.join(map(str, turn)) or 'none'})")
        said = text_of(name, "role", where, self.problems) or ""
        role = ROLE_NAMES.get(said.strip().lower())
        if role is None:
            raise _UnusableError(f"{where} has the unknown role {said!r} (known: {', '.join(ROLE_NAMES)})")
        if calls := [key for key in CALLS if turn.get(key)]:
            raise _UnusableError(f"{where} has {calls[0]}, which is not read; write the call into its content")
        if turn.get("weight") == 0:
            raise _UnusableError(f"{where} has weight 0, which is not supported; leave the conversation out")
        if isinstance(content, list):
            content = "".join(self._part(part, where) for part in content)
        return {"role": role, "content": text_of(content, "content", where, self.problems) or ""}

    def _part(self, part: Any, where: str) -> str:
        """A part of a content that is a list, as OpenAI writes it: `{"type": "text", "text": "…"}`."""
        text = part.get("text") if isinstance(part, Mapping) else part
        if text is None or not isinstance(text, str | bytes):
            kind = part.get("type") if isinstance(part, Mapping) else type(part).__name__
            raise _UnusableError(f"{where} holds {kind}, not text")
        return text_of(text, "content", where, self.problems) or ""


def _as_answer(said: str | list[Message]) -> list[Message]:
    return [{"role": ASSISTANT, "content": said}] if isinstance(said, str) else said


def _behind(prompt: list[Message], turns: list[Message]) -> list[Message]:
    """What follows a prompt in a conversation that may begin with it."""
    return turns[len(prompt) :] if turns[: len(prompt)] == prompt else turns


def _decoded(value: Any, must: bool = False) -> Any:
    """A list in JSON as a list; other values as they are. With `must`, returns an error for a text that is not JSON."""
    if isinstance(value, bytes):
        text = value.decode("utf-8", "surrogateescape")
    elif isinstance(value, str):
        text = value
    else:
        return value
    if not must and not text.lstrip().startswith("["):
        return value
    if not text.strip():
        return None if must else value
    try:
        found = DECODER.decode(text.strip())
    except (ValueError, RecursionError) as error:
        return _UnusableError(json_problem(error)) if must else value
    return found if must or _is_list_of_turns(found) else value


def _is_list_of_turns(found: Any) -> bool:
    """Whether JSON is certainly meant as turns, not as a text that happens to be JSON."""
    turns = found if isinstance(found, list) else []
    return bool(turns) and all(isinstance(each, dict) and any(key in each for key in ROLE_KEYS) for each in turns)
