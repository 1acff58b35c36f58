"""With every rule on, the stage gives the same bytes with any engine and number of workers."""

import random
from pathlib import Path

import pytest

from tests.clean.corpus import clean, contents, rows
from tests.clean.rules.quality.perturbed import made

CLEAN = """
  min_words: 20
  languages: {text: en, threshold: 0.9}
  quality: {preset: gopher, fineweb: {}}
  blocked_words: {words: [blocked phrase]}
  privacy: {iban: {action: drop}}
  near_duplicates: {}
  duplicate_paragraphs: {}
  contamination: {}
  splits: {validation: 0.1, test: 0.1}
"""
REASONS = {"too_few_words", "other_language", "blocked_words", "iban", "duplicate", "near_duplicate", "contaminated"}


def corpus() -> list[tuple[str, str, str]]:
    """Documents that stay, and some dropped by each group of rules."""
    chance = random.Random(0)
    texts = made(160, seed=3)
    for number, text in enumerate(texts[:120]):
        words = text.split(" ")
        place = chance.randrange(len(words) // 2)
        changed = {
            0: "Too short.",
            1: text,
            2: " ".join([*words[:place], "another", *words[place + 1 :]]),
            3: text + " A blocked  phrase it is.",
            4: text + " Pay to DE89 3704 0044 0532 0130 00 now, or write to me@example.org.",
            5: "Ce texte est écrit en français, et il parle de toutes les choses de la vie. " * 8,
            6: "\n".join(["The same line again and again, until it is enough of it."] * 30),
            7: " ".join(words[: len(words) // 2]) + "\n\n" + texts[number + 7],
        }
        texts.append(changed[number % 8])
    return [(f"d{number:03}", f"group {number % 40}", text) for number, text in enumerate(texts)]


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The outputs of a single process."""
    return cleaned(tmp_path_factory.mktemp("alone"), "1")


def cleaned(root: Path, workers: str) -> dict[str, bytes]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tasks.formats.corpus.BATCH_BYTES", 30_000)
        patch.setattr("tasks.workers.parallel_map.WORTH_A_PROCESS", 0)
        patch.setenv("GRISTMILL_WORKERS", workers)
        out = clean(root, CLEAN, corpus())
        return contents(out) | contents(out.parent / "scratch")


def test_every_group_of_rules_drops_something(expected: dict[str, bytes], tmp_path: Path) -> None:
    path = tmp_path / "rejected.parquet"
    path.write_bytes(expected["rejected.parquet"])
    found = {row["reason"] for row in rows(path)}
    assert found >= REASONS and any(reason.startswith("gopher") for reason in found)


@pytest.mark.parametrize("workers", ["2", pytest.param("4", marks=pytest.mark.slow)])
def test_it_is_the_same_for_several_processes(workers: str, expected: dict[str, bytes], tmp_path: Path) -> None:
    assert cleaned(tmp_path, workers) == expected


@pytest.mark.slow
def test_it_is_the_same_for_every_engine(engine: str, expected: dict[str, bytes], tmp_path: Path) -> None:
    assert cleaned(tmp_path, "2") == expected
