import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numba.core.dispatcher import Dispatcher

from tasks.clean.near.compiled import kernel
from tasks.clean.near.duplicates import near_duplicates
from tasks.clean.near.settings import ContaminationSettings, NearDuplicateSettings, ParagraphSettings
from tests.clean.near.planted import from_a_template, planted
from tests.clean.near.reference import column

ROOT = Path(__file__).parents[3]
MODULES = ("words", "ngrams", "sketch", "files", "candidates", "clusters", "hash_set", "contamination", "paragraphs")

WORDS = """
import sys, pyarrow as pa
from tasks.clean.near.ngrams import ngrams_of
from tasks.clean.near.words import words_of
print(ngrams_of(words_of(pa.array(["one two three four five six"] * 3)), 5).hashes.tolist())
"""


def kernels() -> dict[str, Any]:
    found = {}
    for name in MODULES:
        module = import_module(f"tasks.clean.near.{name}")
        found |= {
            f"{name}.{key}": value
            for key, value in vars(module).items()
            if isinstance(value, Dispatcher) and value.__module__ == module.__name__
        }
    return found


def use_everything(folder: Path) -> None:
    """Each kernel on columns of several forms: whole, part, empty."""
    from tasks.clean.near.contamination import EvaluationIndex, overlaps
    from tasks.clean.near.paragraphs import first_paragraphs, paragraphs_of, read_paragraphs, without, write_paragraphs
    from tasks.clean.near.sketch import sketch_of, write_sketch

    texts = column([*planted(60, 0), *from_a_template(40, 0, slots=2), "", None, "é"])
    chosen = NearDuplicateSettings(max_bucket=4)
    paths = []
    for number, part in enumerate((texts, texts[3:20], texts[:0])):
        paths.append(folder / str(number))
        write_sketch(sketch_of(part, chosen), paths[-1])
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
    # One that is only called by another one is inside that one's cached code.
    assert {name for name, count in types.items() if not count} <= {"clusters._root", "ngrams._spread", "words._decode"}


def test_no_kernel_uses_one_or_a_number_of_another_file_whose_changes_its_cache_would_not_see() -> None:
    for name, compiled in kernels().items():
        there = vars(import_module(compiled.__module__))
        used = {word: there[word] for word in compiled.py_func.__code__.co_names if word in there}
        assert not [word for word, value in used.items() if isinstance(value, int | float | np.generic)], name
        called = [value for value in used.values() if isinstance(value, Dispatcher)]
        assert all(value.__module__ == compiled.__module__ for value in called), name


def test_a_kernel_works_where_nothing_can_be_cached() -> None:
    namespace: dict[str, Any] = {}
    exec(compile("def double(x):\n    return 2 * x\n", "<no file>", "exec"), namespace)
    double = kernel(namespace["double"])
    assert double(21) == 42 and isinstance(double, Dispatcher)


def test_processes_that_compile_at_the_same_time_get_the_same(tmp_path: Path) -> None:
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    run = [sys.executable, "-c", WORDS]
    started = [subprocess.Popen(run, cwd=ROOT, env=environment, stdout=subprocess.PIPE) for _ in range(2)]
    outputs = {process.communicate(timeout=300)[0] for process in started}
    assert [process.returncode for process in started] == [0, 0]
    again = subprocess.run(run, cwd=ROOT, env=environment, capture_output=True, check=True)
    assert outputs == {again.stdout} and again.stdout
    assert list((tmp_path / "cache").rglob("*.nbi"))
