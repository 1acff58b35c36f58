"""Training text as inputs of the model, one row at a time: no padding."""

from typing import TYPE_CHECKING, Any

import numpy as np

from tasks.formats.tokens import TARGET, Tokens
from tasks.formats.weights import positions
from tasks.stage.run import Job
from tasks.stage.task import FAMILIES, PAIRS

if TYPE_CHECKING:
    import torch

LONGEST = 512
"""Tokens of a row, or of its target."""


def read_inputs(job: Job, task: str, model: Any, rows: int) -> "list[dict[str, torch.Tensor]]":
    """The arguments of the model's forward for up to so many rows, evenly spread over the training split.

    A row is a document, or a block of the stream for the tasks that pack documents. An encoder-decoder gets the target
    as `labels`, from which it makes its decoder's input.
    """
    import torch

    folder = job.input("tokens/train")
    texts = Tokens.open(folder)
    targets = Tokens.open(folder / TARGET) if task in PAIRS else None
    most = min(LONGEST, positions(model) or LONGEST)
    found = []
    if FAMILIES[task].packed:
        last = max(len(texts) - most, 0)
        for start in _spread(last + 1, min(rows, -(-len(texts) // most))):
            found.append({"input_ids": texts.slice(start, min(start + most, len(texts)))})
    else:
        count = len(texts.starts) - 1
        for place in _spread(count, min(rows, count)):
            row = {"input_ids": texts.document(place)}
            if targets is not None and model.config.is_encoder_decoder:
                row["labels"] = targets.document(place)
            elif targets is not None:
                row["input_ids"] = np.concatenate([row["input_ids"], targets.document(place)])
            found.append(row)
    return [
        {key: torch.from_numpy(ids[:most].astype(np.int64))[None] for key, ids in row.items()}
        for row in found
        if len(row["input_ids"])
    ]


def _spread(count: int, chosen: int) -> list[int]:
    """So many numbers below `count`, evenly spread."""
    return [int(place) for place in np.unique(np.linspace(0, count - 1, chosen).round())]
