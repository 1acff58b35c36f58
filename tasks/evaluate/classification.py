"""Evaluate a classifier: accuracy, precision, recall and F1 on the test split, baselines, confusion matrix.

Precision, recall and F1 are macro averages over the classes that occur in the test split or were predicted; a class
that was never predicted has precision 0 (scikit-learn's `precision_recall_fscore_support` with `zero_division=0`).
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tasks.evaluate.class_baselines import Baselines, fit_baselines
from tasks.evaluate.classifier import Classifier, load_classifier, probabilities
from tasks.evaluate.confusion import draw_confusion
from tasks.evaluate.encoding import encode
from tasks.evaluate.exam import Exam, Row, with_baselines
from tasks.evaluate.inputs import Inputs
from tasks.evaluate.loading import check_tokens
from tasks.evaluate.parts import by_part, columns_with_part, rows_with_part
from tasks.evaluate.scores import DIGITS, write_scores
from tasks.evaluate.settings import ClassEvaluateSettings
from tasks.evaluate.signatures import write_signature
from tasks.evaluate.split import Split, read_rows, shortened, spaced
from tasks.formats.corpus import read_batches
from tasks.stage.errors import DataError
from tasks.stage.progress import progress
from tasks.stage.run import Job, Report
from tasks.stage.task import FAMILIES

VERSION = 1
"""Increment when the same model and text would get a different score."""

SAMPLES = 4
"""Examples of each kind: correct, and wrong with the highest confidence."""

CONFUSIONS = 20
"""Number of confused class pairs in the report, most frequent first."""

CHARACTERS = 400
"""Maximum characters of a text in samples.json."""

COLUMNS = dict.fromkeys(("label", "predicted"), str) | dict.fromkeys(("probability", "label_probability"), float)
"""Columns stored in scores.parquet."""


class ClassScorer:
    """Scores a classifier: the probabilities of each document's classes."""

    columns = COLUMNS

    def __init__(self, exam: Exam, settings: ClassEvaluateSettings) -> None:
        self.classifier = load_classifier(exam.model, settings.precision)
        self.exam, self.settings = exam, settings
        self._rows: list[Row] = []
        self._truncated = 0

    def check_labels(self) -> None:
        """Raises DataError if a test document has a label that the model does not know."""
        folder, names = self.exam.test, self.classifier.names
        known = set(names)
        for row in read_rows(folder, ["id", "label"]):
            if row["label"] not in known:
                raise DataError(
                    f"{folder}: document {row['id']} has label {row['label']!r}, which is not one of the {len(names)}"
                    f" classes of {self.exam.model} ({', '.join(names[:5])}, …)"
                )

    def score(self) -> Iterator[tuple[Row, None]]:
        """A row per document, in corpus order; a label that the model does not know has the probability 0.

        Raises DataError if an output is not finite.
        """
        classifier = self.classifier
        number_of = {name: number for number, name in enumerate(classifier.names)}
        with progress("scoring", self.exam.split.documents, "documents") as shown:
            for batch in read_batches(self.exam.test, ["id", "group", "text", "label"]):
                documents = batch.to_pylist()
                told = [classifier.usage.prefix + row.pop("text") for row in documents]
                ids, cut = encode(classifier.loaded.tokenizer, told, classifier.length)
                self._truncated += sum(cut)
                chances = probabilities(classifier, self.settings, ids, [row["id"] for row in documents])
                for row, own in zip(documents, chances, strict=True):
                    if not np.isfinite(own).all():
                        raise DataError(f"{self.exam.model}: the output for document {row['id']} is not finite")
                    best = int(own.argmax())
                    label = number_of.get(row["label"])
                    scores = {"probability": own[best], "label_probability": 0.0 if label is None else own[label]}
                    row |= {"predicted": classifier.names[best]}
                    row |= {name: round(float(chance), DIGITS) for name, chance in scores.items()}
                    self._rows.append(row)
                    yield row, None
                shown.advance(len(documents))

    def metrics(self) -> dict[str, Any]:
        """Accuracy and the macro averages, counts, and the signature."""
        split = self.exam.split
        return {
            **_averages(*_both(self._rows)),
            "documents": split.documents,
            "bytes": split.bytes,
            "truncated": self._truncated,
            "signature": _signature(self.settings, self.classifier, split),
        }


