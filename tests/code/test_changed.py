"""Which changed lines `make same` wants to see run."""

from pathlib import Path

import pytest

from tests.same.changed import not_run, units

OLD = '''from tasks.far import scatter

LIMIT = 3


class Shelf:
    def count(self):
        return len(self.books)


def work(texts):
    """Do it."""
    if not texts:
        return scatter(LIMIT)
    return max(texts)
'''


def unseen(tmp_path: Path, new: str, ran: list[int], file: str = "new.py", **renamed: str) -> list[str]:
    """The changed lines that did not run, where these lines of the new file did."""
    for tree, name, text in (("a", "old.py", OLD), ("b", file, new)):
        (tmp_path / tree).mkdir()
        (tmp_path / tree / name).write_text(text)
    old = units(tmp_path / "a", [Path("old.py")], renamed)
    new_units = units(tmp_path / "b", [Path(file)], {})
    return [line.split(": ", 1)[1] for line in not_run(new_units, old, {file: ran}, tmp_path / "b")]


@pytest.mark.parametrize(
    ("old", "new", "ran", "found"),
    [
        ("", "", [], []),  # moved to another file
        ("# x", "# y", [], []),
        ('"""Do it."""', "# as told", [], []),
        ("from tasks.far", "from tasks.near", [], []),
        ("max(texts)", "min(texts)", [], ["return min(texts)"]),
        ("max(texts)", "min(texts)", [15], []),
        ("LIMIT = 3", "LIMIT = 4", [], ["LIMIT = 4"]),
        ("scatter", "gather", [], ["return gather(LIMIT)"]),
        ("self.books)", "self.films)", [], ["return len(self.films)"]),
        ("return scatter(LIMIT)", "raise ValueError(LIMIT)", [], []),
        ("    return max", "    if texts == 1:\n        x = 1\n        raise ValueError(x)\n    return max", [], []),
        ("max(texts)", "max(\n        texts,\n        key=len,\n    )", [15], []),
    ],
)
def test_lines_that_may_change_an_output_must_have_run(
    tmp_path: Path, old: str, new: str, ran: list[int], found: list[str]
) -> None:
    assert old in OLD or old == "# x"
    assert unseen(tmp_path, OLD.replace(old, new) if old else OLD, ran) == found


def test_a_name_that_changed_everywhere_is_read_as_the_new_one(tmp_path: Path) -> None:
    assert unseen(tmp_path, OLD.replace("scatter", "gather"), [], scatter="gather") == []


def test_text_in_quotes_counts_unless_it_is_a_message(tmp_path: Path) -> None:
    old, new = (tmp_path / name for name in ("old.py", "new.py"))
    old.write_text("def why(x):\n    return f'{x}: no book'\n")
    new.write_text("def why(x):\n    return f'{x} is not a book'\n")
    for messages, found in ((False, ["new.py:2: return f'{x} is not a book'"]), (True, [])):
        before, after = (units(tmp_path, [Path(path.name)], {}, messages) for path in (old, new))
        assert list(not_run(after, before, {}, tmp_path)) == found
