"""Conversations as token ids: what a chat template renders, and where in it the assistant's answers are.

The ids are those of `tokenizer.apply_chat_template`, with one exception: a special token that stands in a message is
text, and only the template writes control tokens. An answer begins where the rendered history with the generation
prompt ends, and ends with the special token that the template puts after an answer, so that exactly what a model has
to say is learned.

Registered models run a copy of this file, so it imports nothing of the project but `text_ids`, which they have, too.
"""

import hashlib
import json
import re
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from tasks.formats.text_ids import open_tokenizer, special_tokens

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer

ASSISTANT = "assistant"
DAY = datetime(2024, 7, 26)
"""The day that templates write which ask for the current one, so that a conversation has the same ids every day."""
PRIVATE = range(0xE000, 0xF900)
"""Characters without a meaning (Unicode's private use area), to mark special tokens in messages."""
TEMPLATE_ERRORS = (TypeError, ValueError, ArithmeticError, LookupError, AttributeError, RecursionError)
"""What a template may raise beside Jinja's own errors: it computes on whatever the messages hold."""

QUESTION, ANSWER, SYSTEM = "lorem", "adipiscing", "dolor"
"""Contents that a template is tried with; the answer begins with a letter that most vocabularies join to a space."""

Message = Mapping[str, Any]
"""The keys `role` and `content`, and others that the template may read."""


class ChatError(ValueError):
    """The chat template cannot render a conversation."""

    number: int = 0
    """Which one of those given."""


@dataclass(frozen=True)
class Rendered:
    """A conversation as a model reads it."""

    ids: list[int]
    answers: list[tuple[int, int]]
    """The start and the end in `ids` of each answer, its end of turn included, in order."""
    turns: list[int]
    """Which message each answer is."""
    rewritten: int = 0
    """Answers without a span: the template renders them differently once later turns follow."""


@dataclass(frozen=True)
class _Text:
    """A rendered conversation before tokenization."""

    text: str
    sign: str
    """What stands around special tokens in messages; empty if there are none."""
    answers: list[tuple[int, int]] = field(default_factory=list)
    """The start and the end of each answer in `text`."""
    turns: list[int] = field(default_factory=list)
    rewritten: int = 0


