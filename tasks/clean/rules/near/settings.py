"""Keys of a recipe about documents that are nearly the same, texts of an evaluation set, and repeated paragraphs."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from tasks.stage.settings import Section

Count = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(gt=0, le=1)]

MAX_HASHES = 4096


class NearDuplicateSettings(Section):
    """Which documents count as nearly the same: the Jaccard similarity of their sets of word n-grams (shingles).

    Candidates are found by MinHash and banding (Broder 1997; Leskovec, Rajaraman and Ullman 2014, section 3.4; Lee et
    al. 2021, arXiv 2107.06499, section 4.2), then every one of them is compared exactly. A pair of similarity s is a
    candidate with a chance of 1 - (1 - s^rows)^bands: 0.9996 at 0.8 with 20 bands of 5 rows, 0.924 with FineWeb's 14
    of 8.
    """

    ngram: Count = 5
    """Words of a shingle. A shorter document has one shingle, of all its words."""
    threshold: Share = 0.8
    """The least similarity of a pair that is nearly the same."""
    bands: Count = 20
    """Bands of a signature: a pair that agrees in one of them is compared."""
    rows: Count = 5
    """MinHash values of a band."""
    max_bucket: Annotated[int, Field(ge=2, le=1024)] = 64
    """Of up to so many documents that agree in a band, all pairs are compared. Of more, as a template makes them, all
    are compared with the `leaders` alone, so that the work stays linear."""
    leaders: Count = 4
    """In a larger bucket: its first document, then the first one that is near to none before it, and so on."""
    seed: int = 0
    """Another seed draws other MinHash functions."""

    @model_validator(mode="after")
    def _signature_of_a_sensible_size(self) -> Self:
        if (hashes := self.bands * self.rows) > MAX_HASHES:
            raise ValueError(f"bands {self.bands} of rows {self.rows} are {hashes} values, more than {MAX_HASHES}")
        return self


class ContaminationSettings(Section):
    """Which documents are too much like texts that a model will be evaluated on.

    Overlap in n-grams of 13 words, as for GPT-3 (Brown et al. 2020, arXiv 2005.14165, appendix C), whose own range for
    the length is 8 to 13 words.
    """

    ngram: Count = 13
    """Words of an n-gram."""
    min_words: Count = 8
    """An evaluation text of fewer words than `ngram` is one n-gram, the whole text; one of fewer than this is not
    looked for, since a line of a few words says nothing."""
    min_ngrams: Count = 1
    """A document goes where it has at least so many n-grams of the evaluation texts…"""
    min_share: Annotated[float, Field(ge=0, le=1)] = 0.0
    """…and at least this share of its words is in them."""

    files: tuple[str, ...] = ()
    """Evaluation sets besides the test split: files or folders, .parquet, .jsonl or .txt, every string in them."""

    @model_validator(mode="after")
    def _lengths_in_order(self) -> Self:
        if self.min_words > self.ngram:
            raise ValueError(f"min_words {self.min_words} is more than ngram {self.ngram}")
        return self


class ParagraphSettings(Section):
    """Which paragraphs are removed because they were there before, in corpus order, with the same words."""

    separator: Literal["blank_line", "line"] = "blank_line"
    """What ends a paragraph."""
    min_words: Count = 5
    """Paragraphs of fewer words always stay: headings, names, items of a list."""
