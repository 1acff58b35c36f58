"""What a classifier must beat: the most frequent class, and a linear model on weighted words; both from clean/train.

The linear model is logistic regression on TF-IDF (scikit-learn's, in lower case, of words and pairs of neighbouring
words, term counts on a logarithmic scale). The same on every machine: one thread, no random start.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.evaluate.split import read_rows
from tasks.stage.errors import DataError

MAX_FEATURES = 20_000
"""The most frequent words and pairs, no more: 50,000 gain one point of accuracy on 20 newsgroups, none on Reuters."""

C = 10.0
"""Inverse strength of regularization. scikit-learn's default of 1 is too strong for vectors of length 1 (accuracy 0.954
against 0.971 on Reuters R8), and a baseline shall be as good as it easily can be."""

MAX_BYTES = 32 << 20
"""Text that the linear model learns from: of more, documents at even distances."""


@dataclass(frozen=True)
class Baselines:
    """Learned from a training split."""

    majority: str
    """Its most frequent class; of several, the first by name."""
    documents: int
    """That the linear model learned from."""
    vectorizer: Any
    classifier: Any

    def tfidf(self, texts: Sequence[str]) -> list[str]:
        """The linear model's class of each text."""
        from threadpoolctl import threadpool_limits

        with threadpool_limits(1):
            return [str(label) for label in self.classifier.predict(self.vectorizer.transform(texts))]


def fit_baselines(folder: Path) -> Baselines:
    """Raises DataError for a document without a label, and where there are no words or classes to tell apart."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    size, classes = 0, Counter[str]()
    for row in read_rows(folder, ["id", "text", "label"]):
        if row["label"] is None:
            raise DataError(f"{folder}: document {row['id']} has no label")
        size += len(row["text"].encode("utf-8"))
        classes[row["label"]] += 1
    step = max(1, -(-size // MAX_BYTES))
    labels = [row["label"] for row in _every(folder, step)]
    if len(set(labels)) < 2:
        raise DataError(
            f"{folder}: its {len(labels):,} documents are of {len(set(labels))} classes: nothing to tell apart"
        )
    vectorizer = TfidfVectorizer(
        ngram_range=(1, 2), sublinear_tf=True, max_features=MAX_FEATURES, token_pattern=r"\w+"
    )  # fmt: skip
    with threadpool_limits(1):
        try:
            features = vectorizer.fit_transform(row["text"] for row in _every(folder, step))
        except ValueError as error:  # its only complaint about texts
            raise DataError(f"{folder}: no word in its texts") from error
        classifier = LogisticRegression(C=C, max_iter=1000).fit(features, labels)
    majority = min(classes, key=lambda label: (-classes[label], label))
    return Baselines(majority, len(labels), vectorizer, classifier)


def _every(folder: Path, step: int) -> Iterator[dict[str, Any]]:
    for number, row in enumerate(read_rows(folder, ["text", "label"])):
        if number % step == 0:
            yield row
