"""The recipe's section `clean.languages`."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from tasks.stage.settings import Section

Language = Annotated[str, Field(pattern=r"^[a-z]{2,3}$")]


class LanguageSettings(Section):
    """Languages of text and target. A document is dropped if a side is identified as another language or, with
    `min_score`, if its expected language is too unlikely."""

    text: Language | None = None
    """Language of the text: an ISO 639-1 code like `en`, or ISO 639-3 for languages without one."""
    target: Language | None = None
    """Pairs: language of the target."""
    threshold: Annotated[float, Field(gt=0, le=1)] = 0.7
    """Minimum probability of another language to drop a document. The model is less sure about names and lists of
    programs, which are in no language."""
    min_score: Annotated[float, Field(gt=0, le=1)] | None = None
    """Minimum probability of the expected language. FineWeb uses 0.65 (Penedo et al. 2024, arXiv 2406.17557), which
    also drops text in no language or in several. Null drops only text clearly in another language; that suits short
    texts and texts full of names, where the model is rarely sure."""
    min_characters: Annotated[int, Field(ge=1)] = 80
    """Shorter texts are not checked. In Debian's package descriptions, most detections below this length were wrong and
    nearly all above it were right."""

    @model_validator(mode="after")
    def _some_side(self) -> Self:
        if self.text is None and self.target is None:
            raise ValueError("set text, target, or both")
        return self
