"""A model in float32 with its tokens, for stages that neither train nor score it: rows of text, without padding."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tasks.formats.text_ids import LOCAL
from tasks.formats.tokens import TARGET, Tokens
from tasks.formats.weights import positions, unfit
from tasks.stage.errors import DataError, one_line
from tasks.stage.task import FAMILIES, PAIRS, model_class

if TYPE_CHECKING:
    import torch

LONGEST = 512
"""Tokens of a row, or of its target."""


def load_model(folder: Path, task: str) -> Any:
    """The model of a folder, on the CPU. Raises DataError if it cannot be loaded."""
    import torch
    import transformers

    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    try:
        config = transformers.AutoConfig.from_pretrained(folder, **LOCAL)
        loader = getattr(transformers, model_class(task, config.is_encoder_decoder))
        model = loader.from_pretrained(folder, dtype=torch.float32, **LOCAL)
    except unfit() as error:
        raise DataError(f"{folder}: cannot be loaded: {one_line(error)}") from error
    return model.eval().requires_grad_(False)


def read_inputs(folder: Path, task: str, model: Any, rows: int) -> "list[dict[str, torch.Tensor]]":
    """The arguments of the model's forward for up to so many rows, evenly spread over a split of tokens.

    A row is a document, or a block of the stream for the tasks that pack documents. An encoder-decoder gets the target
    as `labels`, from which it makes its decoder's input.
    """
    import torch

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
