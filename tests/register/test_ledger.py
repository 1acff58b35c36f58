"""The ledger: every event is kept, whoever writes at the same time, and a changed or missing one is noticed."""

import http.client
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from mlflow import MlflowClient

from tasks.register.aliases import crown
from tasks.register.champion import champion, promote
from tasks.register.history import history
from tasks.register.journal import END, SHOWN, START, describe_model
from tasks.register.ledger import ENDS, EVENT, LONGEST, Event, Ledger, canonical, hash_of, read_ledger
from tasks.register.promotion import Decision
from tasks.register.recorded import whole
from tasks.register.registered import read_registered
from tasks.register.registration import run
from tasks.register.rollback import rollback
from tasks.register.seen import read_seen
from tasks.register.variants import PASSED
from tasks.stage.errors import GristmillError, TransientError
from tests.register import evaluate, train
from tests.register.versions import add_version, events, kinds, make_champions
from tests.scratch import ROOT, environment

WORSE, BETTER, BEST = "c0" * 32, "ab" * 32, "de" * 32


@pytest.fixture(scope="session")
def three_template(template: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose model has had three champions, version 3 being the last; do not modify."""
    folder = tmp_path_factory.mktemp("three") / "project"
    shutil.copytree(template("causal-lm"), folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        patch.chdir(folder)
        make_champions(3)
    return folder


@pytest.fixture
def three(three_template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of that project; the working directory."""
    shutil.copytree(three_template, tmp_path / "project")
    monkeypatch.chdir(tmp_path / "project")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return tmp_path / "project"


def aliases() -> dict[str, int]:
    return {alias: int(number) for alias, number in MlflowClient().get_registered_model("tiny").aliases.items()}


def ledger() -> Ledger:
    model = read_registered(MlflowClient(), "tiny")
    assert model is not None
    return read_ledger(model)


def test_a_ledger_tells_what_was_registered_promoted_refused_and_rolled_back(project: Path) -> None:
    data = project / "data" / "tiny"
    run("tiny")
    for identity, value in ((BETTER, 2.4), (WORSE, 2.6)):
        train(data, identity, seed=int(value * 10))
        evaluate(data, value)
        run("tiny")
    assert whole("tiny") is not None, "a run after a registration is idle"
    assert history("tiny").champion == 2 and whole("tiny") is not None, "history only reads"
    assert rollback("tiny", None, "it swears") == "version 1 of tiny is champion again; version 2 was before"
    assert kinds() == [
        ("registered", 1, None, None), ("promoted", 1, None, 1),
        ("registered", 2, 1, 1), ("promoted", 2, 1, 2),
        ("registered", 3, 2, 2), ("refused", 3, 2, 2),
        ("rolled back", 1, 2, 1),
    ]  # fmt: skip
    last = events()[-1]
    version = MlflowClient().get_model_version("tiny", "1")
    assert (last.recipe, last.run, last.reason) == ("tiny", version.run_id, "it swears")
    assert history("tiny").faults == () and champion("tiny")["reason"] == "rolled back from version 2: it swears"
    shown = MlflowClient().get_registered_model("tiny").description
    assert shown.startswith("Two plays in miniature.\n\n") and "version 1 rolled back, champion 2 → 1" in shown


def test_what_was_rolled_back_stays_so_until_a_new_version_is_better(project: Path) -> None:
    data = project / "data" / "tiny"
    run("tiny")
    train(data, BETTER, seed=1)
    evaluate(data, 2.4)
    run("tiny")
    rollback("tiny", None, "it swears")
    assert whole("tiny") is None, "register has a challenger to name"
    found = run("tiny")
    assert (found["version"], found["alias"], aliases()) == (2, "challenger", {"champion": 1, "challenger": 2})
    count = len(events())
    assert run("tiny") == found == whole("tiny") and len(events()) == count
    train(data, BEST, seed=2)
    evaluate(data, 2.45)
    assert run("tiny")["champion"] == 3


def test_the_alias_of_a_variant_follows_the_champion_where_the_variant_passed(three: Path) -> None:
    for number, passed in (("1", '["int8"]'), ("2", '["int8", "int4"]'), ("3", "[]")):
        MlflowClient().set_model_version_tag("tiny", number, PASSED, passed)
    rollback("tiny", None, "worse")
    assert aliases() == {"champion": 2, "champion-int8": 2, "champion-int4": 2}
    rollback("tiny", None, "worse, too")
    assert aliases() == {"champion": 1, "champion-int8": 1, "champion-int4": 2}
    promote("tiny", 3, "the best")
    assert aliases() == {"champion": 3, "champion-int8": 1, "champion-int4": 2}


def test_rollbacks_go_back_step_by_step_and_never_to_what_was_rolled_back(project: Path) -> None:
    make_champions(4)
    MlflowClient().delete_model_version("tiny", "3")
    assert [rollback("tiny", None, "worse") and aliases()["champion"] for _ in range(2)] == [2, 1]
    with pytest.raises(
        GristmillError, match=r"no former champion to roll back to \(version 1 is champion\); name a ver"
    ):
        rollback("tiny", None, "worse")
    promote("tiny", 4, "mended")
    assert rollback("tiny", None, "not mended").startswith("version 1 of tiny is champion again")
    assert rollback("tiny", 2, "well").startswith("version 2 of tiny is champion again")
    assert rollback("tiny", 2, "well") == "version 2 of tiny is already champion"
    assert history("tiny").faults == () and [event.after for event in events() if event.moves][4:] == [2, 1, 4, 1, 2]


@pytest.mark.parametrize(
    ("number", "sentence"),
    [
        (9, r"^tiny has no version 9 \(available: 1, 2\)$"),
        (1, r"^the files of version 1 of tiny are missing or damaged; `gristmill promote tiny 1` makes"),
    ],
)
def test_a_version_that_is_not_there_or_not_whole_never_reigns(project: Path, number: int, sentence: str) -> None:
    make_champions(2)
    next(Path("mlruns").rglob("1/weights")).unlink()
    with pytest.raises(GristmillError, match=sentence):
        rollback("tiny", number, "worse")
    assert aliases() == {"champion": 2}
    assert promote("tiny", 1, "I know").startswith("version 1 of tiny is now champion")


def test_a_name_that_is_not_registered_is_told(project: Path) -> None:
    for question in (lambda: rollback("tiny", None, "worse"), lambda: history("tiny")):
        with pytest.raises(GristmillError, match=r"^tiny is not registered yet; run: gristmill run tiny$"):
            question()


def tag(key: str, value: str | None) -> None:
    client = MlflowClient()
    client.delete_registered_model_tag("tiny", key) if value is None else client.set_registered_model_tag(
        "tiny", key, value
    )


def keys() -> list[str]:
    return sorted(key for key in MlflowClient().get_registered_model("tiny").tags if key.startswith(EVENT))


def change(key: str, forge: bool = False) -> None:
    written = json.loads(MlflowClient().get_registered_model("tiny").tags[key]) | {"person": "nobody"}
    tag(key, canonical(written | ({"hash": hash_of(written)} if forge else {})))


def cut_off() -> None:
    tag(keys()[-1], None)
    left = ledger()
    tag(ENDS, json.dumps({"events": len(left.events), "ends": left.ends}))


def ledger_of_this_workspace() -> Ledger:
    model = read_registered(MlflowClient(), "tiny", read_seen("tiny", "tiny"))
    assert model is not None
    return read_ledger(model)


DAMAGE: dict[str, tuple[Callable[[], None], str]] = {
    "an event changed": (lambda: change(keys()[2]), "was changed after it was written"),
    "an event forged": (lambda: change(keys()[2], forge=True), r"is missing"),
    "an event deleted": (lambda: tag(keys()[2], None), r"^the event \w{8} before that of .* is missing"),
    "the last event deleted": (
        lambda: tag(keys()[-1], None),
        "the last one that the registered model noted, is missing",
    ),
    "the end cut off": (cut_off, "the last one that this workspace noted, is missing"),
    "an event unreadable": (lambda: tag(keys()[2], '{"time": 3}'), "cannot be read"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_ledger_is_told_and_goes_on(three: Path, damage: str, capsys: pytest.CaptureFixture[str]) -> None:
    harm, sentence = DAMAGE[damage]
    assert history("tiny").faults == ()
    harm()
    assert any(re.search(sentence, fault) for fault in ledger_of_this_workspace().faults)
    promote("tiny", 1, "after the damage")
    said = capsys.readouterr().err
    assert re.search(sentence.removeprefix("^"), said) and "WARNING: the ledger of tiny: " in said
    noted = [fault for event in events() for fault in event.faults]
    assert any(re.search(sentence, fault) for fault in noted) and aliases() == {"champion": 1}
    promote("tiny", 2, "later")
    assert "WARNING" not in capsys.readouterr().err, "what an event tells is not told again"
    assert any(re.search(sentence.removeprefix("^"), fault) for fault in history("tiny").faults), "but history does"


HANDS: dict[str, tuple[Callable[[MlflowClient], Any], tuple[int, int, int | None], str]] = {
    "moved": (lambda c: c.set_registered_model_alias("tiny", "champion", "1"), (1, 3, 1), "the alias was moved"),
    "taken away": (lambda c: c.delete_registered_model_alias("tiny", "champion"), (3, 3, None), "was taken away"),
    "deleted": (lambda c: c.delete_model_version("tiny", "3"), (3, 3, None), "version 3 was deleted"),
}


@pytest.mark.parametrize("hand", HANDS)
def test_what_a_hand_does_in_the_pages_is_written_down_once(three: Path, hand: str) -> None:
    does, (version, before, after), reason = HANDS[hand]
    does(MlflowClient())
    for _ in range(2):
        found = history("tiny")
        last = found.ledger.events[-1]
        assert (last.event, last.version, last.before, last.after) == ("moved by hand", version, before, after)
        assert reason in last.reason and len(found.ledger.events) == 7 and found.champion == after
    if after is None:
        MlflowClient().set_registered_model_alias("tiny", "champion", "2")
        assert [(each.before, each.after) for each in history("tiny").ledger.events[7:]] == [(None, 2)]
    assert rollback("tiny", None, "worse") and aliases()["champion"] == {"moved": 3}.get(
        hand, 1 if hand == "deleted" else 3
    )


def test_a_model_without_a_ledger_gets_one_that_knows_its_former_champions(three: Path) -> None:
    for key in [*keys(), ENDS]:
        tag(key, None)
    Path("data/tiny/ledger.json").unlink()
    assert history("tiny").ledger.events == () and keys() == []
    rollback("tiny", None, "worse")
    first, last = events()
    assert (first.event, first.after, first.former, first.known) == ("ledger began", 3, (1, 2), (1, 2, 3))
    assert (last.before, last.after) == (3, 2)


def test_a_model_of_somebody_else_is_taken_as_it_is(project: Path) -> None:
    client = MlflowClient()
    client.create_registered_model("tiny", description="of the other team")
    for _ in range(2):
        add_version(client)
    client.set_registered_model_alias("tiny", "champion", "2")
    assert history("tiny").ledger.events == ()
    with pytest.raises(GristmillError, match=r"no former champion .*; name a version: gristmill rollback tiny --to N"):
        rollback("tiny", None, "worse")
    assert rollback("tiny", 1, "worse").startswith("version 1 of tiny is champion again; version 2 was before")
    assert client.get_registered_model("tiny").description.startswith("of the other team\n\n")


def test_a_long_verdict_is_kept_whole_and_counted(project: Path) -> None:
    verdict = {"verdict": "better", "data": "7f", "slices": [f"play {n}" for n in range(2000)], "p": float("nan")}
    client = MlflowClient()
    client.create_registered_model("tiny")
    version = add_version(client)
    model = read_registered(client, "tiny")
    assert model is not None
    crown(client, model, version, Decision("champion", "better", verdict))
    tags = client.get_registered_model("tiny").tags
    assert all(len(text) <= LONGEST for text in tags.values()) and len(keys()) > 4
    assert events()[-1].verdict == verdict | {"p": None} and ledger().faults == ()
    assert (ledger().decisions("7f"), ledger().decisions("80")) == (1, 0)
    tag(next(key for key in keys() if key.endswith(".2")), None)
    assert "cannot be read" in ledger().faults[0]


def test_a_refusal_is_written_once_for_each_verdict(project: Path) -> None:
    make_champions(1)
    client = MlflowClient()
    version = add_version(client)
    for reason in ("worse", "worse", "cannot tell"):
        model = read_registered(client, "tiny")
        assert model is not None
        crown(client, model, version, Decision("challenger", reason, {"verdict": reason, "data": "7f"}))
    assert [event.reason for event in events() if event.event == "refused"] == ["worse", "cannot tell"]
    assert ledger().decisions("7f") == 2


def test_the_description_keeps_what_a_user_wrote_around_the_events(three: Path) -> None:
    for number in (1, 2, 3, 1):
        promote("tiny", number)
    text = MlflowClient().get_registered_model("tiny").description
    assert text.count("\n- ") == SHOWN and text.startswith(START)
    MlflowClient().update_registered_model("tiny", f"Before.\n{text}\nAfter.")
    promote("tiny", 2, "the *best* <b>one</b>\n\n# really")
    text = MlflowClient().get_registered_model("tiny").description
    assert text.startswith(f"Before.\n\nAfter.\n\n{START}") and text.endswith(END) and text.count(START) == 1
    assert r"the \*best\* &lt;b&gt;one&lt;/b&gt; \# really" in text
    full = describe_model("x" * (LONGEST - 700), ledger())
    assert LONGEST - 700 < len(full) <= LONGEST and 0 < full.count("\n- ") < SHOWN
    assert describe_model("x" * LONGEST, ledger()) == "x" * LONGEST


def test_events_are_in_order_whatever_the_clocks_say_and_two_ends_meet() -> None:
    def event(name: str, minute: int, after: int, *previous: str) -> Event:
        time = f"2026-11-27T21:{minute:02}:00.000000Z"
        return Event(time, "promoted", after, None, after, "a", None, None, None, "", None, previous, name)

    from tasks.register.ledger import _in_order

    first, slow = event("a", 30, 1), event("b", 10, 2, "a")
    left, right = event("c", 40, 3, "b"), event("d", 41, 4, "b")
    every = {each.hash: each for each in (right, left, slow, first)}
    found = Ledger(tuple(_in_order(every)))
    assert [each.hash for each in found.events] == ["a", "b", "c", "d"]
    assert (found.ends, found.champion, found.rivals) == (["c", "d"], 4, {3, 4})
    merged = Ledger((*found.events, event("e", 50, 5, "c", "d")))
    assert (merged.ends, merged.rivals) == (["e"], {5})
    then = found.at(datetime.fromisoformat("2026-11-27T21:40:30Z"))
    assert then is not None and then.after == 3
    assert found.at(datetime.fromisoformat("2026-11-27T21:00:00Z")) is None
    circle = {"x": replace(first, hash="x", previous=("y",)), "y": replace(first, hash="y", previous=("x",))}
    assert len(list(_in_order(circle))) == 2


TWO = """
import sys, time
from pathlib import Path
from tasks.register.champion import promote
from tasks.register.rollback import rollback
from tasks.stage.errors import GristmillError
from tasks.tracking.client import connect
connect().search_registered_models()
me, other = sys.argv[1:]
Path(f"ready-{me}").touch()
while not Path(f"ready-{other}").exists():
    time.sleep(0.005)
for turn in range(3):
    said = promote("tiny", (turn + (me == "a")) % 3 + 1, f"{me}{turn}")
    print(f"{me}{turn} {said.splitlines()[0]}")
try:
    print(f"{me}9 {rollback('tiny', None, f'{me}9').splitlines()[0]}")
except GristmillError as error:
    print(f"{me}8 {error}")
"""


@pytest.fixture(params=["database", pytest.param("server", marks=pytest.mark.xdist_group("server"))])
def place(request: pytest.FixtureRequest) -> Path:
    """A project with its record in a database, and on a server."""
    return request.getfixturevalue("project" if request.param == "database" else "on_server")


def test_two_writers_at_once_lose_no_event_and_agree_on_the_champion(place: Path) -> None:
    make_champions(3)
    command = [sys.executable, "-c", TWO]
    where = {name: os.environ[name] for name in ("MLFLOW_TRACKING_URI",) if name in os.environ}
    both = [
        subprocess.Popen([*command, *names], env=environment(ROOT, **where), stdout=subprocess.PIPE, text=True)
        for names in (("a", "b"), ("b", "a"))
    ]
    said = [line for each in both for line in each.communicate()[0].splitlines()]
    assert [each.returncode for each in both] == [0, 0] and len(said) == 8
    written = {line.partition(" ")[0] for line in said if "is now champion" in line or "champion again; " in line}
    found = history("tiny")
    assert written and written <= {event.reason for event in found.ledger.events}
    assert found.faults == () and found.champion == found.ledger.champion == aliases()["champion"]
    assert any(len(event.previous) == 2 for event in found.ledger.events) or len(found.ledger.ends) == 1
    assert not any("alias" in event.reason for event in found.ledger.events), "neither takes the other for a hand"


class Unreliable(BaseHTTPRequestHandler):
    """Passes requests on to a tracking server, until so many have changed something; then it hangs up."""

    server_of: str
    changes_left: int

    def handle_any(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        changes = self.command != "GET" and not self.path.endswith("/search")
        if changes and type(self).changes_left == 0:
            self.close_connection = True
            return
        type(self).changes_left -= changes
        connection = http.client.HTTPConnection(self.server_of)
        kept = {name: text for name, text in self.headers.items() if name.lower() not in ("host", "connection")}
        connection.request(self.command, self.path, body, kept)
        answer = connection.getresponse()
        content = answer.read()
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.getheader("Content-Type") or "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = handle_any

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.mark.parametrize("changes", [1, 3, 5])
def test_a_registry_that_goes_away_in_the_middle_of_a_rollback(
    on_server: Path, server: str, monkeypatch: pytest.MonkeyPatch, changes: int
) -> None:
    make_champions(2)
    handler = type("Handler", (Unreliable,), {"server_of": urlsplit(server).netloc, "changes_left": changes})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as between:
        threading.Thread(target=between.serve_forever, daemon=True).start()
        with monkeypatch.context() as patch:
            patch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{between.server_port}")
            patch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
            with pytest.raises(TransientError, match=r"run `gristmill rollback tiny --to 1 --reason …` again when"):
                rollback("tiny", None, "it swears")
        between.shutdown()
    assert aliases()["champion"] in (1, 2)
    assert "version 1 of tiny is" in rollback("tiny", 1, "it swears")
    found = history("tiny")
    assert (found.champion, found.faults) == (1, ())
    assert [event.reason for event in found.ledger.events if event.event == "rolled back"] == ["it swears"]


WRITES = (
    "set_registered_model_tag", "set_model_version_tag", "set_registered_model_alias", "delete_registered_model_alias",
    "delete_model_version_tag", "update_model_version", "update_registered_model",
)  # fmt: skip


class Cut(BaseException):
    """The process ends here."""


def cut_after(patch: pytest.MonkeyPatch, count: int) -> list[str]:
    """Let so many writes pass and end at the next; returns those that passed."""
    passed: list[str] = []

    def wrap(name: str) -> None:
        real = getattr(MlflowClient, name)

        def write(*given: Any, **named: Any) -> Any:
            if len(passed) == count:
                raise Cut
            passed.append(name)
            return real(*given, **named)

        patch.setattr(MlflowClient, name, write)

    for name in WRITES:
        wrap(name)
    return passed


def test_a_rollback_cut_off_anywhere_is_finished_by_the_next_and_never_without_a_champion(project: Path) -> None:
    make_champions(2)
    for count in range(100):
        before, was_cut = len(events()), False
        with pytest.MonkeyPatch.context() as patch:
            passed = cut_after(patch, count)
            try:
                rollback("tiny", 1, "cut")
            except Cut:
                was_cut = True
        assert aliases()["champion"] in (1, 2), passed
        said = rollback("tiny", None, "again") if was_cut else ""
        found = history("tiny")
        new = [event for event in found.ledger.events[before:] if event.moves]
        assert [(each.event, each.before, each.after) for each in new] == [("rolled back", 2, 1)], (count, passed)
        assert (found.champion, found.faults) == (1, ())
        tags = MlflowClient().get_model_version("tiny", "1").tags
        assert "gristmill.promoted_by_hand" in tags and tags["gristmill.reason"].startswith(
            "rolled back from version 2"
        )
        finished = "finished a rollback that was cut off: version 1 of tiny is champion again"
        assert not was_cut or said == finished or new[0].reason == "again"
        if not was_cut:
            break
        promote("tiny", 2, "once more")
    assert count > 8
