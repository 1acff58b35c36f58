"""`gristmill chat`: a conversation with the champion of a recipe on the terminal.

The answer appears while it is written. Without a terminal, each line of standard input is a question, and each answer
is printed as one line.
"""

import signal
import sys
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any

import click

from flows.cli.predict import Text, line, read_texts
from tasks.stage.errors import DataError, GristmillError
from tasks.stage.settings import recipe_path
from tasks.stage.task import CHATS, read_task

if TYPE_CHECKING:
    from tasks.register.predict import Champion

HELP = """\
/reset          start anew; the system prompt stays
/system TEXT    set the system prompt and start anew; without TEXT remove it
/undo           take back the last question and its answer
/help           this list
/exit           end (also Ctrl-D)
A line that ends in \\ goes on in the next line; // at the beginning stands for /. Ctrl-C stops an answer."""
FIRST = {"role": "user", "content": "Hello!"}
"""A question, to try the settings with before the first one comes."""
ASK, MORE = "> ", "… "


def chat(recipe: str, system: str | None, given: Mapping[str, Any], variant: str | None = None) -> None:
    """Talk with the champion, or a variant of it, until the input ends.

    `given`: parameters of the model; None means its default. Raises GristmillError for a recipe of another task, for a
    parameter that the model rejects and, without a terminal, for a question that it cannot answer.
    """
    from tasks.register.predict import Champion

    if (task := read_task(recipe)) not in CHATS:
        raise GristmillError(
            f"{recipe_path(recipe)}: task: {task} models do not chat; use `gristmill predict {recipe}`"
        )
    champion = Champion(recipe, variant)
    if not champion.chats:
        raise GristmillError(
            f"{champion.named} is not of Gristmill's, so it cannot chat; try gristmill predict {recipe}"
        )
    talk = Talk(champion, system, {name: value for name, value in given.items() if value is not None})
    for problem in champion.check([{"messages": [*talk.messages, FIRST]}], talk.parameters).values():
        raise GristmillError(problem)
    on_terminal(talk) if sys.stdin is not None and sys.stdin.isatty() and sys.stdout.isatty() else on_lines(talk)


class Talk:
    """A conversation and what the commands do to it."""

    def __init__(self, champion: "Champion", system: str | None, parameters: Mapping[str, Any]) -> None:
        self.champion, self.parameters = champion, parameters
        self.turns: list[dict[str, str]] = []
        self._system = system

    @property
    def messages(self) -> list[dict[str, str]]:
        """The conversation with its system prompt."""
        return [*([{"role": "system", "content": self._system}] if self._system else []), *self.turns]

    def answer(self, question: str) -> Generator[str]:
        """The answer to a question, piece by piece. What was said when it is closed stays; a question without any
        answer does not. Raises GristmillError."""
        self.turns.append({"role": "user", "content": question})
        said: list[str] = []
        try:
            with closing(self.champion.talk(self.messages, self.parameters)) as pieces:
                for piece in pieces:
                    said.append(piece)
                    yield piece
        except BaseException:
            if not said:
                self.turns.pop()
            raise
        finally:
            if said:
                self.turns.append({"role": "assistant", "content": "".join(said)})

    def command(self, text: str) -> str:
        """Obey a command; returns what to tell."""
        name, _, rest = text.partition(" ")
        match name:
            case "/reset":
                self.turns = []
                return "a new conversation"
            case "/system":
                self.turns, self._system = [], rest.strip() or None
                return "a new conversation, with this system prompt" if self._system else "a new conversation, without"
            case "/undo":
                if not self.turns:
                    return "nothing to take back"
                while self.turns and self.turns.pop()["role"] != "user":
                    pass
                return (
                    "taken back" if not self.turns else f"taken back; the last answer is: {self.turns[-1]['content']}"
                )
            case "/help":
                return HELP
        return f"no command {name}; /help lists them, and // at the beginning stands for /"


def on_terminal(talk: Talk) -> None:
    """Talk with a person."""
    with suppress(ImportError):  # not on every system; arrow keys then bring nothing back
        import readline  # noqa: F401  # `input` uses it

    click.echo(f"{talk.champion.named}; /help lists the commands, Ctrl-D ends", err=True)
    while (typed := _typed()) is not None and typed.strip() != "/exit":
        if (question := _question(talk, typed)) is not None:
            _show(talk, question)
    click.echo(err=True)


def on_lines(talk: Talk) -> None:
    """Answer the lines of standard input, all in one conversation; commands work, too. Raises DataError."""
    for text in _joined(read_texts((), "-", None) if sys.stdin is not None else ()):
        if text.text.strip() == "/exit":
            break
        if (question := _question(talk, text.text)) is not None:
            try:
                click.echo(line("".join(talk.answer(question))))
            except GristmillError as error:
                raise DataError(f"{text.place}: {error}") from error


def _question(talk: Talk, typed: str) -> str | None:
    """What was typed, if it is a question; obeys a command."""
    if typed.startswith("/") and not typed.startswith("//"):
        click.echo(talk.command(typed.strip()), err=True)
        return None
    return (typed[1:] if typed.startswith("//") else typed) if typed.strip() else None


def _typed() -> str | None:
    """What a person typed, over several lines if they end in a backslash; None at the end of the input."""
    lines: list[str] = []
    while True:
        try:
            lines.append(input(MORE if lines else ASK))
        except EOFError:
            return None
        except UnicodeDecodeError:
            click.echo("that is not UTF-8", err=True)
            lines = []
        except KeyboardInterrupt as stop:
            _require_interrupt(stop)
            click.echo()
            lines = []
        else:
            if not lines[-1].endswith("\\"):
                return "\n".join(lines)
            lines[-1] = lines[-1][:-1]


def _joined(texts: Iterable[Text]) -> Iterator[Text]:
    """Lines, each joined with the next one if it ends in a backslash."""
    before: list[str] = []
    for text in texts:
        before.append(text.text.removesuffix("\\"))
        if not text.text.endswith("\\"):
            yield Text(text.place, "\n".join(before))
            before = []
    if before:
        yield Text("the last line of standard input", "\n".join(before))


def _show(talk: Talk, question: str) -> None:
    """Print the answer while it is written; Ctrl-C stops it."""
    try:
        with closing(talk.answer(question)) as pieces:
            for piece in pieces:
                click.echo("".join(letter for letter in piece if letter.isprintable() or letter in "\n\t"), nl=False)
        click.echo()
    except GristmillError as error:
        click.echo(str(error), err=True)
    except KeyboardInterrupt as stop:
        _require_interrupt(stop)
        click.echo()
        click.echo("stopped", err=True)


def _require_interrupt(stop: KeyboardInterrupt) -> None:
    """Go on after Ctrl-C only, not after other signals (`flows.stop`)."""
    if getattr(stop, "number", signal.SIGINT) != signal.SIGINT:
        raise stop
