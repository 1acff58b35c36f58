"""Published quality rules for web text, with their published thresholds; null disables a rule.

Light to import: checking a recipe does not load the kernels.
"""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from tasks.stage.settings import Section

Count = Annotated[int, Field(ge=1)]
Ratio = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Character = Annotated[str, Field(min_length=1, max_length=1)]
Phrase = Annotated[str, Field(min_length=1, pattern=r"^[^A-Z\n]+$")]
"""Part of a line, in lower case; ASCII letters match in either case."""
Word = Annotated[str, Field(min_length=1, pattern=r"^\S+$")]


class GopherQuality(Section):
    """Gopher (Rae et al. 2021, arXiv 2112.11446), section A1.1, quality filtering."""

    min_words: Count | None = 50
    """Minimum number of words that are not only punctuation."""
    max_words: Count | None = 100_000
    """Maximum of the same count."""
    min_mean_word_length: Ratio | None = 3
    """Minimum mean length, in characters, of the words counted above."""
    max_mean_word_length: Ratio | None = 10
    """Maximum of the same mean."""
    max_hashes_per_word: Ratio | None = 0.1
    """Maximum ratio of `#` to all words and marks."""
    max_ellipses_per_word: Ratio | None = 0.1
    """Maximum ratio of `...` and `…` to all words and marks."""
    max_bullet_lines: Share | None = 0.9
    """Maximum share of lines that begin with a bullet."""
    max_ellipsis_lines: Share | None = 0.3
    """Maximum share of lines that end in an ellipsis."""
    min_alphabetic_words: Share | None = 0.8
    """Minimum share of words with a letter among all words and marks."""
    min_stop_words: Count | None = 2
    """Minimum number of distinct `stop_words` in the text."""
    stop_words: tuple[Word, ...] = ("the", "be", "to", "of", "and", "that", "have", "with")
    """The paper's list, which is English; for other languages list your own, or set `min_stop_words` to null. Matching
    is case-sensitive."""
    bullets: tuple[Character, ...] = ("•", "-")
    """Characters that begin a list item. The paper names none; these two are FineWeb's."""

    @model_validator(mode="after")
    def _bounds_in_order(self) -> Self:
        for least, most in (("min_words", "max_words"), ("min_mean_word_length", "max_mean_word_length")):
            low, high = getattr(self, least), getattr(self, most)
            if low is not None and high is not None and high < low:
                raise ValueError(f"{most} {high} is less than {least} {low}")
        if self.min_stop_words is not None and self.min_stop_words > len(set(self.stop_words)):
            raise ValueError(f"min_stop_words {self.min_stop_words} exceeds the {len(set(self.stop_words))} stop_words")
        return self


class GopherRepetition(Section):
    """Gopher (Rae et al. 2021, arXiv 2112.11446), section A1.1, repetition removal, table A1.

    Every occurrence after the first is a duplicate. Shares of characters are of all characters in the document,
    including white space.
    """

    max_duplicate_lines: Share | None = 0.3
    """Maximum share of duplicate lines."""
    max_duplicate_paragraphs: Share | None = 0.3
    """Maximum share of duplicate paragraphs."""
    max_duplicate_line_characters: Share | None = 0.2
    """Maximum share of characters in duplicate lines."""
    max_duplicate_paragraph_characters: Share | None = 0.2
    """Maximum share of characters in duplicate paragraphs."""
    max_top_2_gram_characters: Share | None = 0.2
    """Maximum share taken by the most frequent 2-gram: its characters times its count, at most 1."""
    max_top_3_gram_characters: Share | None = 0.18
    """The same for 3-grams."""
    max_top_4_gram_characters: Share | None = 0.16
    """The same for 4-grams."""
    max_duplicate_5_gram_characters: Share | None = 0.15
    """Maximum share of characters in duplicate 5-grams, each counted once."""
    max_duplicate_6_gram_characters: Share | None = 0.14
    """The same for 6-grams."""
    max_duplicate_7_gram_characters: Share | None = 0.13
    """The same for 7-grams."""
    max_duplicate_8_gram_characters: Share | None = 0.12
    """The same for 8-grams."""
    max_duplicate_9_gram_characters: Share | None = 0.11
    """The same for 9-grams."""
    max_duplicate_10_gram_characters: Share | None = 0.1
    """The same for 10-grams."""


