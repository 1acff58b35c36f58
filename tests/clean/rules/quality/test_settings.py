import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from tasks.clean.rules.quality.settings import C4, PRESETS, FineWeb, GopherQuality, GopherRepetition, QualitySettings
from tasks.clean.settings import CleanSettings
from tasks.stage.errors import RecipeError
from tasks.stage.settings import validate
from tests.scratch import ROOT


def read(**content: Any) -> QualitySettings:
    return validate(QualitySettings, content, Path("recipes/x.yaml"), prefix="clean.quality")


def test_nothing_is_on_unless_asked() -> None:
    assert read() == QualitySettings() == read(preset="none")
    assert set(read().sections.values()) == {None}


@pytest.mark.parametrize(
    ("preset", "on"),
    [
        ("gopher", {"gopher_repetition": GopherRepetition(), "gopher_quality": GopherQuality()}),
        ("c4", {"c4": C4()}),
        (
            "fineweb",
            {
                "gopher_repetition": GopherRepetition(),
                "gopher_quality": GopherQuality(),
                "c4": C4(terminal_marks=None),
                "fineweb": FineWeb(),
            },
        ),
    ],
)
def test_a_preset_is_which_sections_are_on(preset: str, on: dict[str, Any]) -> None:
    assert {name: section for name, section in read(preset=preset).sections.items() if section is not None} == on
    assert preset in PRESETS


def test_what_is_set_beside_a_preset_stays() -> None:
    chosen = read(preset="fineweb", gopher_quality={"min_words": 20}, c4={"min_sentences": 3}, fineweb=None)
    assert chosen.gopher_quality == GopherQuality(min_words=20)
    assert chosen.c4 == C4(terminal_marks=None, min_sentences=3)
    assert chosen.fineweb is None and chosen.gopher_repetition == GopherRepetition()
    assert read(c4={}).c4 == C4()
    assert read(preset="fineweb", c4={"terminal_marks": ["."]}).c4 == C4(terminal_marks=(".",))
    assert QualitySettings.model_validate(chosen.model_dump()) == chosen


def test_thresholds_are_those_that_were_published() -> None:
    quality, repetition, c4, fineweb = GopherQuality(), GopherRepetition(), C4(), FineWeb()
    assert (quality.min_words, quality.max_words) == (50, 100_000)
    assert (quality.min_mean_word_length, quality.max_mean_word_length) == (3, 10)
    assert (quality.max_hashes_per_word, quality.max_ellipses_per_word) == (0.1, 0.1)
    assert (quality.max_bullet_lines, quality.max_ellipsis_lines) == (0.9, 0.3)
    assert (quality.min_alphabetic_words, quality.min_stop_words) == (0.8, 2)
    assert list(repetition.model_dump().values()) == [
        *(0.3, 0.3, 0.2, 0.2, 0.2, 0.18, 0.16),
        *(0.15, 0.14, 0.13, 0.12, 0.11, 0.1),
    ]
    assert (c4.min_words_per_line, c4.max_word_length, c4.min_sentences) == (3, 1000, 5)
    assert list(fineweb.model_dump().values()) == [0.12, 0.67, 30, 0.01, 0.3]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            {"preset": "gofer"},
            'clean.quality.preset: expected one of none, gopher, c4, fineweb, not "gofer"; did you mean gopher?',
        ),
        ({"preset": ["gopher"]}, "recipes/x.yaml: clean.quality.preset: expected one of none, gopher, c4, fineweb"),
        ({"gopher": {}}, "recipes/x.yaml: clean.quality.gopher: unknown key"),
        ({"preset": "gopher", "gopher_quality": {"words": 1}}, "clean.quality.gopher_quality.words: unknown key"),
        ({"preset": "gopher", "gopher_quality": 3}, "clean.quality.gopher_quality: expected a mapping"),
        ({"fineweb": {"max_short_lines": 1.5}}, "clean.quality.fineweb.max_short_lines: "),
        ({"gopher_quality": {"min_words": 9, "max_words": 8}}, "max_words 8 is less than min_words 9"),
        ({"gopher_quality": {"stop_words": ["the"]}}, "min_stop_words 2 exceeds the 1 stop_words"),
        ({"c4": {"policy_phrases": ["Terms"]}}, "clean.quality.c4.policy_phrases.0: "),
        ({"c4": {"terminal_marks": ["..."]}}, "clean.quality.c4.terminal_marks.0: "),
    ],
)
def test_a_wrong_key_is_told_with_its_path(content: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError) as caught:
        read(**content)
    assert message in str(caught.value)


def test_settings_never_change() -> None:
    with pytest.raises(ValidationError):
        QualitySettings().preset = "gopher"


def test_settings_and_rules_load_neither_kernels_nor_arrays() -> None:
    script = (
        "import sys\nimport tasks.clean.rules.quality.settings, tasks.clean.rules.quality.judge\n"
        "print([name for name in ('numba', 'numpy', 'pyarrow') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(("language", "preset", "keys"), [
    ("fr", "gopher", ["gopher_quality"]), ("zh", "fineweb", ["gopher_quality"]), ("th", "c4", ["c4"]),
    ("en", "fineweb", []), ("fr", "c4", []), ("zh", "none", []),
    ("th", "fineweb", ["gopher_quality", "fineweb"]), ("bo", "fineweb", ["gopher_quality", "fineweb"]),
])  # fmt: skip
def test_a_preset_is_refused_for_a_language_of_which_it_would_drop_all(language: str, preset: str, keys: list) -> None:
    content = {"languages": {"text": language}, "quality": {"preset": preset}}
    try:
        validate(CleanSettings, content, Path("recipes/x.yaml"), prefix="clean")
        told = ""
    except RecipeError as error:
        told = str(error)
    assert [key for key in ("gopher_quality", "c4", "fineweb") if f"quality.{key}: " in told] == keys
    if keys:
        own = {"gopher_quality": {"min_stop_words": None}, "c4": {"terminal_marks": ["。"]}}
        own["fineweb"] = {"min_punctuated_lines": None}
        content["quality"] |= {key: own[key] for key in keys}
        validate(CleanSettings, content, Path("recipes/x.yaml"), prefix="clean")
