"""What the evaluations of all tasks read first and write last."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tasks.evaluate.exam import Exam
from tasks.evaluate.parts import read_parts
from tasks.evaluate.plots import History, draw_curves, read_history
from tasks.evaluate.split import Split, measure_split
from tasks.formats.tokens import Tokens
from tasks.stage.run import Job, Report, write_json


@dataclass(frozen=True)
class Inputs:
    """The course of the training, its tokens, and the measured test split."""

    history: History
    train: Tokens
    split: Split
    parts: list[str]
    """Mixtures: the source of each test document."""

    @classmethod
    def read(cls, job: Job, *columns: str) -> "Inputs":
        """Read the inputs; each test document needs `text` and `columns`. Raises DataError if they are unusable."""
        history = read_history(job.input("training/history.csv"))
        train = Tokens.open(job.input("tokens/train"))
        test = job.input("clean/test")
        return cls(history, train, measure_split(test, ("text", *columns)), read_parts(test))

    def exam(self, job: Job) -> Exam:
        """The recipe's own model on its test split."""
        return Exam(job.recipe, job.input("model"), job.input("clean/test"), self.split)

    def report(
        self,
        job: Job,
        metrics: Mapping[str, Any],
        samples: Sequence[Any],
        details: Mapping[str, Any],
        unit: str = "token",
        **produced: int,
    ) -> Report:
        """Write metrics.json, samples.json and curves.png; returns the report.

        `unit`: what the loss of the training is the mean over. `produced`: more counts for the report.
        """
        write_json(job.output("evaluation/metrics.json"), metrics)
        write_json(job.output("evaluation/samples.json"), samples)
        draw_curves(job.output("evaluation/curves.png"), self.history, job.recipe, unit)
        split = self.split
        return Report(
            received={"documents": split.documents, "bytes": split.bytes, "training_tokens": len(self.train)},
            produced={"scored_documents": split.documents, **produced, "samples": len(samples)},
            details={**metrics, **details},
        )
