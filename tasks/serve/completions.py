"""OpenAI's chat completions: what a request may ask for, and how answers are written.

https://platform.openai.com/docs/api-reference/chat; a request for what the model cannot do is refused in a sentence.
"""

import math
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tasks.serve.server import invalid
from tasks.serve.shared import require_text

ROLES = {**{role: role for role in ("system", "user", "assistant", "tool")}, "developer": "system"}
"""Roles of OpenAI → those of chat templates."""
ASKING = ("user", "tool")
"""Roles that the assistant answers."""
LENGTHS = ("max_completion_tokens", "max_tokens")
"""OpenAI's names for `max_new_tokens`."""
MOST_ANSWERS = 128
MOST_STOPS = 16
REFUSED: dict[str, tuple[tuple[Any, ...], str]] = {
    "tools": (([],), "this model calls no tools"),
    "functions": (([],), "this model calls no functions"),
    "response_format": (({"type": "text"},), 'this model writes plain text: leave it out, or {"type": "text"}'),
    "frequency_penalty": ((0,), "not supported; use repetition_penalty"),
    "presence_penalty": ((0,), "not supported; use repetition_penalty"),
    "logit_bias": (({},), "not supported"),
    "logprobs": ((False,), "not supported"),
    "top_logprobs": ((0,), "not supported"),
    "modalities": ((["text"],), 'this model writes text: leave it out, or ["text"]'),
    "audio": ((), "this model writes text"),
}
"""Parameters of OpenAI that would change the answer → values that change nothing, and what to say to others."""

Turn = dict[str, str]
"""The keys `role` and `content`."""


@dataclass(frozen=True)
class Asked:
    """A request, read."""

    messages: list[Turn]
    params: dict[str, Any]
    """How the answer is generated, complete."""
    stop: tuple[str, ...] = ()
    """Texts that end the answer; they are not part of it."""
    answers: int = 1
    stream: bool = False
    usage: bool = False
    """Whether a stream ends with the count of tokens."""

    @property
    def characters(self) -> int:
        """The length of all messages."""
        return sum(len(message["content"]) for message in self.messages)


@dataclass(frozen=True)
class Written:
    """An answer."""

    text: str
    tokens: int
    """New tokens, the one that ends the answer included."""
    finish: str
    """`stop` if the answer ended by itself or at a text of `stop`, `length` at `max_new_tokens`."""


def read_request(request: Mapping[str, Any], defaults: Mapping[str, Any]) -> Asked:
    """Read a request. Raises MlflowException with a sentence about what is wrong.

    `defaults`: the parameters of generation; those of the request, under OpenAI's names or these, replace them.
    """
    given = {name: value for name, value in request.items() if not _is_missing(value)}
    for name, (neutral, sentence) in REFUSED.items():
        if name in given and given[name] not in neutral:
            raise invalid(f"{name}: {sentence}")
    for name in LENGTHS:
        if name in given:
            given["max_new_tokens"] = _number(name, given.pop(name), int)
            if given["max_new_tokens"] < 1:
                raise invalid(f"{name}: must be at least 1, not {given['max_new_tokens']}")
    params = {name: _number(name, given[name], type(at)) if name in given else at for name, at in defaults.items()}
    answers = _number("n", given.get("n", 1), int)
    if not 1 <= answers <= MOST_ANSWERS:
        raise invalid(f"n: must be from 1 to {MOST_ANSWERS}, not {answers}")
    options = given.get("stream_options", {})
    if not isinstance(options, dict):
        raise invalid(f"stream_options: must be an object, not {options!r:.60}")
    return Asked(
        read_messages(request.get("messages")), params, _stops(given.get("stop", ())), answers,
        _number("stream", given.get("stream", False), bool), bool(options.get("include_usage")),
    )  # fmt: skip


def read_messages(messages: Any) -> list[Turn]:
    """Messages with `role` and `content` alone, the last one to be answered. Raises MlflowException."""
    if not isinstance(messages, list) or not messages:
        told = "missing" if messages is None else "empty" if messages == [] else f"not a list, but {messages!r:.60}"
        raise invalid(f"messages: {told}; expected a list of at least one message with role and content")
    found = [_message(f"message {place}", message) for place, message in enumerate(messages, 1)]
    if (last := found[-1]["role"]) not in ASKING:
        raise invalid(f"message {len(found)}: the last message is from {last}, so there is nothing to answer; "
                      "it must be from user or tool")  # fmt: skip
    return found


