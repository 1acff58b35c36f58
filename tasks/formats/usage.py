"""How a trained model is used: `gristmill.json` in its folder, beside what `transformers` writes there.

    {"task": "summarization", "prefix": "summarize: ", "source_length": 512, "target_length": 64,
     "closing": null}

A folder `target` beside it holds the tokenizer of the other side where the two have vocabularies of their own.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from tasks.stage.errors import DataError
from tasks.stage.run import write_json

FILE = "gristmill.json"

TOKEN_SETTINGS = (
    "decoder_start_token_id", "bos_token_id", "eos_token_id", "pad_token_id", "forced_bos_token_id",
    "forced_eos_token_id", "bad_words_ids", "suppress_tokens", "begin_suppress_tokens", "renormalize_logits",
)  # fmt: skip
"""What generation_config.json of a model of pairs says about tokens; how an output is searched for, the recipe says."""


@dataclass(frozen=True)
class Usage:
    """What a model must be told, and how much it can take."""

    task: str
    prefix: str = ""
    """Put before each text, as in training."""
    source_length: int | None = None
    """Tokens of an input, special ones included; what is longer is cut off. None: as many as the model has positions.
    """
    target_length: int | None = None
    """Pairs: tokens of an output in training, the end included."""
    closing: int | None = None
    """Pairs: the id put behind each text and each target; None where the tokenizer puts it there itself."""

    def write(self, folder: Path) -> None:
        """Into the folder of a model."""
        write_json(folder / FILE, asdict(self))


def read_usage(folder: Path) -> Usage:
    """Raises DataError where the folder has none: it was not made by the stage `train`."""
    try:
        return Usage(**json.loads((folder / FILE).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise DataError(f"{folder / FILE}: cannot be read: {error}") from error
