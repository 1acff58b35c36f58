"""`gristmill chat` and `gristmill predict` with a real champion of a tiny chat model."""

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from flows.cli.chat import Talk, _show
from flows.cli.main import main
from flows.stop import Stopped, stoppable
from tasks.register.predict import Champion
from tests.register import empty_database, make_project
from tests.scratch import ROOT, environment

QUESTION = {"role": "user", "content": "the cat"}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a champion of the chat recipe `tiny`, and a causal recipe `other`."""
    from tasks.register.registration import run

    root = tmp_path_factory.mktemp("chat")
    make_project(root, task="chat")
    metrics = json.loads((root / "data/tiny/evaluation/metrics.json").read_text())
    better = {name: value * (0.1 if name.startswith(("nearest_", "frequent_")) else 1) if isinstance(value, float)
              else value for name, value in metrics.items()}  # fmt: skip
    (root / "data/tiny/evaluation/metrics.json").write_text(json.dumps(better))
    (root / "recipes/other.yaml").write_text((root / "recipes/tiny.yaml").read_text().replace("chat", "causal-lm"))
    (root / "mlflow.db").write_bytes(empty_database())
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        patch.chdir(root)
        run("tiny")
    return root


@pytest.fixture
def gristmill(project: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    def run(*arguments: str, given: str | bytes = "") -> Result:
        monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
        monkeypatch.chdir(project)
        return CliRunner().invoke(main, list(arguments), input=given, catch_exceptions=False)

    return run


def lines(done: Result) -> list[str]:
    assert done.exit_code == 0, done.output
    return done.stdout.splitlines()


def told(done: Result) -> str:
    """The one-sentence error."""
    assert done.exit_code == 2, done.output
    (sentence,) = done.stderr.splitlines()
    return sentence


def test_predict_answers_questions_and_conversations(gristmill, tmp_path):
    (answer,) = lines(gristmill("predict", "tiny", "the cat"))
    assert lines(gristmill("predict", "tiny", given="the cat\na dog\n"))[0] == answer
    history = [QUESTION, {"role": "assistant", "content": "sat"}, {"role": "user", "content": "a dog"}]
    file = tmp_path / "some.jsonl"
    file.write_text("".join(json.dumps({"messages": some, "n": 1}) + "\n" for some in ([QUESTION], history)))
    assert lines(gristmill("predict", "tiny", "--file", str(file)))[0] == answer
    first, second = map(json.loads, lines(gristmill("predict", "tiny", "--file", str(file), "--json")))
    assert first["messages"] == [QUESTION] and first["object"] == "chat.completion"
    assert " ".join(first["choices"][0]["message"]["content"].splitlines()) == answer
    assert second["choices"][0]["finish_reason"] == "length"
    assert lines(gristmill("predict", "tiny", "the cat", "--param", "temperature=1", "--param", "seed=5")) != [answer]
    file.write_text('{"messages": [{"role": "user", "content": "a"}]}\n{"messages": []}\n')
    done = gristmill("predict", "tiny", "--file", str(file))
    assert len(done.stdout.splitlines()) == 1
    assert told(done).startswith(f"{file} line 2: messages: empty; expected a list of at least one message")
    assert told(gristmill("predict", "tiny", "a", "--param", "top_p=3")) == "top_p: must be from 0 to 1, not 3.0"
    assert "input 1: too long: the last question" in told(gristmill("predict", "tiny", "a" * 200))


def test_without_a_terminal_each_line_is_answered_in_one_conversation(gristmill):
    first, second, third = lines(gristmill("chat", "tiny", given="the cat\n\n//a\\\nb\n/reset\nthe cat\n/exit\nno\n"))
    assert first == third and second and first != second
    assert lines(gristmill("chat", "tiny", "--system", "Be brief.", given="the cat\n")) != [first]
    assert lines(gristmill("chat", "tiny", given="/system Be brief.\nthe cat\n")) == lines(
        gristmill("chat", "tiny", "--system", "Be brief.", given="the cat\n")
    )
    sampled = lines(gristmill("chat", "tiny", "--temperature", "1", "--seed", "3", given="the cat\n"))
    assert sampled == lines(gristmill("predict", "tiny", "the cat", "--param", "temperature=1", "--param", "seed=3"))
    done = gristmill("chat", "tiny", given="the cat\n/undo\n/undo\n/nothing\n/help\nthe cat\n")
    assert lines(done) == [first, first]
    assert done.stderr.splitlines()[:3] == ["taken back", "nothing to take back", (
        "no command /nothing; /help lists them, and // at the beginning stands for /")]  # fmt: skip
    assert "/undo           take back the last question" in done.stderr
    assert lines(gristmill("chat", "tiny", given="")) == []


@pytest.mark.parametrize(
    ("arguments", "given", "sentence"),
    [
        (["other"], "", "recipes/other.yaml: task: causal-lm models do not chat; use `gristmill predict other`"),
        (["tiny", "--max-new-tokens", "500"], "", "max_new_tokens: must be from 1 to 127, less than the model's 128"),
        (["tiny", "--temperature", "nan"], "", "temperature: must be a finite number, not nan"),
        (["tiny", "--system", "a" * 200], "", "too long: the last question with the system prompt has"),
        (["tiny"], "a\n" + "b" * 200 + "\n", "standard input line 2: too long: the last question"),
        (["tiny"], b"\xff\n", "standard input line 1: not UTF-8"),
    ],
)
def test_what_is_wrong_is_told_in_a_sentence(gristmill, arguments, given, sentence):
    done = gristmill("chat", *arguments, given=given)
    assert done.exit_code == 2 and sentence in done.stderr and "Traceback" not in done.stderr


def test_generate_names_the_command_for_chats(gristmill):
    assert "use `gristmill chat tiny`" in told(gristmill("generate", "tiny", "a"))


def test_ctrl_c_stops_an_answer_and_keeps_what_was_said_and_other_signals_end(project, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(project)
    talk, shown = Talk(Champion("tiny"), None, {"max_new_tokens": 100}), []

    def echo(text: str = "", **how: Any) -> None:
        shown.append(text)
        if len(shown) == 2:
            signal.raise_signal(sent)

    monkeypatch.setattr("click.echo", echo)
    sent = signal.SIGINT
    with stoppable():
        _show(talk, "the cat")
    assert shown[2:] == ["", "stopped"]
    assert [turn["role"] for turn in talk.turns] == ["user", "assistant"]
    assert "".join(filter(str.isprintable, talk.turns[1]["content"])) == "".join(shown[:2])
    shown.clear()
    sent = signal.SIGTERM
    with stoppable(), pytest.raises(Stopped):
        _show(talk, "a dog")
    assert [turn["role"] for turn in talk.turns] == ["user", "assistant"] * 2


class Terminal:
    """The command on a terminal."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.mine, theirs = pty.openpty()
        env = environment(ROOT, TERM="dumb", MLFLOW_TRACKING_URI=f"sqlite:///{folder}/mlflow.db")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "gristmill", *arguments], cwd=folder, env=env, stdin=theirs, stdout=theirs,
            stderr=theirs, start_new_session=True, preexec_fn=lambda: __import__("fcntl").ioctl(0, 0x540E, 0),
        )  # fmt: skip
        os.close(theirs)
        self.seen = ""

    def until(self, pattern: str, seconds: float = 120) -> str:
        """What appears up to a pattern."""
        deadline = time.monotonic() + seconds
        while (found := re.search(pattern, self.seen)) is None:
            assert time.monotonic() < deadline, self.seen
            if select.select([self.mine], [], [], 0.2)[0]:
                try:
                    self.seen += os.read(self.mine, 4096).decode(errors="replace")
                except OSError:  # the terminal is closed
                    assert re.search(pattern, self.seen), self.seen
        before, self.seen = self.seen[: found.end()], self.seen[found.end() :]
        return before

    def type(self, text: str) -> None:
        os.write(self.mine, text.encode())


@pytest.mark.slow
def test_on_a_terminal_ctrl_c_clears_the_line_and_ctrl_d_ends(project: Path) -> None:
    terminal = Terminal(project, "chat", "tiny", "--max-new-tokens", "100")
    try:
        terminal.until(r"version 1 of tiny; /help lists the commands, Ctrl-D ends\s+> ")
        terminal.type("the cat\n")
        terminal.until(r"the cat\s+\S[^>]*> ")
        terminal.type("half a li\x03")
        terminal.until(r"\^C?\s*> |\n> ")
        terminal.type("/undo\n")
        terminal.until(r"taken back\s+> ")
        terminal.type("/system Be brief.\n")
        terminal.until(r"with this system prompt\s+> ")
        terminal.type("a\\\nb\n")
        terminal.until(r"… b\s+\S[^>]*> ")
        terminal.type("\x04")
        assert terminal.process.wait(60) == 0
    finally:
        if terminal.process.poll() is None:
            os.killpg(terminal.process.pid, signal.SIGKILL)
            terminal.process.wait()
        os.close(terminal.mine)
