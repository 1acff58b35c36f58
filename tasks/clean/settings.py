"""The recipe's section `clean`."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from tasks.clean.rules.blocked.settings import BlockedWords
from tasks.clean.rules.language.settings import LanguageSettings
from tasks.clean.rules.length import Lengths
from tasks.clean.rules.near.settings import ContaminationSettings, NearDuplicateSettings, ParagraphSettings
from tasks.clean.rules.privacy.settings import PrivacySettings
from tasks.clean.rules.quality.settings import QualitySettings
from tasks.stage.settings import Section

Share = Annotated[float, Field(ge=0, lt=1)]


class SplitSettings(Section):
    """What share of the groups is held out, and which. A group is never torn apart."""

    validation: Share = 0.05
    """Share of the groups that are validated on during training."""
    test: Share = 0.1
    """Share of the groups that the trained model is scored on."""
    seed: int = 0
    """Another seed deals the groups anew."""
    validation_groups: tuple[str, ...] = ()
    """Groups that are validation data whatever the hash says."""
    test_groups: tuple[str, ...] = ()
    """Groups that are test data whatever the hash says."""

    @model_validator(mode="after")
    def _leave_something_to_train_on(self) -> Self:
        if self.validation + self.test >= 1:
            raise ValueError(f"validation {self.validation} and test {self.test} leave nothing to train on")
        if both := sorted(set(self.validation_groups) & set(self.test_groups)):
            raise ValueError(f"{', '.join(map(repr, both))}: in validation_groups and in test_groups")
        return self


class CleanSettings(Lengths):
    """How texts and targets are rewritten, which documents are dropped, and how the rest is split.

    The bounds of lengths here are those of the text.
    """

    html: Literal["keep", "text", "main"] = "keep"
    """Documents with tags become what a page shows: all of it, or without menus, footers and the like; a page that is
    nested very deeply becomes all of it either way. Tags that a page shows as text are text, so that cleaning it once
    more would take them for tags."""
    mojibake: Literal["repair", "keep"] = "repair"
    """Text of UTF-8 that was read in another encoding (`cafÃ©`) is made what it was."""
    unicode: Literal["NFC", "NFKC", "none"] = "NFC"
    """Normalisation form of UAX #15. NFKC also turns ligatures, full-width letters and the like into plain ones."""
    control_characters: Literal["remove", "keep"] = "remove"
    """C0 and C1 controls, NUL and DEL. Line ends and tabs always stay."""
    zero_width: Literal["spaces", "all", "none"] = "spaces"
    """Which invisible characters go: those without a meaning in any script (byte order mark, zero-width space, word
    joiner), or also joiners and direction marks (which Persian, Indic scripts and emoji need), or none."""
    trailing_blanks: Literal["remove", "keep"] = "remove"
    """Blanks at the ends of lines."""
    max_blank_lines: Annotated[int, Field(ge=0)] | None = 2
    """Longer runs of blank lines are cut to this many; null leaves them. Those at either end of a document go too."""
    target: Lengths = Lengths()
    """Pairs: bounds of the target."""
    max_length_ratio: Annotated[float, Field(ge=1)] | None = None
    """Pairs: documents are dropped where the longer side has more than so many times the words of the other; for
    translations, whose sides are about as long. Moses takes 9. Words are what stands between white space; of scripts
    without blanks between words, two ideographs or kana are taken for one, or four letters of Thai, Lao, Khmer, Burmese
    or Tibetan."""
    identical_sides: Literal["keep", "drop"] = "keep"
    """Pairs: documents whose target is their text; in translations, what was never translated."""
    languages: LanguageSettings | None = None
    """Documents in other languages are dropped: `{text: en, target: fr}`."""
    quality: QualitySettings = QualitySettings()
    """Published rules about the quality of web text: `{preset: fineweb}`; none unless asked for."""
    blocked_words: BlockedWords | None = None
    """Documents with words of a list go."""
    privacy: PrivacySettings | None = None
    """Personal data and secrets are replaced, or their documents go: `{}` for what is replaced by default."""
    min_documents_per_label: Annotated[int, Field(ge=2)] | None = None
    """Classes: documents of a label that fewer documents of the corpus have are dropped."""
    exact_duplicates: Literal["drop", "keep"] = "drop"
    """Of documents whose cleaned text is the same one stays: one of the test split before one of the validation split
    and one to train on, and the first in corpus order of these. Targets and labels make no difference, so that no text
    is on both sides of a split, with two translations or classes."""
    near_duplicates: NearDuplicateSettings | None = None
    """Of documents whose text is nearly the same one stays, by the same right: `{}`, or what differs from the
    defaults."""
    duplicate_paragraphs: ParagraphSettings | None = None
    """Paragraphs that were there before go, out of documents to train on before others."""
    contamination: ContaminationSettings | None = None
    """Documents to train or validate on that share runs of words with the test split go."""
    splits: SplitSettings = SplitSettings()
    """Which groups are held out for validation and test."""

    def keys_about(self, column: Literal["target", "label"]) -> list[str]:
        """The keys that are set and say nothing of a corpus without that column: `target`, `languages.target`."""
        given = {
            "target": {
                "target": self.target != Lengths(),
                "max_length_ratio": self.max_length_ratio is not None,
                "identical_sides": self.identical_sides == "drop",
                "languages.target": self.languages is not None and self.languages.target is not None,
            },
            "label": {"min_documents_per_label": self.min_documents_per_label is not None},
        }
        return [key for key, is_set in given[column].items() if is_set]
