"""`gristmill predict` and `gristmill generate` with real champions of tiny models."""

import itertools
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from flows.cli.main import main
from flows.cli.predict import BATCH_TEXTS, Text, batches
from tests.register import empty_database, make_project
from tests.scratch import ROOT

CLASSES = ["games", "net", "science"]


@pytest.fixture(scope="module")
def registered(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A project with a champion of the recipe `tiny` for a task; made once per task."""
    from tasks.register.registration import run

    @cache
    def make(task: str) -> Path:
        root = tmp_path_factory.mktemp(task)
        make_project(root, task=task)
        beat_its_baselines(root / "data/tiny/evaluation/metrics.json")
        (root / "mlflow.db").write_bytes(empty_database())
        with pytest.MonkeyPatch.context() as patch:
            patch.delenv("MLFLOW_TRACKING_URI", raising=False)
            patch.chdir(root)
            run("tiny")
        return root

    return make


def beat_its_baselines(path: Path) -> None:
    """Else every command warns of the champion."""
    metrics = json.loads(path.read_text())
    for name in metrics:
        if name.startswith(("copy_", "first_sentence_", "majority_", "tfidf_")):
            metrics[name] /= 10
    path.write_text(json.dumps(metrics))


@pytest.fixture
def gristmill(registered, monkeypatch) -> Callable[..., Result]:
    """Run a command in the project of a task's champion."""

    def run(task: str, *arguments: str, given: str | bytes = "") -> Result:
        monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
        monkeypatch.chdir(registered(task))
        return CliRunner().invoke(main, list(arguments), input=given, catch_exceptions=False)

    return run


def good(done: Result) -> list[str]:
    assert done.exit_code == 0, done.output
    return done.stdout.splitlines()


def told(done: Result) -> str:
    """The one-sentence error."""
    assert done.exit_code == 2 and done.stdout == ""
    (sentence,) = done.stderr.splitlines()
    return sentence


def test_each_text_gets_its_line_and_with_json_all_that_the_model_says(gristmill):
    lines = good(gristmill("classification", "predict", "tiny", "the cat", "", "a dog"))
    rows = [json.loads(row) for row in good(gristmill("classification", "predict", "tiny", "--json", "the cat", ""))]
    assert [row["input"] for row in rows] == ["the cat", ""]
    assert lines[:2] == [f"{row['label']}\t{row['score']:.4f}" for row in rows]
    assert [sorted(row["scores"]) for row in rows] == [CLASSES, CLASSES]
    assert len(lines) == 3


def test_what_is_written_is_one_line_and_whole_in_json(gristmill):
    for task in ("translation", "summarization", "causal-lm"):
        (row,) = good(gristmill(task, "predict", "tiny", "--json", "a\ncat"))
        content = json.loads(row)
        assert content["input"] == "a\ncat"
        assert good(gristmill(task, "predict", "tiny", "a\ncat")) == [" ".join(content["output"].splitlines())]
    assert content["output"].startswith("a\ncat")  # a causal model continues the text


def test_masks_are_filled(gristmill):
    (row,) = good(gristmill("masked-lm", "predict", "tiny", "--json", "--param", "top_k=2", "the [MASK] sat"))
    content = json.loads(row)
    (tokens,) = content["masks"]
    assert content["text"] == f"the {tokens[0]['token']} sat" and len(tokens) == 2
    assert good(gristmill("masked-lm", "predict", "tiny", "the [MASK] sat")) == [content["text"]]


def test_parameters_reach_the_model_in_their_types(gristmill):
    command = ("translation", "predict", "tiny", "the cat sat on the mat")
    short = good(gristmill(*command, "--param", "max_new_tokens=2", "--param", "early_stopping=false"))
    assert short != good(gristmill(*command))
    assert short == good(gristmill(*command, "--param", "max_new_tokens=2", "--param", "length_penalty=0.8"))


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ("beams=2", "--param beams=2: expected NAME=VALUE with a parameter of this model (available: num_beams, "),
        ("num_beams", "--param num_beams: expected NAME=VALUE"),
        ("num_beams=two", "--param num_beams=two: num_beams must be an integer"),
        ("length_penalty=long", "--param length_penalty=long: length_penalty must be a number"),
        ("early_stopping=1", "--param early_stopping=1: early_stopping must be true or false"),
        (
            "num_beams=99999999999999999999",
            "--param num_beams=99999999999999999999: num_beams must be an integer from -92",
        ),
        ("repetition_penalty=nan", "repetition_penalty: must be a finite number, not nan"),
        ("length_penalty=-inf", "length_penalty: must be a finite number, not -inf"),
        ("num_beams=0", "num_beams: must be at least 1, not 0"),
    ],
)
def test_a_wrong_parameter_is_told(gristmill, given, sentence):
    assert told(gristmill("translation", "predict", "tiny", "--param", given, "a")).startswith(sentence)


