"""The recipe's section `clean`."""

import json
import re
from collections.abc import Iterator
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from tasks.clean.rules.blocked.settings import BlockedWords
from tasks.clean.rules.language.settings import LanguageSettings
from tasks.clean.rules.length import Lengths
from tasks.clean.rules.near.settings import ContaminationSettings, NearDuplicateSettings, ParagraphSettings
from tasks.clean.rules.privacy.settings import PrivacySettings
from tasks.clean.rules.quality.settings import C4, GopherQuality, QualitySettings
from tasks.formats.corpus import Column
from tasks.stage.problems import problems
from tasks.stage.settings import Section

OTHER_FULL_STOPS = re.compile("am|bn|bo|dz|hi|hy|ja|km|lo|mr|my|ne|or|pa|sa|th|ur|wuu|yue|zh")
"""Languages whose sentences end in other marks than a full stop, or in none."""
NO_FULL_STOPS = re.compile("bo|dz|th")
"""Languages whose sentences end in no mark that Unicode calls terminal punctuation."""

Share = Annotated[float, Field(ge=0, lt=1)]


class SplitSettings(Section):
    """Fractions of groups held out for validation and test. A group never spans two splits."""

    validation: Share = 0.05
    """Fraction of groups used for validation during training."""
    test: Share = 0.1
    """Fraction of groups the trained model is scored on."""
    seed: int = 0
    """Changing the seed reassigns groups to splits."""
    validation_groups: tuple[str, ...] = ()
    """Groups always assigned to validation, regardless of their hash."""
    test_groups: tuple[str, ...] = ()
    """Groups always assigned to test, regardless of their hash."""

    @model_validator(mode="after")
    def _leave_something_to_train_on(self) -> Self:
        if self.validation + self.test >= 1:
            raise ValueError(f"validation {self.validation} and test {self.test} leave nothing to train on")
        if both := sorted(set(self.validation_groups) & set(self.test_groups)):
            raise ValueError(f"{', '.join(map(repr, both))}: in both validation_groups and test_groups")
        return self


WHOLE = {
    "exact_duplicates", "near_duplicates", "duplicate_paragraphs", "contamination", "min_documents_per_label",
    "sources", "across_sources",
}  # fmt: skip
"""Keys that cannot differ between the sources of a mixture: they compare or count documents."""


