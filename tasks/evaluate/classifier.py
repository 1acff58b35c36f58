"""Run a classifier: texts → class probabilities."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tasks.evaluate.batches import batches_by_length, inference, map_batches, on_device
from tasks.evaluate.encoding import input_length
from tasks.evaluate.loading import Loaded, check_usage, load_model
from tasks.evaluate.settings import ClassEvaluateSettings
from tasks.formats.rows import padded
from tasks.formats.usage import Usage
from tasks.stage import runtime
from tasks.stage.errors import DataError


@dataclass(frozen=True)
class Classifier:
    """A model with its classes."""

    loaded: Loaded
    usage: Usage
    names: list[str]
    """Class names, in the order of the model's outputs."""
    padding: int

    @property
    def length(self) -> int | None:
        """Maximum tokens of an input; None if unlimited."""
        return input_length(self.usage, self.loaded.positions)


def load_classifier(folder: Path, precision: str) -> Classifier:
    """Load a classifier. Raises DataError if the folder is incomplete.

    A decoder classifies by the last non-padding token; `pad_token_id` comes from its config, or else its tokenizer.
    """
    loaded, usage = load_model(folder, "classification", precision), check_usage(folder, "classification")
    config = loaded.model.config
    text = config.get_text_config()
    padding = text.pad_token_id if text.pad_token_id is not None else loaded.tokenizer.pad_token_id
    if padding is None:
        raise DataError(f"{folder}/config.json: pad_token_id is missing; needed to pad short texts")
    text.pad_token_id = padding
    return Classifier(loaded, usage, [str(config.id2label[number]) for number in range(config.num_labels)], padding)


def probabilities(
    classifier: Classifier, settings: ClassEvaluateSettings, ids: Sequence[Sequence[int]], names: Sequence[str]
) -> NDArray[np.float64]:
    """Class probabilities [documents, classes]; `names` are the documents' ids."""
    model = classifier.loaded.model

    def work(batch: list[int]) -> NDArray[np.float64]:
        with inference(model, settings.precision) as device:
            rows, mask = on_device(padded([ids[n] for n in batch], classifier.padding), device)
            logits = model(input_ids=rows, attention_mask=mask).logits
        return np.asarray(logits.double().softmax(-1).cpu().numpy())

    found = np.empty((len(ids), len(classifier.names)))
    batches = batches_by_length([len(row) for row in ids], names, settings.batch_size)
    for batch, rows in map_batches(work, batches, model, runtime.workers()):
        found[batch] = rows
    return found