class C4(Section):
    """C4 (Raffel et al. 2019, arXiv 1910.10683), section 2.2, and its code: drops lines and documents.

    As published, lines that stay lose surrounding white space, and blank lines are dropped as too short. The paper's
    list of bad words and its deduplication of three-sentence spans are not included.
    """

    terminal_marks: tuple[Character, ...] | None = (".", "?", "!", '"', "'")
    """Drop lines that end in none of these, and lines that end in `...`."""
    min_words_per_line: Count | None = 3
    """Drop lines with fewer words, separated by white space; the journal version of the paper says 5."""
    max_word_length: Count | None = 1000
    """Drop lines with a longer word, in characters."""
    script_phrases: tuple[Phrase, ...] | None = ("javascript",)
    """Drop lines with one of these: they ask readers to enable scripts."""
    policy_phrases: tuple[Phrase, ...] | None = (
        "terms of use",
        "privacy policy",
        "cookie policy",
        "uses cookies",
        "use of cookies",
        "use cookies",
    )
    """Drop lines with one of these."""
    citations: Literal["remove", "keep"] = "remove"
    """Wikipedia's `[12]`, `[]`, `[edit]` and `[citation needed]`, and those that appear once nested ones are removed.
    C4's code leaves the space before a final citation, so the line fails `terminal_marks`; here it is removed too."""
    placeholder_phrases: tuple[Phrase, ...] | None = ("lorem ipsum",)
    """Drop documents with one of these in a line that no earlier rule dropped."""
    code_phrases: tuple[Phrase, ...] | None = ("{",)
    """Drop documents with one of these in a line that no earlier rule dropped."""
    min_sentences: Count | None = 5
    """Drop documents with fewer sentences in the remaining lines; the journal version says 3. A document with no line
    left is dropped even if this is null."""


class FineWeb(Section):
    """FineWeb (Penedo et al. 2024, arXiv 2406.17557), section 3.6. Shares of lines exclude blank lines."""

    min_punctuated_lines: Share | None = 0.12
    """Minimum share of lines that end in terminal punctuation of any script."""
    max_short_lines: Share | None = 0.67
    """Maximum share of short lines."""
    short_line_characters: Count = 30
    """Maximum characters of a short line."""
    max_duplicate_line_characters: Share | None = 0.01
    """Maximum share of characters in duplicate lines, among all characters except line ends."""
    max_newlines_per_word: Ratio | None = 0.3
    """Maximum ratio of newlines to all words and marks."""


PRESETS: dict[str, dict[str, dict[str, Any]]] = {
    "none": {},
    "gopher": {"gopher_repetition": {}, "gopher_quality": {}},
    "c4": {"c4": {}},
    "fineweb": {"gopher_repetition": {}, "gopher_quality": {}, "c4": {"terminal_marks": None}, "fineweb": {}},
}
"""Sections that each preset enables, and the keys it sets. FineWeb does not drop lines by how they end (section 3.5 of
its paper)."""

SECTIONS: dict[str, type[Section]] = {
    "gopher_repetition": GopherRepetition,
    "gopher_quality": GopherQuality,
    "c4": C4,
    "fineweb": FineWeb,
}
"""In the order in which they apply, which is FineWeb's."""


class QualitySettings(Section):
    """Rules about single texts, in FineWeb's order: Gopher's repetition and quality, C4, FineWeb's own.

    In scripts without spaces, two ideographs or kana, or four letters of Thai, Lao, Khmer, Burmese or Tibetan, count as
    one word; as one of five characters for its mean length.

    The preset enables sections. A section set next to it is on too, with its own keys; a section set to null is off:
    `{preset: fineweb, gopher_quality: {min_words: 20}, c4: null}`.
    """

    preset: Literal["none", "gopher", "c4", "fineweb"] = "none"
    """Groups of rules to enable."""
    gopher_repetition: GopherRepetition | None = None
    """Gopher's repetition rules."""
    gopher_quality: GopherQuality | None = None
    """Gopher's quality rules."""
    c4: C4 | None = None
    """C4's rules for lines and documents."""
    fineweb: FineWeb | None = None
    """FineWeb's own rules."""

    @model_validator(mode="after")
    def _switch_on(self) -> Self:
        """Fill in the preset's sections, but keep what was given: null sections and the values of keys.

        Runs after validation, because pydantic converts JSON input to stricter Python values first.
        """
        for name, content in PRESETS[self.preset].items():
            section = self.sections[name]
            if section is None and name not in self.model_fields_set:
                self.__dict__[name] = SECTIONS[name](**content)
            elif section is not None:
                own = {key: value for key, value in content.items() if key not in section.model_fields_set}
                self.__dict__[name] = section.model_copy(update=own)
        return self

    @property
    def sections(self) -> dict[str, Section | None]:
        """By name, in the order in which they apply; None is off."""
        return {name: getattr(self, name) for name in SECTIONS}