def test_lines_of_a_file_of_a_pipe_and_of_json_give_the_same(gristmill, tmp_path):
    texts = ["the cat", "", "a  dog ran", "été"]
    plain, rows = tmp_path / "texts.txt", tmp_path / "texts.jsonl"
    plain.write_bytes("\r\n".join(texts).encode("utf-8-sig"))
    rows.write_text("".join(json.dumps({"body": text, "text": text, "n": 1}) + "\n" for text in texts) + "\n")
    wanted = good(gristmill("classification", "predict", "tiny", *texts))
    command = ("classification", "predict", "tiny")
    assert good(gristmill(*command, "--file", str(plain))) == wanted
    assert [json.loads(row)["input"] for row in good(gristmill(*command, "--json", "--file", str(plain)))] == texts
    assert good(gristmill(*command, given="\n".join(texts))) == wanted
    assert good(gristmill(*command, "--file", "-", given="\n".join(texts))) == wanted
    assert good(gristmill(*command, "--file", str(rows))) == wanted
    assert good(gristmill(*command, "--file", str(rows), "--column", "body")) == wanted
    assert good(gristmill(*command, "--column", "body", given=rows.read_text())) == wanted


@pytest.mark.parametrize(
    ("name", "content", "options", "sentence"),
    [
        ("x.jsonl", b'{"text": "a"}\n{"b": "", "n": 1}\n', (), "x.jsonl line 2: no column 'text' (available: b, n)"),
        ("x.jsonl", b'{"text": 3}\n', (), "x.jsonl line 1: text: expected a string, not 3"),
        ("x.jsonl", b'{"text": "a\\ud800 ka"}\n', (), "x.jsonl line 1: not Unicode: character 2 is '\\ud800'"),
        ("x.jsonl", b"[1]\n", (), "x.jsonl line 1: not a JSON object: [1]"),
        ("x.txt", b"hello\n", ("--column", "text"), "x.txt line 1: not a JSON object: "),
        ("x.txt", b"one\ntw\xff\n", (), "x.txt line 2: not UTF-8: byte 3 is 0xff"),
    ],
)  # fmt: skip
def test_a_line_that_is_no_text_is_named(gristmill, tmp_path, monkeypatch, name, content, options, sentence):
    (tmp_path / name).write_bytes(content)
    done = gristmill("classification", "predict", "tiny", "--file", str(tmp_path / name), *options)
    assert told(done).removeprefix(f"{tmp_path}/").startswith(sentence)


def test_a_word_that_is_not_utf_8_is_named(gristmill):
    word = os.fsdecode(b"\xff ka")
    sentence = "input 2: not Unicode: character 1 is '\\udcff'"
    assert told(gristmill("classification", "predict", "tiny", "a", word)) == sentence


@pytest.mark.parametrize("source", [("--file", "-"), (), ("--column", "text"), ("--file", "nothing.jsonl")])
def test_that_no_text_came_in_is_said(gristmill, registered, source):
    (registered("classification") / "nothing.jsonl").write_text("\n")
    done = gristmill("classification", "predict", "tiny", *source)
    assert good(done) == [] and done.stderr == "warning: no input, so no output\n"


def test_texts_before_one_that_cannot_be_answered_have_their_answers(gristmill):
    done = gristmill("masked-lm", "predict", "tiny", given="a [MASK]\nthe [MASK]\nno mask\na [MASK]\n")
    assert done.exit_code == 2
    assert done.stdout.splitlines() == good(gristmill("masked-lm", "predict", "tiny", "a [MASK]", "the [MASK]"))
    assert done.stderr == "standard input line 3: no [MASK] in 'no mask'\n"


def test_texts_that_are_too_long_are_counted_in_a_warning(gristmill):
    done = gristmill("classification", "predict", "tiny", "a", "dog " * 10_000, "cat " * 20)
    assert len(good(done)) == 3
    assert done.stderr == "warning: 2 of 3 inputs were longer than the model's maximum and truncated\n"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("a", "--file", "-"), "pass texts as arguments or in a file, not both"),
        (("a", "--column", "b"), "pass texts as arguments or in a file, not both"),
        (("--column", ""), "--column: must not be empty"),
        (("--file", "nowhere.txt"), "File 'nowhere.txt' does not exist"),
    ],
)
def test_texts_from_two_places_or_from_none_are_a_usage_error(gristmill, arguments, sentence):
    done = gristmill("classification", "predict", "tiny", *arguments)
    assert done.exit_code == 2 and sentence in done.stderr


def test_a_terminal_without_a_text_is_told_what_to_do(registered):
    ours, theirs = os.openpty()
    try:
        command = [sys.executable, "-m", "flows", "predict", "tiny"]
        done = subprocess.run(
            command, cwd=registered("classification"), stdin=theirs, capture_output=True, text=True, timeout=60
        )
    finally:
        os.close(ours)
        os.close(theirs)
    assert done.returncode == 2 and done.stdout == ""
    assert "no input: pass texts after RECIPE, or --file PATH, or pipe one per line" in done.stderr


