"""Recipes are renamed and removed whole, or not at all; what is interrupted goes on."""

import shutil
from pathlib import Path

import pytest

import flows.rewire
from flows.recipes import RENAMING, check
from flows.rewire import new_recipe, removal, remove_recipe, rename_recipe
from tasks.stage.errors import GristmillError, RecipeError, TransientError
from tests.flows.conftest import attempts, changed, dvc

STAGE = """
  mine:
    cmd: cat data/child/second/report.json
    deps:
      - data/child/second
"""
STEPS = [(Path, "rename", 0), (flows.rewire, "replace_text", 1), (flows.rewire, "edit_lock", 0), (Path, "rename", 1)]
"""What renames the recipe, dvc.yaml, dvc.lock and data/, each with the calls before it."""


@pytest.fixture
def made(toy: Path) -> Path:
    """A toy project in which both recipes have run."""
    dvc("repro", "second@toy", "second@child")
    Path("attempts.txt").unlink()
    Path("data/child/registration.json").write_text("{}")
    return toy


def state() -> dict[str, str]:
    return {name: Path(name).read_text() for name in ("dvc.yaml", "dvc.lock")}


def test_a_renamed_recipe_keeps_its_data_and_runs_nothing_again(made: Path) -> None:
    before, data = state(), sorted(path.name for path in Path("data/child").iterdir())
    told = rename_recipe("child", "heir")
    assert told == ["recipes/heir.yaml", "its line in dvc.yaml", "its stages in dvc.lock", "data/heir"]
    assert changed("heir") == []
    dvc("repro", "second@heir")
    assert attempts() == []
    assert state() == {name: text.replace("child", "heir") for name, text in before.items()}
    assert sorted(path.name for path in Path("data/heir").iterdir()) == [x for x in data if x != "registration.json"]
    assert not Path("data/child").exists() and not Path("recipes/child.yaml").exists() and not RENAMING.exists()


@pytest.mark.parametrize(("where", "what", "calls"), STEPS)
def test_an_interrupted_renaming_goes_on(made: Path, where: object, what: str, calls: int, monkeypatch) -> None:
    before, real, left = state(), getattr(where, what), iter([True] * calls)

    def cut(*arguments: object) -> object:
        if next(left, False):
            return real(*arguments)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(where, what, cut)
        rename_recipe("child", "heir")
    sentence = "`gristmill mv child heir` was interrupted; run it again, and it goes on"
    for other in (check, removal, lambda name: new_recipe("x", name), lambda name: rename_recipe(name, "y")):
        with pytest.raises(RecipeError, match=sentence):
            other("toy")
    rename_recipe("child", "heir")
    assert state() == {name: text.replace("child", "heir") for name, text in before.items()}
    assert changed("heir") == []


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("toy", "heir", r"vars\.recipes\.child\.init: data/toy/second is of toy; child would run again; keep the name"),
        ("child", "toy", r"recipes/toy\.yaml: the recipe toy already exists"),
        ("child", "child", r"recipes/child\.yaml: the recipe child already exists"),
        ("child", "Heir", "'Heir' is not a recipe name"),
        ("child", "code", "'code' cannot name a recipe, because it means something else in YAML or in data/"),
        ("child", "left", "data/left: left by an earlier recipe left; remove it, or choose another name"),
        ("nobody", "heir", r"recipes/nobody\.yaml: no such recipe"),
    ],
)
def test_what_cannot_be_renamed_stays_as_it_is(made: Path, old: str, new: str, sentence: str) -> None:
    Path("data/left").mkdir()
    before = state()
    with pytest.raises(RecipeError, match=sentence):
        rename_recipe(old, new)
    assert state() == before and Path("data/child").is_dir() and not RENAMING.exists()


def test_a_stage_of_the_user_keeps_the_recipe_that_it_reads(made: Path) -> None:
    with Path("dvc.yaml").open("a") as file:
        file.write(STAGE)
    with pytest.raises(RecipeError, match=r"dvc\.yaml: mine: data/child/second is of child; remove mine first"):
        remove_recipe("child")
    with pytest.raises(RecipeError, match=r"mine would run again; keep the name, or remove mine first"):
        rename_recipe("child", "heir")
    assert Path("data/child/second").is_dir()


