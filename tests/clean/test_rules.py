import pytest

from tasks.clean.rules import Verdict, rules_of
from tasks.clean.settings import CleanSettings
from tasks.contract.errors import RecipeError
from tasks.contract.settings import validate


def verdict(text: str, **settings: int) -> Verdict | None:
    rules = rules_of(CleanSettings(**settings))
    return next((found for rule in rules if (found := rule(text)) is not None), None)


def test_an_empty_text_never_stays() -> None:
    assert verdict("") == Verdict("too_few_characters", "0", "1")


@pytest.mark.parametrize(
    ("text", "settings", "expected"),
    [
        ("abc", {"min_characters": 4}, Verdict("too_few_characters", "3", "4")),
        ("abcd", {"min_characters": 4}, None),
        ("abcde", {"max_characters": 4}, Verdict("too_many_characters", "5", "4")),
        ("abcd", {"max_characters": 4}, None),
        ("a b\nc", {"min_words": 4}, Verdict("too_few_words", "3", "4")),
        ("a b\nc", {"min_words": 3}, None),
        ("a b\u3000c", {"max_words": 2}, Verdict("too_many_words", "3", "2")),
        ("a b", {"max_words": 2}, None),
    ],
)
def test_bounds_are_inclusive(text: str, settings: dict[str, int], expected: Verdict | None) -> None:
    assert verdict(text, **settings) == expected


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"min_words": 5, "max_words": 4}, "max_words 4 is less than min_words 5"),
        ({"min_words": "5"}, "clean.min_words: "),
        ({"min_word": 5}, "clean.min_word: unknown key"),
        ({"unicode": "NFX"}, "clean.unicode: "),
        ({"splits": {"validation": 0.5, "test": 0.5}}, "clean.splits: validation 0.5 and test 0.5 leave nothing"),
        (
            {"splits": {"test_groups": ["a"], "validation_groups": ["a"]}},
            "'a': in validation_groups and in test_groups",
        ),
    ],
)
def test_a_wrong_setting_is_told_by_its_key(section: dict, message: str, tmp_path) -> None:
    with pytest.raises(RecipeError) as error:
        validate(CleanSettings, section, tmp_path / "x.yaml", "clean")
    assert message in str(error.value)
