"""Answers that need no model: that of the nearest training question, and the most frequent one.

The nearest question is the one with the largest cosine of TF-IDF vectors of letter trigrams, within words (Salton and
Buckley 1988; as `char_wb` of scikit-learn); of equal ones, the first. Both answers come from the training text alone.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.evaluate.chat.model import answers_of
from tasks.evaluate.split import read_rows, spaced
from tasks.formats.conversation import Message, questions, read_messages
from tasks.formats.corpus import count_documents
from tasks.stage.errors import DataError

MOST = 100_000
"""Training conversations that are searched; of more, evenly spaced ones."""
LETTERS = 500
"""Of a question, from its end: what is asked usually stands there."""
FEATURES = 1 << 18
COSINES = 1 << 25
"""In memory at a time (128 MiB)."""
SPACES = re.compile(r"\s+")


def asked(messages: Sequence[Message], place: int) -> str:
    """What the answer at this place answers: the turns since the answer before it."""
    before = [other for other in answers_of(messages) if other < place]
    return questions(messages[before[-1] + 1 if before else 0 : place])


class TrainingAnswers:
    """The questions and answers of a training split."""

    def __init__(self, folder: Path) -> None:
        """Reads `clean/train`. Raises DataError if it has no answer."""
        self._answers: list[str] = []
        asked_for: list[str] = []
        chosen = spaced(count_documents(folder), MOST)
        count: Counter[str] = Counter()
        for number, row in enumerate(read_rows(folder, ["messages"])):
            messages = read_messages(row["messages"])
            for place in answers_of(messages):
                answer = messages[place]["content"].strip()
                count[answer] += 1
                if number in chosen:
                    asked_for.append(asked(messages, place))
                    self._answers.append(answer)
        if not count:
            raise DataError(f"{folder}: no answer of a conversation to compare with")
        self.most_frequent = count.most_common(1)[0][0]
        """Of equally frequent answers, the first."""
        self._vectorizer, vectors = _fitted(asked_for)
        self._columns = vectors.T.tocsr()

    def nearest(self, wanted: Sequence[str]) -> Iterator[str]:
        """The training answer to the nearest training question, for each question."""
        step = max(1, COSINES // len(self._answers))
        for start in range(0, len(wanted), step):
            vectors = self._vectorizer.transform(list(map(_end, wanted[start : start + step])))
            cosines: NDArray[np.float32] = (vectors @ self._columns).toarray()
            yield from (self._answers[place] for place in cosines.argmax(axis=1).tolist())


def _fitted(texts: Sequence[str]) -> tuple[Any, Any]:
    from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer
    from sklearn.pipeline import make_pipeline

    counted = HashingVectorizer(
        analyzer=trigrams, n_features=FEATURES, norm=None, alternate_sign=False, dtype=np.float32
    )
    pipeline = make_pipeline(counted, TfidfTransformer(sublinear_tf=True))
    return pipeline, pipeline.fit_transform(list(map(_end, texts)))


def _end(text: str) -> str:
    return text[-LETTERS:]


def trigrams(text: str) -> list[str]:
    """Three letters at a time of each word, a space around it; case and white space do not count."""
    padded = f" {SPACES.sub(' ', text.lower().strip())} "
    return [gram for gram in map("".join, zip(padded, padded[1:], padded[2:], strict=False)) if gram[1] != " "]