def test_neither_is_done_while_dvc_works_on_the_recipe(made: Path) -> None:
    with flows.rewire.held([Path("data/child/second")]):
        Path(".dvc/tmp/rwlock").write_text(Path(".dvc/tmp/rwlock").read_text().replace('"gristmill"', '"dvc repro"'))
        for work in (remove_recipe, lambda name: rename_recipe(name, "heir")):
            with pytest.raises(TransientError, match="data/child: a DVC process works on it"):
                work("child")
        Path(".dvc/tmp/rwlock").write_text(Path(".dvc/tmp/rwlock").read_text().replace('"dvc repro"', '"gristmill"'))
    assert Path("data/child/second").is_dir() and Path("recipes/child.yaml").is_file()


def test_a_removed_recipe_leaves_the_others_as_they_are(made: Path) -> None:
    with pytest.raises(RecipeError, match=r"vars\.recipes\.child\.init: data/toy/second is of toy; remove child first"):
        remove_recipe("toy")
    things = ["recipes/child.yaml", "its line in dvc.yaml", "its stages in dvc.lock", "data/child"]
    assert removal("child") == remove_recipe("child") == things
    assert not Path("data/child").exists() and "child" not in "".join(state().values())
    assert changed("toy") == []


def test_a_recipe_whose_file_is_gone_can_be_removed(made: Path) -> None:
    Path("recipes/child.yaml").unlink()
    assert remove_recipe("child") == ["its line in dvc.yaml", "its stages in dvc.lock", "data/child"]
    assert "child" not in "".join(state().values())


def test_a_recipe_whose_line_is_gone_is_removed_with_its_stages(made: Path) -> None:
    lines = Path("dvc.yaml").read_text().splitlines(keepends=True)
    Path("dvc.yaml").write_text("".join(line for line in lines if "child" not in line))
    assert remove_recipe("child") == ["recipes/child.yaml", "its stages in dvc.lock", "data/child"]
    assert "child" not in Path("dvc.lock").read_text()


def test_data_behind_a_link_stays(made: Path) -> None:
    Path("elsewhere").mkdir()
    shutil.move("data/child", "elsewhere/child")
    Path("data/child").symlink_to("../elsewhere/child")
    assert remove_recipe("child")[-1] == f"the link data/child, not the folder {made}/elsewhere/child"
    assert Path("elsewhere/child/second").is_dir() and not Path("data/child").is_symlink()


def test_the_last_recipe_stays(made: Path) -> None:
    remove_recipe("child")
    with pytest.raises(RecipeError, match="toy is the only recipe"):
        remove_recipe("toy")


def test_a_graph_that_cannot_be_edited_by_line_stays(made: Path) -> None:
    graph = Path("dvc.yaml")
    text = graph.read_text().replace("child: {source: own.txt,", "'child': {source: own.txt,")
    graph.write_text(text)
    for work in (remove_recipe, lambda name: rename_recipe(name, "heir")):
        with pytest.raises(GristmillError, match=r"dvc\.yaml: vars\.recipes\.child: not on a line of its own"):
            work("child")
    assert graph.read_text() == text


def test_a_new_recipe_that_would_break_the_graph_is_refused(made: Path) -> None:
    before = state()
    with pytest.raises(RecipeError, match="cannot be edited line by line"):  # its line would say *alone
        new_recipe("heir", "child")
    assert state() == before and not Path("recipes/heir.yaml").exists()


def test_a_full_disk_leaves_the_graph_as_it_was(made: Path, monkeypatch) -> None:
    before = state()

    def full(self: Path, *_: object, **__: object) -> None:
        with self.open("w") as file:
            file.write("half")
        raise OSError(28, "No space left on device", str(self))

    with monkeypatch.context() as patch, pytest.raises(OSError, match="No space"):
        patch.setattr(Path, "write_text", full)
        remove_recipe("child")
    assert state() == before
    assert list(made.glob(".partial-*")) == [] and Path("recipes/child.yaml").exists()
