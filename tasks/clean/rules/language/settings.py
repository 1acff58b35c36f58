"""In which languages the sides of a document are to be."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from tasks.stage.settings import Section

Language = Annotated[str, Field(pattern=r"^[a-z]{2,3}$")]


class LanguageSettings(Section):
    """In which languages the sides are. A document is dropped where a side is identified as another one, or, with
    `min_score`, where it is not identified as its own."""

    text: Language | None = None
    """`en`: a code of ISO 639-1, or of 639-3 for a language without one."""
    target: Language | None = None
    """Pairs: the language of the target."""
    threshold: Annotated[float, Field(gt=0, le=1)] = 0.7
    """The least probability with which the other language must be identified: names and lists of programs are in no
    language, and the model guesses at them with less."""
    min_score: Annotated[float, Field(gt=0, le=1)] | None = None
    """The least probability of the wanted language; FineWeb takes 0.65 (Penedo et al. 2024, arXiv 2406.17557), and so
    drops what is in no language, and what is in several. Null asks for none, and only what is surely in another
    language goes; that suits short texts and those full of names, of whose own language the model is seldom sure."""
    min_characters: Annotated[int, Field(ge=1)] = 80
    """Shorter texts are not judged. Of what was found in Debian's descriptions, most was wrong below this length, a
    line of names and a few words, and nearly all was right above it."""

    @model_validator(mode="after")
    def _some_side(self) -> Self:
        if self.text is None and self.target is None:
            raise ValueError("say of which side: text, target, or both")
        return self
