"""The keys of `documents` that say how a row of a table is a conversation."""

from string import Formatter
from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field, model_validator

from tasks.stage.settings import Name, Section

ASKING = ("prompt_column", "prompt_template", "instruction_column")
"""Keys for what is asked."""
ANSWERING = ("messages_column", "completion_column", "output_column", "chosen_column", "rejected_column")
"""Keys for the answers: a document has one of these ways, or it is no conversation."""
BESIDE = ("input_column", "history_column", "system_column", "system")
"""Keys that only go with these."""


def template_columns(template: str) -> list[str]:
    """The columns in the braces of a template, in order. Raises ValueError for braces that are not columns."""
    found = []
    for _, column, form, conversion in Formatter().parse(template):
        if column is None:
            continue
        if not column.strip() or form or conversion:
            raise ValueError("braces hold the name of a column, as in 'Define: {word}'; {{ and }} are braces")
        found.append(column)
    return found


def fill_template(template: str, values: dict[str, str]) -> str:
    """The template with the values of its columns."""
    parts = Formatter().parse(template)
    return "".join(text + ("" if column is None else values[column]) for text, column, *_ in parts)


def _names_a_column(template: str) -> str:
    if not template_columns(template):
        raise ValueError("names no column; write one in braces, as in 'Define: {word}'")
    return template


Template = Annotated[str, Field(min_length=1), AfterValidator(_names_a_column)]


class ConversationKeys(Section):
    """How a row of a table becomes a conversation, or a prompt with two answers."""

    messages_column: Name | None = None
    """Conversations: the column with all turns, a list of objects with `role` and `content` (OpenAI) or `from` and
    `value` (ShareGPT), or its JSON as text."""
    prompt_column: Name | None = None
    """Conversations: the column with what is asked, a text or a list of turns."""
    prompt_template: Template | None = None
    """Conversations: what is asked, a text with columns in braces: `"Define: {word}"`."""
    instruction_column: Name | None = None
    """Conversations: Alpaca's `instruction`, what is asked."""
    input_column: Name | None = None
    """Conversations: Alpaca's `input`, which follows the instruction after a blank line unless it is empty."""
    history_column: Name | None = None
    """Conversations: earlier questions and answers, a list of pairs."""
    completion_column: Name | None = None
    """Conversations: the column with the answer, a text or a list of turns."""
    output_column: Name | None = None
    """Conversations: Alpaca's `output`, the answer."""
    chosen_column: Name | None = None
    """Preferences: the column with the better answer: a text or turns behind a prompt, or a whole conversation, which
    has its prompt in common with the other one."""
    rejected_column: Name | None = None
    """Preferences: the column with the worse answer, in the same form."""
    system_column: Name | None = None
    """Conversations: the column with the system prompt; empty ones are left out."""
    system: Name | None = None
    """Conversations: the system prompt of those that have none."""

    @property
    def answering(self) -> str | None:
        """The key for the answers that is set (`chosen_column` for preferences); None for other documents."""
        return next((key for key in ANSWERING if getattr(self, key) is not None), None)

    @property
    def asking(self) -> str | None:
        """The key for what is asked that is set, or None."""
        return next((key for key in ASKING if getattr(self, key) is not None), None)

    def conversation_columns(self) -> list[str]:
        """The columns of the table that a conversation is made of."""
        keys = (*ANSWERING, "prompt_column", "instruction_column", "input_column", "history_column", "system_column")
        named: list[str | None] = [getattr(self, key) for key in keys]
        return [column for column in named if column is not None] + template_columns(self.prompt_template or "")

    @model_validator(mode="after")
    def _one_way_to_a_conversation(self) -> Self:
        answering = [key for key in ANSWERING[:-1] if getattr(self, key) is not None]
        asking = [key for key in ASKING if getattr(self, key) is not None]
        for keys in (answering, asking, [*answering[:1], *asking] if self.messages_column is not None else []):
            if len(keys) > 1:
                raise ValueError(f"{keys[0]} and {keys[1]} are mutually exclusive")
        if (self.chosen_column is None) != (self.rejected_column is None):
            given, other = ("chosen", "rejected") if self.rejected_column is None else ("rejected", "chosen")
            raise ValueError(f"{given}_column needs {other}_column")
        if answering and not asking and answering[0] in ("completion_column", "output_column"):
            raise ValueError(f"{answering[0]} needs prompt_column, prompt_template or instruction_column")
        if asking and not answering:
            raise ValueError(f"{asking[0]} needs completion_column, or chosen_column and rejected_column")
        if self.input_column is not None and self.instruction_column is None:
            raise ValueError("input_column needs instruction_column")
        if self.history_column is not None and not asking:
            raise ValueError("history_column needs prompt_column, prompt_template or instruction_column")
        others: dict[str, Any] = {key: getattr(self, key) for key in BESIDE}
        if not answering and (lost := [key for key, value in others.items() if value is not None]):
            raise ValueError(f"{lost[0]} is only for conversations; name their columns, such as messages_column")
        return self