class ChatTemplate:
    """The chat template of a tokenizer."""

    def __init__(self, tokenizer: Any, control: Any) -> None:
        """`tokenizer` reads special tokens in a text as text, `control` as control tokens. Raises ValueError."""
        self.tokenizer = tokenizer
        self._backend: Tokenizer | None = getattr(control, "backend_tokenizer", None)
        if self._backend is None:
            raise ValueError(f"{type(tokenizer).__name__} has no tokenizer.json, which chat requires")
        self._backend.post_processor = None  # it may move offsets, as GPT-2's does
        self._backend.no_truncation()
        self._backend.no_padding()
        self.text = _text_of(tokenizer)
        self.sha256 = hashlib.sha256(self.text.encode("utf-8", "surrogatepass")).hexdigest()
        self._names = dict(tokenizer.special_tokens_map)
        self._template = compile_template(self.text)
        self._specials = special_tokens(control.added_tokens_decoder.values())
        self._special = re.compile("|".join(map(re.escape, self._specials)) or r"(?!)")
        self._aliased = lru_cache(4)(self._with_aliases)
        self.special_pattern = self._special.pattern
        """Matches the special tokens in a text."""
        probe = self._probe()
        self._check_contents(probe)
        self.end_token = self._end_of(probe)
        self.end = int(control.convert_tokens_to_ids(self.end_token))
        eos = tokenizer.eos_token_id
        self.ends = list(dict.fromkeys([self.end, self.end if eos is None else int(eos)]))
        """The ids that end generation."""
        self._check_prompt(probe)
        self._goes_on = self._continued(probe)
        self.rewrites = self.conversation([*probe, *probe[-2:]]).rewritten > 0
        """Whether earlier answers are rendered differently once later turns follow, as Qwen3's thoughts are."""
        self.drops_system = self._drops_system()
        """Whether system turns are left out without an error."""

    @classmethod
    def open(cls, folder: Path) -> Self:
        """The chat template of a tokenizer's or a model's folder.

        Raises ValueError (one sentence, without the folder) if there is none, or one that cannot be learned from: it
        is not Jinja, renders the same for different roles, leaves contents out, or puts no special token after an
        answer.
        """
        return cls(open_tokenizer(folder, control=False), open_tokenizer(folder, control=True))

    def prompt(self, messages: Sequence[Message]) -> list[int]:
        """The ids of a history and of the beginning of an answer to it, as a conversation with the answer has them.

        They differ from `apply_chat_template` where that ends inside a token: after `Assistant: `, whose space is part
        of the next word. Raises ChatError.
        """
        signed, sign = self._signed(messages)
        history = self._render(signed, prompt=True)
        answer = (len(history), len(history))
        text, encoding = self._encoded(_Text(history + self._goes_on, sign, [answer]))
        ((start, _),) = _rendered(text, encoding).answers
        return list(encoding.ids[:start])

    def conversation(self, messages: Sequence[Message]) -> Rendered:
        """The ids of a conversation, and where its answers are. Raises ChatError."""
        return self.conversations([messages])[0]

    def conversations(self, conversations: Sequence[Sequence[Message]]) -> list[Rendered]:
        """`conversation` for each, on all cores. Raises ChatError with the number of the first that fails."""
        texts = list(self._texts(conversations))
        assert self._backend is not None
        plain = iter(self._backend.encode_batch([t.text for t in texts if not t.sign], add_special_tokens=False))
        return [_rendered(text, next(plain)) if not text.sign else _rendered(*self._encoded(text)) for text in texts]

    def _texts(self, conversations: Sequence[Sequence[Message]]) -> Iterator[_Text]:
        for number, messages in enumerate(conversations):
            try:
                yield self._text(*self._signed(messages))
            except ChatError as error:
                error.number = number
                raise

    def _text(self, messages: Sequence[Message], sign: str) -> _Text:
        whole, answers, turns, rewritten = self._render(messages), [], [], 0
        for number, turn in enumerate(messages):
            if turn["role"] != ASSISTANT:
                continue
            last = number == len(messages) - 1
            history = self._render(messages[:number], prompt=True)
            until = whole if last else self._render(messages[: number + 1])
            end = until.rfind(self.end_token) + len(self.end_token)
            if end <= len(history) or (sign and until.startswith(sign, end)):
                raise ChatError(f"the chat template puts no {self.end_token} after the answer in turn {number + 1}")
            if whole.startswith(history) and whole.startswith(until[:end]):
                answers.append((len(history), end))
                turns.append(number)
            elif last:
                raise ChatError("with its last answer, the chat template renders the history differently")
            else:
                rewritten += 1
        return _Text(whole, sign, answers, turns, rewritten)

    def _render(self, messages: Sequence[Message], prompt: bool = False) -> str:
        return render(self._template, messages, self._names, prompt)

    def _signed(self, messages: Sequence[Message]) -> tuple[Sequence[Message], str]:
        """The messages with a sign around each special token in them, and this sign; as they are if they have none."""
        joined = "\0".join(value for turn in messages for value in turn.values() if isinstance(value, str))
        if not self._special.search(joined):
            return messages, ""
        sign = next((chr(code) for code in PRIVATE if chr(code) not in joined and chr(code) not in self.text), None)
        if sign is None:
            raise ChatError("the conversation has every character of Unicode's private use area")

        def mark(value: Any) -> Any:
            return self._special.sub(rf"{sign}\g<0>{sign}", value) if isinstance(value, str) else value

        return [{key: mark(value) for key, value in turn.items()} for turn in messages], sign

    def _encoded(self, text: _Text) -> "tuple[_Text, Encoding]":
        """The text as it is tokenized, without signs, and its tokens."""
        assert self._backend is not None
        backend, text = (self._aliased(text.sign)[0], self._unsigned(text)) if text.sign else (self._backend, text)
        return text, backend.encode(text.text, add_special_tokens=False)

    def _ids(self, text: str) -> list[int]:
        return list(self._encoded(_Text(text, ""))[1].ids)

    def _unsigned(self, text: _Text) -> _Text:
        """The text with aliases for the template's special tokens, and bare ones where a message has them."""
        alias, sign = self._aliased(text.sign)[1], text.sign
        pattern = re.compile(f"{sign}({self._special.pattern}){sign}|({self._special.pattern})|{sign}")
        borders = [0, *(place for answer in text.answers for place in answer), len(text.text)]
        parts = [
            pattern.sub(lambda found: found[1] or alias.get(found[2], ""), text.text[start:end])
            for start, end in pairwise(borders)
        ]
        ends = [sum(map(len, parts[: number + 1])) for number in range(len(parts))]
        answers = list(zip(ends[:-1:2], ends[1::2], strict=True))
        return _Text("".join(parts), sign, answers, text.turns, text.rewritten)

    def _with_aliases(self, sign: str) -> "tuple[Tokenizer, dict[str, str]]":
        """The tokenizer with other names for its special tokens, which no message has, so that these are all text."""
        from tokenizers import Tokenizer

        assert self._backend is not None
        alias = {token: f"{sign}{number}{sign}" for number, token in enumerate(self._specials)}
        known = json.loads(self._backend.to_str())
        for token in known["added_tokens"]:
            token["content"] = alias.get(token["content"], token["content"])
        model = known["model"]
        if isinstance(model["vocab"], dict):
            model["vocab"] = {alias.get(piece, piece): number for piece, number in model["vocab"].items()}
        else:
            model["vocab"] = [[alias.get(piece, piece), score] for piece, score in model["vocab"]]
        if model.get("unk_token"):
            model["unk_token"] = alias.get(model["unk_token"], model["unk_token"])
        renamed = Tokenizer.from_str(json.dumps(known))
        for token, name in alias.items():
            assert renamed.token_to_id(name) == self._backend.token_to_id(token), token
        return renamed, alias

    def _probe(self) -> list[Message]:
        """A question and its answer, after a system turn if the template requires one."""
        turns: list[Message] = [_turn("user", QUESTION), _turn(ASSISTANT, ANSWER)]
        try:
            self._render(turns)
        except ChatError as error:
            turns = [_turn("system", SYSTEM), *turns]
            try:
                self._render(turns)
            except ChatError:
                raise ValueError(f"for a question and its answer, {error}") from error
        return turns

    def _check_contents(self, probe: Sequence[Message]) -> None:
        """Raises ValueError if the template leaves out contents or roles."""
        whole = self._render(probe)
        for role, content in (("user", QUESTION), (ASSISTANT, ANSWER)):
            if content not in whole:
                raise ValueError(f"the chat template leaves out what the {role} says; it has to write message.content")
        other = {"user": ASSISTANT, ASSISTANT: "user"}
        try:
            same = self._render([{**turn, "role": other.get(turn["role"], turn["role"])} for turn in probe]) == whole
        except ChatError:
            same = False
        if same:
            raise ValueError("the chat template renders the same for user and assistant; it has to write message.role")

    def _end_of(self, probe: Sequence[Message]) -> str:
        whole = self._render(probe)
        after = whole[whole.rfind(ANSWER) + len(ANSWER) :]
        found = self._special.search(after)
        if found is None:
            raise ValueError(
                f"the chat template puts no special token of the tokenizer after an answer, but {after!r}; a model "
                "would never end its answers"
            )
        return found[0]

    def _check_prompt(self, probe: Sequence[Message]) -> None:
        """Raises ValueError if the beginning of an answer differs between a prompt and a conversation."""
        whole, asked = self._render(probe), self._render(probe[:-1])
        history = self._render(probe[:-1], prompt=True)
        if not whole.startswith(history):
            raise ValueError(
                f"with add_generation_prompt, the chat template renders {history[-40:]!r}, but a conversation with "
                f"the answer goes on as {whole[len(asked) :][:40]!r}; both have to begin alike"
            )
        lead = whole[len(history) : whole.rfind(ANSWER)]
        if history == asked and lead.strip():
            raise ValueError(
                f"the chat template ignores add_generation_prompt, yet writes {lead!r} before an answer; add "
                "{% if add_generation_prompt %} with it"
            )

    def _continued(self, probe: Sequence[Message]) -> str:
        """What to tokenize a prompt with so that it has the ids that it has in a conversation; empty if any will do."""
        whole, history = self._render(probe), self._render(probe[:-1], prompt=True)
        begin = self._ids(history)
        fits = self._ids(whole)[: len(begin)] == begin
        return "" if fits else whole[len(history) : whole.rfind(ANSWER) + len(ANSWER)]

    def _drops_system(self) -> bool:
        turns = [_turn("system", SYSTEM), _turn("user", QUESTION), _turn(ASSISTANT, ANSWER)]
        try:
            return SYSTEM not in self._render(turns)
        except ChatError:
            return False


