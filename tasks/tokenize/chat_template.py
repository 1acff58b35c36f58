"""The chat template of a recipe: its text, the special tokens it needs, and whether a tokenizer fits it."""

import re
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.formats.chat_ids import (
    ANSWER,
    ASSISTANT,
    QUESTION,
    SYSTEM,
    ChatError,
    ChatTemplate,
    compile_template,
    render,
)  # fmt: skip
from tasks.formats.tokenizer import load_tokenizer
from tasks.stage.errors import RecipeError
from tasks.tokenize.codec import copy_tokenizer, learn_vocabulary, require_model
from tasks.tokenize.settings import TEMPLATES, TokenizeSettings
from tasks.tokenize.specials import Specials
from tasks.tokenize.vocabulary import Batches

if TYPE_CHECKING:
    import pyarrow as pa

FOLDER = Path(__file__).parent / "templates"
FILE = "chat_template.jinja"
"""Where transformers looks for the template of a tokenizer; it goes before one in tokenizer_config.json."""
CONTROL = re.compile(r"<\|[^\s<>|]+\|>|<[a-z]+(?:_[a-z]+)+>")
"""How templates write control tokens: `<|im_end|>`, `<end_of_turn>`."""
NAMED = "\ue000"
"""Stands for the tokenizer's own end of text, to see whether a template writes it."""


def template_text(settings: TokenizeSettings, where: str) -> str | None:
    """The recipe's chat template; None for the base's own. Raises RecipeError if its file cannot be read."""
    if settings.chat_template is None:
        return None
    own = settings.template_file
    path = Path(own) if own else FOLDER / f"{settings.chat_template}.jinja"
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise RecipeError(f"{where}: tokenize.chat_template: {path}: no such file in the project") from error
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"{where}: tokenize.chat_template: {path}: cannot be read as UTF-8 text: {error}") from error


def try_out(text: str, names: dict[str, str]) -> str:
    """A conversation of all common roles as a template renders it, to see what it writes around messages.

    Raises ValueError if it is not valid Jinja or fails for a question and its answer.
    """
    template = compile_template(text)
    asked, system = [("user", QUESTION), (ASSISTANT, ANSWER)], ("system", SYSTEM)
    for turns in ([system, *asked], asked):
        try:
            return render(template, [{"role": role, "content": content} for role, content in turns], names)
        except ChatError as error:
            said = error
    raise ValueError(f"for a question and its answer, {said}")


def chat_specials(text: str, settings: TokenizeSettings) -> Specials:
    """Special tokens of a vocabulary that is learned for a chat template.

    What looks like a control token in the rendered text becomes one. `eos_token`, which ends generation in other
    programs, is what the template puts after an answer; `end_of_text` begins a text and pads, and ends an answer where
    the template writes `eos_token` itself. Raises ValueError as `try_out`.
    """
    rendered = try_out(text, {"bos_token": settings.end_of_text, "eos_token": NAMED})
    control = [token for token in dict.fromkeys(CONTROL.findall(rendered)) if token != settings.end_of_text]
    after = CONTROL.search(rendered, rendered.rfind(ANSWER) + len(ANSWER))
    end = after[0] if after and NAMED not in rendered else settings.end_of_text
    names = {"bos_token": settings.end_of_text, "eos_token": end, "pad_token": settings.end_of_text}
    unknown = {} if settings.kind == "byte-level-bpe" else {"unk_token": "<unk>"}
    return Specials(names | unknown, None, extra=tuple(token for token in control if token != end))


def chat_tokenizer(texts: Batches, settings: TokenizeSettings, base: Path | None, folder: Path, where: str) -> int:
    """Write a tokenizer, learned from texts or the base's, with the recipe's chat template; returns its size.

    Raises RecipeError for a template that cannot be used, DataError for a damaged base.
    """
    text = template_text(settings, where)
    if base is not None:
        require_model(base)
        size = len(load_tokenizer(base))
        copy_tokenizer(base, folder)
    else:
        assert text is not None
        try:
            specials = chat_specials(text, settings)
            written = try_out(text, dict.fromkeys(specials.names, ""))
        except ValueError as error:
            raise RecipeError(f"{where}: tokenize.chat_template: {settings.chat_template}: {error}") from error
        size = learn_vocabulary(
            lambda: chain(texts(), [_column(written)]), settings, specials, folder, where
        ).get_vocab_size()
    if text is not None:
        (folder / FILE).write_text(text, encoding="utf-8")
    return size


def _column(text: str) -> "pa.LargeStringArray":
    """What the template writes, as a text to learn from: a vocabulary of pieces needs its characters."""
    import pyarrow as pa

    return pa.array([CONTROL.sub("", text)], pa.large_string())


def open_chat(folder: Path, settings: TokenizeSettings, where: str) -> ChatTemplate:
    """The template in a tokenizer's folder. Raises RecipeError if there is none, or the tokenizer does not fit it."""
    key = f"{where}: tokenize.chat_template"
    try:
        return ChatTemplate.open(folder)
    except ValueError as error:
        own = f"{settings.chat_template}: " if settings.chat_template else "the base's own cannot be used: "
        other = f"; templates that fit the base: {', '.join(found)}" if (found := _fitting(folder, settings)) else ""
        raise RecipeError(f"{key}: {own}{error}{other}") from error


def _fitting(folder: Path, settings: TokenizeSettings) -> list[str]:
    """The templates of our own with which a base's tokenizer can be used."""
    if settings.kind != "base":
        return []
    tokenizer, control, found = load_tokenizer(folder), load_tokenizer(folder, control=True), []
    for name in TEMPLATES:
        tokenizer.chat_template = (FOLDER / f"{name}.jinja").read_text(encoding="utf-8")
        try:
            ChatTemplate(tokenizer, control)
        except ValueError:
            continue
        found.append(name)
    return found
