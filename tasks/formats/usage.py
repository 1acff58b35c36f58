"""How a trained model is used: `gristmill.json` in its folder, next to the files that `transformers` writes.

    {"task": "summarization", "prefix": "summarize: ", "source_length": 512, "target_length": 64,
     "closing": null}

A folder `target` next to it holds the target side's tokenizer if the two sides have separate vocabularies.
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
"""Keys about tokens in the generation_config.json of a pair model; the recipe decides how to decode."""


@dataclass(frozen=True)
class Usage:
    """How to prepare a model's input, and its limits."""

    task: str
    prefix: str = ""
    """Prepended to each text, as in training."""
    source_length: int | None = None
    """Maximum tokens of an input, including special ones; longer inputs are truncated. None: the model's positions."""
    target_length: int | None = None
    """Pairs: maximum tokens of a target in training, including the end."""
    closing: int | None = None
    """Pairs: the id appended to each text and target; None if the tokenizer appends it itself."""
    control: bool = False
    """Whether special tokens in a text are control tokens; in the file only if so."""

    def write(self, folder: Path) -> None:
        """Write it into a model's folder."""
        write_json(folder / FILE, {k: v for k, v in asdict(self).items() if k != "control" or self.control})


def read_usage(folder: Path) -> Usage:
    """A model's usage. Raises DataError if the folder has none: the stage `train` did not write it."""
    try:
        return Usage(**json.loads((folder / FILE).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise DataError(f"{folder / FILE}: cannot be read: {error}") from error
