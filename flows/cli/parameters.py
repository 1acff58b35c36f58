"""Types of parameters on the command line, and defaults."""

from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import click

DEFAULT = "shakespeare"
"""The recipe that is meant where none is named."""
LONG = 2**63 - 1
"""The largest integer that a model accepts as a parameter."""
LONGEST_REASON = 1000
"""Characters."""


class Reason(click.ParamType):
    """A reason in a sentence or two, on one line."""

    name = "text"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The text on one line, without control characters. Fails if it is empty or too long."""
        text = " ".join("".join(letter if letter.isprintable() else " " for letter in str(value)).split())
        if not text:
            self.fail("is empty; say why in a sentence")
        if len(text) > LONGEST_REASON:
            self.fail(f"has {len(text):,} characters, at most {LONGEST_REASON:,}; link to what is longer")
        return text


class Moment(click.ParamType):
    """A date, which means its end in local time, or a time in ISO 8601, local unless it names a zone."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """The time, with a zone; for today the present. Fails for a time in the future."""
        now = datetime.now(UTC)
        try:
            if len(str(value)) == len("2026-11-01"):
                day = date.fromisoformat(value)
                end = datetime.combine(day + timedelta(days=1), time()).astimezone()
                wanted = now if day == datetime.now().astimezone().date() else end
            else:
                given = datetime.fromisoformat(value)
                wanted = given if given.tzinfo else given.astimezone()
        except (ValueError, OverflowError):
            self.fail(f"{value!r} is neither a date (2026-11-01) nor a time (2026-11-01T12:30, 2026-11-01T12:30Z)")
        if wanted > now:
            self.fail(f"{value} is in the future")
        return wanted


class Integer(click.IntRange):
    """An integer in a range, which errors call what it is."""

    name = "integer"


class Number(click.FloatRange):
    """A number in a range, which errors call what it is."""

    name = "number"


class Target(click.ParamType):
    """A folder, or the name of a model in MLflow."""

    name = "folder or model"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path | str:
        """An absolute path for a folder, since the command moves to the root of a project."""
        path = Path(str(value))
        return path.absolute() if path.exists() or len(path.parts) > 1 else str(value)
