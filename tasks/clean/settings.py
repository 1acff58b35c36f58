"""The recipe's section `clean`."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from tasks.contract.settings import Section

Count = Annotated[int, Field(ge=1)]
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


class CleanSettings(Section):
    """How text is rewritten, what is dropped, and how the rest is split."""

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
    min_characters: Count = 1
    """Shorter documents are dropped; an empty one always is."""
    max_characters: Count | None = None
    """Longer documents are dropped."""
    min_words: Count | None = None
    """Documents of fewer words (between white space) are dropped."""
    max_words: Count | None = None
    """Documents of more words are dropped."""
    exact_duplicates: Literal["drop", "keep"] = "drop"
    """Of documents whose cleaned text is the same, only the first in corpus order stays."""
    splits: SplitSettings = SplitSettings()

    @model_validator(mode="after")
    def _bounds_in_order(self) -> Self:
        for unit in ("characters", "words"):
            least, most = getattr(self, f"min_{unit}"), getattr(self, f"max_{unit}")
            if least is not None and most is not None and most < least:
                raise ValueError(f"max_{unit} {most} is less than min_{unit} {least}")
        return self