def question(text: str) -> list[Turn]:
    """A conversation of one question."""
    return [{"role": "user", "content": text}]


def completion(name: str, prompt_tokens: int, written: Sequence[Written]) -> dict[str, Any]:
    """`chat.completion` with all answers to a request."""
    choices = [
        {"index": number, "message": {"role": "assistant", "content": each.text}, "finish_reason": each.finish}
        for number, each in enumerate(written)
    ]
    return {**_head("chat.completion", name), "choices": choices, "usage": _usage(prompt_tokens, written)}


class Chunks:
    """The `chat.completion.chunk`s of one stream."""

    def __init__(self, name: str) -> None:
        self._head = _head("chat.completion.chunk", name)

    def begin(self, number: int) -> dict[str, Any]:
        """The first chunk of an answer."""
        return self._chunk(number, {"role": "assistant", "content": ""})

    def text(self, number: int, text: str) -> dict[str, Any]:
        """A piece of an answer."""
        return self._chunk(number, {"content": text})

    def end(self, number: int, written: Written) -> dict[str, Any]:
        """The last chunk of an answer."""
        return self._chunk(number, {}, written.finish)

    def usage(self, prompt_tokens: int, written: Sequence[Written]) -> dict[str, Any]:
        """What follows the last answer if the request wants it."""
        return {**self._head, "choices": [], "usage": _usage(prompt_tokens, written)}

    def _chunk(self, number: int, delta: dict[str, str], finish: str | None = None) -> dict[str, Any]:
        return {**self._head, "choices": [{"index": number, "delta": delta, "finish_reason": finish}]}


def _message(name: str, message: Any) -> Turn:
    if not isinstance(message, Mapping):
        raise invalid(f"{name} is {message!r:.60}, expected an object with role and content")
    role = message.get("role")
    if not isinstance(role, str) or role not in ROLES:
        known = ", ".join(ROLES)
        raise invalid(f"{name}: role: {'missing' if role is None else f'{role!r:.60}'}; must be one of {known}")
    if any(not _is_missing(message.get(key)) and message[key] != [] for key in ("tool_calls", "function_call")):
        raise invalid(f"{name}: tool_calls: this model calls no tools")
    content = message.get("content")
    if isinstance(content, list):
        content = "".join(_part(f"{name}: content part {place}", part) for place, part in enumerate(content, 1))
    require_text(f"{name}: content", content)
    return {"role": ROLES[role], "content": str(content)}


def _part(name: str, part: Any) -> Any:
    kind = part.get("type") if isinstance(part, Mapping) else None
    if kind != "text":
        raise invalid(f"{name} is {f'of type {kind!r:.60}' if kind else f'{part!r:.60}'}; this model reads text only")
    require_text(name, part.get("text"))
    return part["text"]


def _stops(given: Any) -> tuple[str, ...]:
    stops = (given,) if isinstance(given, str) else given
    if not isinstance(stops, (list, tuple)) or len(stops) > MOST_STOPS:
        raise invalid(f"stop: must be a text or a list of at most {MOST_STOPS} texts, not {given!r:.60}")
    for stop in stops:
        require_text("stop", stop)
        if not stop:
            raise invalid("stop: an empty text would end every answer at once")
    return tuple(stops)


def _number(name: str, value: Any, kind: type) -> Any:
    """A value of this type, which whole numbers of JSON may be written as others. Raises MlflowException."""
    if kind is bool and isinstance(value, bool):
        return value
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if kind is float and number:
        return value
    if kind is int and number and (isinstance(value, int) or (math.isfinite(value) and value == int(value))):
        return int(value)
    wanted = {bool: "true or false", int: "an integer", float: "a number"}[kind]
    raise invalid(f"{name}: must be {wanted}, not {value!r:.60}")


def _is_missing(value: Any) -> bool:
    """Whether a value stands for its default: null, or what a table has in its place."""
    return value is None or (isinstance(value, float) and math.isnan(value))


def _head(kind: str, name: str) -> dict[str, Any]:
    return {"id": f"chatcmpl-{uuid.uuid4().hex}", "object": kind, "created": int(time.time()), "model": name}


def _usage(prompt_tokens: int, written: Sequence[Written]) -> dict[str, int]:
    new = sum(each.tokens for each in written)
    return {"prompt_tokens": prompt_tokens, "completion_tokens": new, "total_tokens": prompt_tokens + new}