def _over(whole: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    """`own` laid over `whole`, mapping by mapping."""
    both = {
        key: _over(whole[key], value)
        for key, value in own.items()
        if isinstance(value, dict) and isinstance(whole.get(key), dict)
    }
    return {**whole, **own, **both}


class CleanSettings(Lengths):
    """How texts and targets are normalized, which documents are dropped, and how the rest is split.

    The length bounds at this level apply to the text. Conversations: the text is what is asked, the target what the
    assistant answers. Every turn is repaired, masked and searched for blocked words; quality rules judge each answer.
    """

    html: Literal["keep", "text", "main"] = "keep"
    """Converts HTML to plain text: `text` extracts all visible text, `main` skips menus, footers and other boilerplate
    (very deeply nested pages always get `text`). Entities such as `&amp;` are replaced in texts without tags, too. A
    page that displays tags as text yields them literally, and a second cleaning would treat them as tags."""
    mojibake: Literal["repair", "keep"] = "repair"
    """`repair` fixes UTF-8 that was decoded with the wrong encoding (`cafÃ©` becomes `café`). What may be correct
    text stays: `«MAÇÃ»`."""
    unicode: Literal["NFC", "NFKC", "none"] = "NFC"
    """Normalization form (UAX #15). NFKC also replaces ligatures, full-width letters and other variants."""
    control_characters: Literal["remove", "keep"] = "remove"
    """C0 and C1 control characters, including NUL and DEL. Line breaks and tabs always stay."""
    zero_width: Literal["spaces", "all", "none"] = "spaces"
    """Invisible characters to remove: `spaces` removes those without meaning in any script (byte order mark, zero-width
    space, word joiner); `all` also removes joiners and direction marks, which Persian, Indic scripts and emoji need."""
    trailing_blanks: Literal["remove", "keep"] = "remove"
    """White space at the ends of lines."""
    max_blank_lines: Annotated[int, Field(ge=0)] | None = 2
    """Maximum number of consecutive blank lines; those at either end of a document are removed. Null keeps all."""
    target: Lengths = Lengths()
    """Pairs: length bounds of the target. Conversations: of all answers together."""
    max_length_ratio: Annotated[float, Field(ge=1)] | None = None
    """Pairs: drops a document if its longer side has more than this many times the words of the shorter one. Meant for
    translations; Moses uses 9. Words are separated by white space; in scripts without spaces, two ideographs or kana,
    or four letters of Thai, Lao, Khmer, Burmese or Tibetan, count as one word."""
    identical_sides: Literal["keep", "drop"] = "keep"
    """Pairs: `drop` removes documents with identical text and target, such as untranslated sentences."""
    languages: LanguageSettings | None = None
    """Drops documents in other languages: `{text: en, target: fr}`."""
    quality: QualitySettings = QualitySettings()
    """Published quality rules for web text, off by default: `{preset: fineweb}`."""
    blocked_words: BlockedWords | None = None
    """Drops documents that contain words from your list."""
    privacy: PrivacySettings | None = None
    """Replaces personal data and secrets, or drops the documents that contain them. `{}` uses the defaults."""
    min_documents_per_label: Annotated[int, Field(ge=2)] | None = None
    """Classes: drops the documents of every label that has fewer documents than this."""
    exact_duplicates: Literal["drop", "keep"] = "drop"
    """`drop` keeps one document per cleaned text: test before validation before train, then the first in corpus order.
    Targets and labels are ignored, so a text with two translations or labels never lands in two splits. Of
    conversations, all turns count."""
    near_duplicates: NearDuplicateSettings | None = None
    """Keeps one of several near-identical documents, chosen as for `exact_duplicates`. `{}` uses the defaults."""
    duplicate_paragraphs: ParagraphSettings | None = None
    """Removes repeated paragraphs, from training documents first. `{}` uses the defaults."""
    contamination: ContaminationSettings | None = None
    """Drops training and validation documents that share word n-grams with the test split. `{}` uses the defaults."""
    splits: SplitSettings = SplitSettings()
    """Which groups are held out for validation and test."""
    sources: dict[str, dict[str, Any]] = Field(default_factory=dict, exclude_if=lambda given: not given)
    """Mixtures: by the name of a source, the keys of this section that differ for its documents, such as
    `{bible: {min_words: 5}}`. Rules that compare documents hold for the whole corpus."""
    across_sources: bool = Field(True, exclude_if=lambda given: given)
    """Mixtures: whether documents of different sources are compared, too. `false` if two sources share their texts and
    differ in the targets, such as translations into two languages."""

    @model_validator(mode="after")
    def _sources_differ_in_valid_keys(self) -> Self:
        found: list[str] = []
        for name, own in self.sources.items():
            found += [f"sources.{name}.{key}: holds for the whole corpus; remove it here" for key in WHOLE & own.keys()]
            try:
                self.of(name)
            except ValidationError as error:
                found += problems(error, CleanSettings, self._merged(name), f"sources.{name}")
        if found:
            raise ValueError("\n".join(found))
        return self

    def of(self, part: str | None) -> "CleanSettings":
        """The settings for the documents of a source; those of the section if it names none."""
        if part not in self.sources:
            return self
        return CleanSettings.model_validate_json(json.dumps(self._merged(part)))

    def _merged(self, part: str) -> dict[str, Any]:
        whole = self.model_dump(mode="json", exclude_unset=True, exclude={"sources"})
        return _over(whole, self.sources[part])

    @model_validator(mode="after")
    def _quality_rules_know_the_language(self) -> Self:
        language = self.languages.text if self.languages else None
        gopher, c4, found = self.quality.gopher_quality, self.quality.c4, []
        english = gopher is not None and gopher.min_stop_words and gopher.stop_words == GopherQuality().stop_words
        if english and language not in (None, "en"):
            found.append(
                f"quality.gopher_quality: the stop_words are English, so every text in {language} would be dropped; "
                f"list words of {language}, or set min_stop_words to null"
            )
        if c4 is not None and c4.terminal_marks == C4().terminal_marks and OTHER_FULL_STOPS.fullmatch(language or ""):
            found.append(
                f"quality.c4: no sentence in {language} ends in the terminal_marks, so every line would be dropped; "
                f"list the marks of {language}, or set terminal_marks to null"
            )
        fineweb = self.quality.fineweb
        if fineweb is not None and fineweb.min_punctuated_lines and NO_FULL_STOPS.fullmatch(language or ""):
            found.append(
                f"quality.fineweb: no sentence in {language} ends in terminal punctuation, so every text would be "
                "dropped; set min_punctuated_lines to null"
            )
        if found:
            raise ValueError("\n".join(found))
        return self

    def not_for_conversations(self) -> Iterator[str]:
        """What is set but does not fit conversations; each line begins with the key."""
        if self.duplicate_paragraphs is not None:
            yield (
                "duplicate_paragraphs: not for conversations, since a question or an answer without a paragraph is "
                "another one; use near_duplicates"
            )

    def keys_about(self, column: Column) -> list[str]:
        """Keys that are set but need a column the corpus lacks: `target`, `languages.target`."""
        given: dict[str, dict[str, bool]] = {
            "target": {
                "target": self.target != Lengths(),
                "max_length_ratio": self.max_length_ratio is not None,
                "identical_sides": self.identical_sides == "drop",
                "languages.target": self.languages is not None and self.languages.target is not None,
            },
            "label": {"min_documents_per_label": self.min_documents_per_label is not None},
        }
        return [key for key, is_set in given.get(column, {}).items() if is_set]
