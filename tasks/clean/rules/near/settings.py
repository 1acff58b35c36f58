"""Recipe keys for near-duplicates, contamination and repeated paragraphs."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from tasks.stage.settings import Section

Count = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(gt=0, le=1)]

MAX_HASHES = 4096


class NearDuplicateSettings(Section):
    """Near-duplicate detection by the Jaccard similarity of word n-grams (shingles).

    MinHash with banding finds candidates (Broder 1997; Leskovec, Rajaraman and Ullman 2014, section 3.4; Lee et al.
    2021, arXiv 2107.06499, section 4.2); each candidate pair is then compared exactly. A pair of similarity s becomes a
    candidate with probability 1 - (1 - s^rows)^bands: 0.9996 at 0.8 with 20 bands of 5 rows, 0.924 with FineWeb's 14
    of 8.
    """

    ngram: Count = 5
    """Words per shingle. A shorter document is one shingle."""
    threshold: Share = 0.8
    """Minimum Jaccard similarity of near-duplicates."""
    bands: Count = 20
    """Number of MinHash bands; a pair that matches in any band is compared."""
    rows: Count = 5
    """MinHash values per band."""
    max_bucket: Annotated[int, Field(ge=2, le=1024)] = 64
    """All pairs are compared in buckets (documents that match in a band) of up to this size. In larger ones, typical of
    templated text, documents are compared only with the `leaders`, which keeps the work linear."""
    leaders: Count = 4
    """Leaders per large bucket: its first document, then the first one unlike all previous leaders, and so on."""
    seed: int = 0
    """Seed of the MinHash functions."""

    @model_validator(mode="after")
    def _signature_of_a_sensible_size(self) -> Self:
        if (hashes := self.bands * self.rows) > MAX_HASHES:
            raise ValueError(f"bands {self.bands} × rows {self.rows} = {hashes}, more than {MAX_HASHES}")
        return self


class ContaminationSettings(Section):
    """Drops documents that overlap with evaluation texts in word n-grams.

    The default of 13 words follows GPT-3, which used 8 to 13 (Brown et al. 2020, arXiv 2005.14165, appendix C).
    """

    ngram: Count = 13
    """Words per n-gram."""
    min_words: Count = 8
    """Evaluation texts with fewer words than `ngram` are matched as a whole; those with fewer than `min_words` are
    skipped, since a few words can match by chance."""
    min_ngrams: Count = 1
    """A document is dropped if it contains at least this many n-grams of the evaluation texts…"""
    min_share: Annotated[float, Field(ge=0, le=1)] = 0.0
    """…and they cover at least this fraction of its words."""

    boilerplate: Share | None = 0.1
    """N-grams in more than this fraction of all documents, and in at least five, are boilerplate, such as a licence,
    and do not count. Null counts all."""
    sides: Annotated[tuple[Literal["text", "target"], ...], Field(min_length=1)] | None = None
    """What is compared. Default: texts and targets, of conversations the questions (`text`) only. The same answer to
    different questions: `{sides: [target], min_words: 1, min_share: 1}`."""
    files: tuple[str, ...] = ()
    """Evaluation sets in addition to the test split: .parquet, .jsonl or .txt files, or folders of them. Every string
    in a file counts, except the roles of conversations."""

    @model_validator(mode="after")
    def _lengths_in_order(self) -> Self:
        if self.min_words > self.ngram:
            raise ValueError(f"min_words {self.min_words} is more than ngram {self.ngram}")
        return self


class ParagraphSettings(Section):
    """Removes paragraphs with the same words as an earlier one in the corpus."""

    separator: Literal["blank_line", "line"] = "blank_line"
    """Paragraph separator."""
    min_words: Count = 5
    """Shorter paragraphs always stay: headings, names, list items."""
