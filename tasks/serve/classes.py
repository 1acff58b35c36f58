"""A registered classifier: texts in, labels with their probabilities out."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModelContext

from tasks.serve.shared import Served


class Classifier(Served):
    """Predicts the probability of each class."""

    auto = "AutoModelForSequenceClassification"
    bounds: ClassVar[Mapping[str, tuple[float, float]]] = {"batch_size": (1, math.inf)}

    def load_context(self, context: PythonModelContext) -> None:
        """A decoder classifies at the last token before padding, so it needs a padding id."""
        super().load_context(context)
        text = self.model.config.get_text_config()
        text.pad_token_id = self._pad() if text.pad_token_id is None else text.pad_token_id

    def answer(self, texts: Sequence[str], params: dict[str, Any]) -> list[Any]:
        """{label, score, scores} per text: the likeliest class, its probability, and all probabilities, best first."""
        import torch

        names = self.model.config.id2label
        found: list[Any] = [None] * len(texts)
        with self.turn():
            rows = self.encode(texts)
        for places, batch in self.batches(rows, params["batch_size"]):
            with self.turn(), torch.inference_mode():
                shares = self.model(**batch).logits.softmax(-1).tolist()  # [texts, classes]
            for place, row in zip(places, shares, strict=True):
                best = sorted(range(len(row)), key=lambda number: -row[number])
                found[place] = {
                    "label": names[best[0]],
                    "score": row[best[0]],
                    "scores": {names[number]: row[number] for number in best},
                }
        return found


set_model(Classifier())