def test_generate_continues_texts_of_causal_models_alone(gristmill):
    assert good(gristmill("causal-lm", "generate", "tiny", "a", "--max-new-tokens", "3"))[0].startswith("a")
    sentence = told(gristmill("translation", "generate", "tiny", "a"))
    assert sentence == "recipes/tiny.yaml: task: translation models do not continue text; use `gristmill predict tiny`"


def test_generate_and_predict_write_the_same_text(gristmill):
    for given in ((), ("max_new_tokens=9", "temperature=1.5", "top_k=7", "seed=3"), ("temperature=0",)):
        options = [word for text in given for word in ("--" + text.replace("_", "-")).split("=")]
        parameters = [word for text in given for word in ("--param", text)]
        (row,) = good(gristmill("causal-lm", "predict", "tiny", "--json", "a", *parameters))
        assert gristmill("causal-lm", "generate", "tiny", "a", *options).stdout == json.loads(row)["output"] + "\n"


@pytest.mark.parametrize("value", ["99999999999999999999", "9223372036854775808", "-1"])
def test_a_seed_that_is_none_is_told(gristmill, value):
    done = gristmill("causal-lm", "predict", "tiny", "a", "--param", f"seed={value}")
    assert told(done).startswith(("--param seed=", "seed: must be from 0 to 9223372036854775807, not -1"))
    assert len(good(gristmill("causal-lm", "predict", "tiny", "a", "--param", "seed=9223372036854775807"))) == 1


def test_a_device_that_is_not_there_is_told(gristmill, monkeypatch):
    for device, sentence in ("cuda", "torch finds no cuda device"), ("tpu", "'tpu' is not one of auto, cpu, cuda, mps"):
        monkeypatch.setenv("GRISTMILL_DEVICE", device)
        monkeypatch.setattr("torch.cuda.is_available", lambda: False)
        assert told(gristmill("classification", "predict", "tiny", "a")).startswith(f"GRISTMILL_DEVICE: {sentence}")


@pytest.mark.skipif(
    not shutil.which("unshare") or subprocess.run(["unshare", "-rm", "true"], capture_output=True).returncode != 0,
    reason="no rights to mount",
)
@pytest.mark.parametrize(
    ("database", "sentence"),
    [
        ("mlflow.db", r"MLflow at .* failed \(\[Errno 30\] Read-only file system: .*\)"),
        ("none.db", ".* cannot be written"),
    ],
)
def test_a_folder_that_is_read_only_is_told_in_one_sentence(registered, database, sentence):
    root = registered("classification")
    mount = f"mount --bind {root} {root} && mount -o remount,bind,ro {root} && cd {root}"
    script = f"{mount} && exec {sys.executable} -m flows predict tiny a"
    env = {**os.environ, "MLFLOW_TRACKING_URI": f"sqlite:///{database}", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(["unshare", "-rm", "sh", "-c", script], capture_output=True, text=True, env=env, timeout=60)
    assert done.returncode == 2 and re.fullmatch(sentence, done.stderr.strip()), done.stderr


def test_without_a_champion_it_is_told_what_to_run(tmp_path, monkeypatch):
    make_project(tmp_path, task="classification")
    (tmp_path / "mlflow.db").write_bytes(empty_database())
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    done = CliRunner().invoke(main, ["predict", "tiny", "a"], catch_exceptions=False)
    assert told(done) == "tiny has no champion yet; run `gristmill run tiny`"


def test_a_thousand_texts_through_a_pipe_keep_their_order(gristmill, registered):
    words = ["cat", "dog", "mat", "sat", "ran", "away"]
    texts = [" ".join(words[: 1 + number % 6]) + f" {number}" for number in range(1000)]
    done = subprocess.run(
        [sys.executable, "-m", "flows", "predict", "tiny", "--json"], cwd=registered("classification"),
        input="\n".join(texts), capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    rows = [json.loads(row) for row in done.stdout.splitlines()]
    assert [row["input"] for row in rows] == texts
    some = range(0, 1000, 97)
    alone = good(gristmill("classification", "predict", "tiny", *(texts[number] for number in some)))
    assert [f"{rows[number]['label']}\t{rows[number]['score']:.4f}" for number in some] == alone


def test_no_more_texts_are_read_than_are_answered_at_a_time():
    taken = 0

    def endless():
        nonlocal taken
        for number in itertools.count():
            taken += 1
            yield Text(f"line {number}", "x" * (1 << 19) if number >= BATCH_TEXTS else "x")

    found = batches(endless())
    assert len(next(found)) == taken == BATCH_TEXTS
    assert len(next(found)) == 2 and taken == BATCH_TEXTS + 2
