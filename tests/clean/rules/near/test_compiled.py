"""Each kernel is compiled for one set of argument types, since every further one costs seconds."""

from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numba.core.dispatcher import Dispatcher

from tasks.clean.rules.near.contamination import EvaluationIndex, overlaps
from tasks.clean.rules.near.duplicates import near_duplicates
from tasks.clean.rules.near.paragraphs import (
    first_paragraphs,
    paragraphs_of,
    read_paragraphs,
    without,
    write_paragraphs,
)
from tasks.clean.rules.near.settings import ContaminationSettings, NearDuplicateSettings, ParagraphSettings
from tests.clean.rules.near.planted import from_a_template, planted
from tests.clean.rules.near.reference import column, sketched

MODULES = ("words", "ngrams", "sketch", "files", "candidates", "clusters", "hash_set", "contamination", "paragraphs")


def kernels() -> dict[str, Any]:
    found = {}
    for name in MODULES:
        module = import_module(f"tasks.clean.rules.near.{name}")
        found |= {
            f"{name}.{key}": value
            for key, value in vars(module).items()
            if isinstance(value, Dispatcher) and value.__module__ == module.__name__
        }
    return found


def use_everything(folder: Path) -> None:
    """Run each kernel on several forms of columns: whole, sliced, empty."""
    texts = column([*planted(60, 0), *from_a_template(40, 0, slots=2), "", None, "é"])
    chosen = NearDuplicateSettings(max_bucket=4)
    paths = []
    for number, part in enumerate((texts, texts[3:20], texts[:0])):
        paths.append(sketched(folder / str(number), part, chosen))
        index, kept = EvaluationIndex.of(part, ContaminationSettings()), folder / "kept"
        index.write(kept)
        for each in (index, EvaluationIndex.read(kept)):
            overlaps(texts[1:], each)
        paragraphs = paragraphs_of(part, ParagraphSettings())
        write_paragraphs(paragraphs, kept)
        (staying,) = first_paragraphs([kept])
        without(part, paragraphs, staying)
        without(part, read_paragraphs(kept), staying)
    for memory in (10_000, 1 << 20):
        near_duplicates(paths, chosen, np.zeros(len(texts) + 17, np.uint8), memory)


def test_each_kernel_is_compiled_for_one_type_of_arguments_so_that_every_process_caches_the_same(
    tmp_path: Path,
) -> None:
    use_everything(tmp_path)
    types = {name: len(compiled.signatures) for name, compiled in kernels().items()}
    assert max(types.values()) == 1, types
    # A kernel called only by another one is part of that one's cached code.
    assert {name for name, count in types.items() if not count} <= {"clusters._root", "ngrams._spread", "words._decode"}
