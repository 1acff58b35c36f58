"""Commands, paths and links in the README and the other documents exist."""

import re
import shlex
import subprocess
from pathlib import Path

import click
import pytest

from flows.cli.main import main
from tasks.ingest.apt import AptSource
from tasks.recipe import load
from tasks.stage import runtime
from tests.scratch import ROOT

PAGES = ["README.md", "CONTRIBUTING.md", "data/README.md", "infra/README.md"]
PAGES += sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))
TEXTS = {page: (ROOT / page).read_text(encoding="utf-8") for page in PAGES}


def code(text: str) -> str:
    """Indented lines and inline code."""
    return "\n".join(re.findall(r"^    .*$", text, re.MULTILINE) + re.findall(r"`([^`\n]+)`", text))


def commands(text: str) -> set[str]:
    return {line.strip() for line in re.findall(r"(?m)^ *(gristmill [a-z][^#\n]*)", code(text))}


def links(text: str) -> list[tuple[str, str]]:
    """(path, heading) of each link to a path in the project; inline code is skipped."""
    return re.findall(r"\]\(([^)#:]+)#?([^):]*)\)", re.sub(r"`[^`\n]*`", "", text))


COMMANDS = sorted(set().union(*map(commands, TEXTS.values())))


@pytest.mark.parametrize("line", COMMANDS)
def test_every_gristmill_command_of_a_document_exists(line: str) -> None:
    name, *arguments = shlex.split(line.replace("[", "").replace("]", "").replace("...", ""))[1:]
    command = main.commands[name]
    if arguments or not any(parameter.required for parameter in command.params):  # otherwise just mentioned in prose
        command.make_context(name, [argument.replace("…", "0 2 * * *") for argument in arguments])


def test_the_readme_lists_every_command() -> None:
    assert {line.split()[1] for line in commands(TEXTS["README.md"])} == set(main.commands)


def test_every_make_target_of_a_document_exists() -> None:
    targets = {target for text in TEXTS.values() for target in re.findall(r"(?m)^ *make ([a-z-]+)", code(text))}
    assert {"run", "test", "ui", "bench", "lint"} <= targets
    for target in targets:
        done = subprocess.run(["make", "--dry-run", target], cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("page", PAGES)
def test_every_path_in_a_document_is_there(page: str) -> None:
    text, folder = TEXTS[page], (ROOT / page).parent
    linked = [folder / path for path, _ in links(text)]
    named = re.findall(r"`((?:tasks|flows|tests|recipes|infra|benchmarks|docs)/[\w./-]+)`", text)
    examples = ("NAME", "mine", "<")
    meant = [ROOT / path for path in named if not any(word in path for word in examples)]
    assert [path for path in linked + meant if not path.exists()] == []


@pytest.mark.parametrize("page", PAGES)
def test_every_link_to_a_heading_is_right(page: str) -> None:
    for path, anchor in links(TEXTS[page]):
        if anchor:
            headings = re.findall(r"(?m)^#+ (.*)$", ((ROOT / page).parent / path).read_text(encoding="utf-8"))
            assert anchor in [re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings], path


def test_every_document_can_be_reached_from_the_readme() -> None:
    linked = {path for path, _ in links(TEXTS["README.md"] + TEXTS["docs/servers.md"].replace("../", ""))}
    assert {page for page in PAGES if page not in ("README.md", "data/README.md")} <= linked


def test_every_setting_of_the_environment_is_documented() -> None:
    names = re.findall(r"(?m)^(GRISTMILL_\w+) +(?! |set (?:by a flow|for each process))", runtime.__doc__ or "")
    assert "GRISTMILL_WORKERS" in names
    assert {f"`{name}`" for name in names} <= set(re.findall(r"`GRISTMILL_\w+`", TEXTS["docs/servers.md"]))


def test_a_wrong_option_is_told_in_a_sentence() -> None:
    with pytest.raises(click.UsageError, match="cron"):
        main.commands["schedule"].make_context("schedule", ["shakespeare"])


def test_two_lines_make_the_translation_one_into_german(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (ROOT / "recipes/translate-en-fr.yaml").read_text(encoding="utf-8")
    page = " ".join(TEXTS["docs/recipes.md"].split())
    assert "`ingest.language: de` and `clean.languages.target: de`" in page
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
