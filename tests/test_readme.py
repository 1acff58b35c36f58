"""What the README tells a user to type exists, and what it points to is there."""

import re
import shlex
import subprocess
from pathlib import Path

import click
import pytest

from flows.cli.main import main
from tasks.ingest.apt import AptSource
from tasks.recipe import load
from tests.scratch import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
CODE = "\n".join(re.findall(r"^    .*$", README, re.MULTILINE) + re.findall(r"`([^`\n]+)`", README))
COMMANDS = sorted(set(re.findall(r"^ *(gristmill [a-z][^#\n]*)", CODE, re.MULTILINE)))


@pytest.mark.parametrize("line", COMMANDS)
def test_every_gristmill_command_of_the_readme_exists(line: str) -> None:
    name, *arguments = shlex.split(line.replace("[", "").replace("]", "").replace("...", ""))[1:]
    command = main.commands[name]
    if arguments or name not in ("generate", "schedule", "new"):  # named alone, in running text
        command.make_context(name, arguments)


def test_there_are_such_commands_in_it() -> None:
    assert {line.split()[1] for line in COMMANDS} == set(main.commands)


def test_every_make_target_of_the_readme_exists() -> None:
    targets = set(re.findall(r"\bmake ([a-z-]+)", CODE))
    assert {"run", "test", "ui", "bench"} <= targets
    for target in targets:
        done = subprocess.run(["make", "--dry-run", target], cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md"])
def test_every_path_in_a_document_is_there(document: str) -> None:
    text = (ROOT / document).read_text(encoding="utf-8")
    linked = re.findall(r"\]\(([^)#:]+)\)", text)
    named = re.findall(r"`((?:tasks|flows|tests|recipes|infra|benchmarks)/[\w./-]+)`", text)
    examples = ("NAME", "mine", "<")
    meant = [path for path in linked + named if not any(word in path for word in examples)]
    missing = [path for path in meant if not (ROOT / path).exists()]
    assert missing == []


def test_a_wrong_option_is_told_in_a_sentence() -> None:
    with pytest.raises(click.UsageError, match="cron"):
        main.commands["schedule"].make_context("schedule", ["shakespeare"])


def test_two_lines_make_the_translation_one_into_german(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (ROOT / "recipes/translate-en-fr.yaml").read_text(encoding="utf-8")
    assert "`ingest.language: de` and `clean.languages.target: de`" in README
    german, ingest = re.subn(r"(?m)^  language: fr$", "  language: de", text)
    german, clean = re.subn(r"target: fr\b", "target: de", german)
    assert (ingest, clean) == (1, 1)
    monkeypatch.chdir(tmp_path)
    Path("recipes").mkdir()
    Path("recipes/translate-en-de.yaml").write_text(german, encoding="utf-8")
    recipe = load("translate-en-de")
    source = recipe.ingest.root
    assert isinstance(source, AptSource) and source.language == "de"
    assert recipe.clean.languages is not None and recipe.clean.languages.target == "de"