def evaluate_classification(job: Job, settings: ClassEvaluateSettings) -> Report:
    """Write all outputs of the stage. Raises RecipeError and DataError for errors the user can fix."""
    inputs = Inputs.read(job, "label")
    exam = inputs.exam(job)
    scorer = ClassScorer(exam, settings)
    scorer.check_labels()
    own = scorer.classifier.loaded.tokenizer_hash
    check_tokens(inputs.train.index, job.input("tokens/train"), own, job.input("model"))
    baselines = fit_baselines(job.input("clean/train"))
    rows = [row for row, _ in scorer.score()]
    metrics = with_baselines(scorer.metrics(), _baselines(rows, baselines, exam.test), before="documents")
    metrics |= by_part(inputs.parts, lambda own: _averages(*_both([rows[number] for number in own])))
    columns = columns_with_part(COLUMNS, inputs.parts)
    write_scores(job.output("evaluation/scores.parquet"), rows_with_part(rows, inputs.parts), columns)
    draw_confusion(job.output("evaluation/scores.png"), *_both(rows), job.recipe)
    job.say(
        f"macro F1 {metrics['macro_f1']:.3f}, accuracy {metrics['accuracy']:.3f} on {exam.split.documents:,} documents"
        f" (TF-IDF {metrics['tfidf_macro_f1']:.3f} and {metrics['tfidf_accuracy']:.3f})"
    )
    details = {"tfidf_documents": baselines.documents, "classes": _classes(rows), "confusions": _mixed(rows)}
    return inputs.report(job, metrics, _samples(job, rows), details, unit="document")


def _baselines(rows: Sequence[Row], baselines: Baselines, test: Path) -> dict[str, float]:
    """The metrics of the baselines."""
    texts = (batch.column("text").to_pylist() for batch in read_batches(test, ["text"]))
    predicted = {
        "majority": [baselines.majority] * len(rows),
        "tfidf": [label for part in texts for label in baselines.tfidf(part)],
    }
    labels = [row["label"] for row in rows]
    averages = {name: _averages(labels, guesses) for name, guesses in predicted.items()}
    return {f"{name}_{metric}": value for name, found in averages.items() for metric, value in found.items()}


def _both(rows: Sequence[Row]) -> tuple[list[str], list[str]]:
    """True and predicted classes of all documents."""
    return [row["label"] for row in rows], [row["predicted"] for row in rows]


def _averages(labels: Sequence[str], predicted: Sequence[str]) -> dict[str, float]:
    from sklearn.metrics import accuracy_score, precision_recall_fscore_support

    precision, recall, f1, _ = precision_recall_fscore_support(labels, predicted, average="macro", zero_division=0)
    found = {
        "macro_f1": f1, "accuracy": accuracy_score(labels, predicted), "macro_precision": precision,
        "macro_recall": recall,
    }  # fmt: skip
    return {name: round(float(found[name]), DIGITS) for name in FAMILIES["classification"].metrics}


def _classes(rows: Sequence[Row]) -> list[Row]:
    """Precision, recall, F1 and number of documents of each class, sorted by name."""
    from sklearn.metrics import precision_recall_fscore_support

    labels, predicted = _both(rows)
    names = sorted({*labels, *predicted})
    parts = precision_recall_fscore_support(labels, predicted, labels=names, zero_division=0)
    return [
        {"label": name, "precision": round(float(p), DIGITS), "recall": round(float(r), DIGITS),
         "f1": round(float(f), DIGITS), "support": int(n)}
        for name, p, r, f, n in zip(names, *parts, strict=True)
    ]  # fmt: skip


def _mixed(rows: Sequence[Row]) -> list[Row]:
    counts = Counter((row["label"], row["predicted"]) for row in rows if row["label"] != row["predicted"])
    worst = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:CONFUSIONS]
    return [{"label": label, "predicted": predicted, "documents": count} for (label, predicted), count in worst]


def _samples(job: Job, rows: Sequence[Row]) -> list[Row]:
    """Evenly spaced correct documents, then the wrong ones with the highest confidence."""
    right = [number for number, row in enumerate(rows) if row["label"] == row["predicted"]]
    wrong = [number for number, row in enumerate(rows) if row["label"] != row["predicted"]]
    wrong.sort(key=lambda number: (-rows[number]["probability"], rows[number]["id"]))
    chosen = [right[at] for at in sorted(spaced(len(right), SAMPLES))] + wrong[:SAMPLES]
    texts = {
        number: shortened(row["text"], CHARACTERS)
        for number, row in enumerate(read_rows(job.input("clean/test"), ["text"]))
        if number in chosen
    }
    return [
        {"id": rows[n]["id"], "prompt": texts[n], "text": rows[n]["predicted"], "label": rows[n]["label"],
         "probability": rows[n]["probability"]}
        for n in chosen
    ]  # fmt: skip


def _signature(settings: ClassEvaluateSettings, classifier: Classifier, split: Split) -> str:
    return write_signature({
        "task": "classification", "average": "macro-seen-or-predicted", "classes": len(classifier.names),
        "source_length": classifier.length or "any", "precision": settings.precision,
        "tok": classifier.loaded.tokenizer_hash[:12], "data": split.sha256[:12],
        "version": f"gristmill-{VERSION}",
    })  # fmt: skip
