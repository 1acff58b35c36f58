"""Published rules for web text, every threshold as published; null switches a rule off.

Reads nothing, imports nothing heavy: a recipe is checked without the kernels.
"""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from tasks.stage.settings import Section

Count = Annotated[int, Field(ge=1)]
Ratio = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Character = Annotated[str, Field(min_length=1, max_length=1)]
Phrase = Annotated[str, Field(min_length=1, pattern=r"^[^A-Z\n]+$")]
"""Part of a line, in lower case; letters of ASCII are found in either case."""
Word = Annotated[str, Field(min_length=1, pattern=r"^\S+$")]


class GopherQuality(Section):
    """Gopher (Rae et al. 2021, arXiv 2112.11446), section A1.1, quality filtering."""

    min_words: Count | None = 50
    """Words with something other than punctuation in them."""
    max_words: Count | None = 100_000
    """Upper bound of the same count."""
    min_mean_word_length: Ratio | None = 3
    """Characters, over the words that are counted above."""
    max_mean_word_length: Ratio | None = 10
    """Upper bound of the same mean."""
    max_hashes_per_word: Ratio | None = 0.1
    """`#`, over all words and marks."""
    max_ellipses_per_word: Ratio | None = 0.1
    """`...` or `…`, over all words and marks."""
    max_bullet_lines: Share | None = 0.9
    """Lines that begin with a bullet, of all lines."""
    max_ellipsis_lines: Share | None = 0.3
    """Lines that end in an ellipsis, of all lines."""
    min_alphabetic_words: Share | None = 0.8
    """Words with a letter, of all words and marks."""
    min_stop_words: Count | None = 2
    """Different words of `stop_words` that are there."""
    stop_words: tuple[Word, ...] = ("the", "be", "to", "of", "and", "that", "have", "with")
    """Those of the paper are English. They are sought as they are written here, in lower case."""
    bullets: tuple[Character, ...] = ("•", "-")
    """What a line of a list begins with. The paper does not say; these two are FineWeb's."""

    @model_validator(mode="after")
    def _bounds_in_order(self) -> Self:
        for least, most in (("min_words", "max_words"), ("min_mean_word_length", "max_mean_word_length")):
            low, high = getattr(self, least), getattr(self, most)
            if low is not None and high is not None and high < low:
                raise ValueError(f"{most} {high} is less than {least} {low}")
        if self.min_stop_words is not None and self.min_stop_words > len(set(self.stop_words)):
            raise ValueError(f"min_stop_words {self.min_stop_words}, of {len(set(self.stop_words))} stop_words")
        return self