def compile_template(text: str) -> Any:
    """A chat template, ready to render. Raises ValueError if it is not valid Jinja."""
    from jinja2 import TemplateSyntaxError
    from transformers.utils.chat_template_utils import _compile_jinja_template

    try:
        return _compile_jinja_template(text)
    except TemplateSyntaxError as error:
        raise ValueError(f"the chat template is not valid Jinja: line {error.lineno}: {error.message}") from error


def render(template: Any, messages: Sequence[Message], names: Mapping[str, str], prompt: bool = False) -> str:
    """The text of messages. `names`: special tokens, such as `eos_token`; `prompt`: with the beginning of an answer.

    Raises ChatError with what the template says.
    """
    from jinja2 import TemplateError

    given = [{key: value for key, value in turn.items() if value is not None} for turn in messages]
    more: dict[str, Any] = {"strftime_now": DAY.strftime, "tools": None, "documents": None}
    try:
        return str(template.render(messages=given, add_generation_prompt=prompt, **{**names, **more}))
    except (TemplateError, *TEMPLATE_ERRORS) as error:
        said = " ".join(str(error).split()) or type(error).__name__
        raise ChatError(f"the chat template says: {said}") from error


def _turn(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


def _text_of(tokenizer: Any) -> str:
    try:
        return str(tokenizer.get_chat_template())
    except ValueError as error:
        raise ValueError("the tokenizer has no chat template") from error


def _rendered(text: _Text, encoding: "Encoding") -> Rendered:
    starts, ends = [start for start, _ in encoding.offsets], [end for _, end in encoding.offsets]
    answers = [(_first(starts, ends, start), bisect_left(starts, end)) for start, end in text.answers]
    return Rendered(list(encoding.ids), answers, text.turns, text.rewritten)


def _first(starts: Sequence[int], ends: Sequence[int], place: int) -> int:
    """The first token of an answer that begins at a character. A token on both sides of it belongs to the answer, as
    it does in the masks of transformers."""
    first = bisect_left(starts, place)
    return first - 1 if first and ends[first - 1] > place else first
