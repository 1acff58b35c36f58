"""`gristmill compare`: what differs between two trained models, as tables, as a page, or as JSON."""

import json
import re
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from tasks.changes.differences import Changes
    from tasks.changes.record import Record

LOCAL = re.compile(r"data/([a-z][a-z0-9-]*)/?")
"""How the command line names a model that may not be registered yet."""

GRAPH = Path("dvc.yaml")


def compare_models(old: str, new: str, page: str | None, as_json: bool) -> None:
    """Print what differs from the model `old` to the model `new`, and write the page.

    `page`: its path; by default data/<recipe of new>/compare-OLD-NEW.html, or the working folder without such a
    recipe; a model and itself have no page unless it is asked for. Raises GristmillError for unknown models or models
    of two tasks, TransientError if a tracking server does not answer.
    """
    from tasks.changes.differences import find_changes
    from tasks.changes.page import write
    from tasks.stage.scratch import scratch

    with ExitStack() as stack:
        folder = stack.enter_context(scratch("compare"))
        records = _records((old, new), folder)
        changes = find_changes(records[0], records[1])
        path = Path(page) if page else _path(records[0], records[1])
        written = page is not None or not (as_json or changes.same)
        if written:
            write(changes, path)
    if as_json:
        click.echo(json.dumps(_plain(changes.to_json()), indent=2, ensure_ascii=False))
    else:
        _print(changes)
        if written:
            click.echo(f"page: {path}")


def _records(texts: tuple[str, str], folder: Path) -> list["Record"]:
    from tasks.changes.record import local_record, record_of_run

    found: list[Record] = []
    client, objects = None, None
    for number, text in enumerate(texts):
        if (local := LOCAL.fullmatch(text)) is not None:
            found.append(local_record(local[1]))
            continue
        from tasks.register.reference import find_reference
        from tasks.stage.errors import GristmillError
        from tasks.tracking.client import connect
        from tasks.tracking.embedded import DEFAULT, find_uri

        if find_uri() == DEFAULT and not GRAPH.is_file():  # MLflow would make a database here
            raise GristmillError(f"{GRAPH}: not found; run gristmill in the project's folder")
        client = client or connect()
        objects = objects or _objects()
        reference = find_reference(client, text)
        found.append(
            record_of_run(client, reference.run, reference.recipe, reference.name, folder / str(number), objects)
        )
    return found


def _objects() -> Path | None:
    """Where DVC's cache keeps files by their MD5, to read texts from; None outside of a DVC project."""
    from flows.graph import opened
    from tasks.stage.errors import GristmillError

    try:
        with opened() as repo:
            return Path(repo.cache.local.path)
    except GristmillError:  # a record on a server can be compared in any folder
        return None


def _path(old: "Record", new: "Record") -> Path:
    from tasks.stage.run import DATA

    folder = DATA / new.recipe
    return (folder if folder.is_dir() else Path()) / f"compare-{_file(old)}-{_file(new)}.html"


def _file(record: "Record") -> str:
    return re.sub(r"[^\w.-]+", "-", record.name).strip("-")


def _print(changes: "Changes") -> None:
    from flows.cli.tables import make_table, show, warn
    from tasks.changes.tables import notes, summary, tables

    show(f"{changes.old.name} → {changes.new.name}")
    for sentence in summary(changes):
        show(sentence)
    for table in tables(changes):
        show(f"\n{table.title}" + (f": {table.note}" if table.note else ""))
        if table.rows:
            show(make_table(table.columns, table.rows, right=table.numbers))
    for note in notes(changes):
        warn(note)


def _plain(value: Any) -> Any:
    """Without NaN and infinities, which JSON cannot represent."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and value - value != 0 else value