class GopherRepetition(Section):
    """Gopher (Rae et al. 2021, arXiv 2112.11446), section A1.1, repetition removal, table A1.

    What is there for the second time, or more often, is a duplicate. A share of characters is one of all characters of
    the document, white space included.
    """

    max_duplicate_lines: Share | None = 0.3
    """Duplicate lines, of all lines."""
    max_duplicate_paragraphs: Share | None = 0.3
    """Duplicate paragraphs, of all paragraphs."""
    max_duplicate_line_characters: Share | None = 0.2
    """Characters of duplicate lines."""
    max_duplicate_paragraph_characters: Share | None = 0.2
    """Characters of duplicate paragraphs."""
    max_top_2_gram_characters: Ratio | None = 0.2
    """Characters of the most frequent 2-gram, times how often it is there."""
    max_top_3_gram_characters: Ratio | None = 0.18
    """The same for 3-grams."""
    max_top_4_gram_characters: Ratio | None = 0.16
    """The same for 4-grams."""
    max_duplicate_5_gram_characters: Share | None = 0.15
    """Characters within duplicate 5-grams, each counted once."""
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
    """C4 (Raffel et al. 2019, arXiv 1910.10683), section 2.2, and its code: which lines go, and which documents.

    A line that stays loses the white space around it, and blank lines go with the short ones, as published. The
    paper's list of bad words is not among the rules, nor is its rule about three sentences seen elsewhere.
    """

    terminal_marks: tuple[Character, ...] | None = (".", "?", "!", '"', "'")
    """Lines that end in none of these go, and those that end in `...`."""
    min_words_per_line: Count | None = 3
    """Lines of fewer words (between white space) go; the journal's version of the paper says 5."""
    max_word_length: Count | None = 1000
    """Lines with a longer word, in characters, go."""
    script_phrases: tuple[Phrase, ...] | None = ("javascript",)
    """Lines with one of these go: they say that a script should be switched on."""
    policy_phrases: tuple[Phrase, ...] | None = (
        "terms of use",
        "privacy policy",
        "cookie policy",
        "uses cookies",
        "use of cookies",
        "use cookies",
    )
    """Lines with one of these go."""
    citations: Literal["remove", "keep"] = "remove"
    """Marks of Wikipedia: `[12]`, `[]`, `[edit]`, `[citation needed]`, and what is one once those within it are gone.
    C4's code takes a blank before the last one for the end of its line; here it goes too."""
    placeholder_phrases: tuple[Phrase, ...] | None = ("lorem ipsum",)
    """Documents with one of these, in a line that was not dropped before, are dropped."""
    code_phrases: tuple[Phrase, ...] | None = ("{",)
    """Documents with one of these, in a line that was not dropped before, are dropped."""
    min_sentences: Count | None = 5
    """Documents with fewer sentences in the lines that stay are dropped; the journal's version says 3. A document of
    which no line stays is dropped without this too."""


class FineWeb(Section):
    """FineWeb (Penedo et al. 2024, arXiv 2406.17557), section 3.6. Of lines that are not blank."""

    min_punctuated_lines: Share | None = 0.12
    """Lines that end in terminal punctuation of any script."""
    max_short_lines: Share | None = 0.67
    """Short lines, of all lines."""
    short_line_characters: Count = 30
    """A line of so many characters is short."""
    max_duplicate_line_characters: Share | None = 0.01
    """Characters of lines that were there before, of all characters but line ends."""
    max_newlines_per_word: Ratio | None = 0.3
    """Over all words and marks."""


PRESETS: dict[str, dict[str, dict[str, Any]]] = {
    "none": {},
    "gopher": {"gopher_repetition": {}, "gopher_quality": {}},
    "c4": {"c4": {}},
    "fineweb": {"gopher_repetition": {}, "gopher_quality": {}, "c4": {"terminal_marks": None}, "fineweb": {}},
}
"""Which sections are on, and what they set. FineWeb drops no line for how it ends (section 3.5 of its paper)."""

SECTIONS: dict[str, type[Section]] = {
    "gopher_repetition": GopherRepetition,
    "gopher_quality": GopherQuality,
    "c4": C4,
    "fineweb": FineWeb,
}
"""In the order in which they are asked: FineWeb's."""


class QualitySettings(Section):
    """Rules about one document's text, in FineWeb's order: Gopher's repetition and quality, C4, FineWeb's own.

    The preset says which sections are on; a section given beside it is on too, with what it sets, and one that is null
    is off: `{preset: fineweb, gopher_quality: {min_words: 20}, c4: null}`.
    """

    preset: Literal["none", "gopher", "c4", "fineweb"] = "none"
    """Which groups of rules are on."""
    gopher_repetition: GopherRepetition | None = None
    """Gopher's rules about repetition."""
    gopher_quality: GopherQuality | None = None
    """Gopher's rules about quality."""
    c4: C4 | None = None
    """C4's rules about lines and documents."""
    fineweb: FineWeb | None = None
    """FineWeb's own rules."""

    @model_validator(mode="after")
    def _switch_on(self) -> Self:
        """Fill in the sections of the preset, but for what was given: a null stays one, and a key keeps its value.

        Afterwards, as pydantic changes what is read from JSON to stricter Python values before.
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
        """By name, in the order in which they are asked; None is off."""
        return {name: getattr(self, name) for name in SECTIONS}
