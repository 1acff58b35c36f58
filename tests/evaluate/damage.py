"""Break the inputs of the recipe `tiny`."""

import json
from collections.abc import Callable
from pathlib import Path

from tests.evaluate.projects import write_tokens
from tests.evaluate.texts import FOLDER


def other_tokens() -> None:
    """Write the training tokens as if made with another tokenizer."""
    write_tokens(FOLDER / "tokens/train", FOLDER / "model", tokenizer="0" * 64)


def edit_json(path: Path, **changes: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def edit_weights(change: Callable[[dict], object], folder: Path) -> None:
    """Change a model's weights by name."""
    from safetensors.torch import load_file, save_file

    path = folder / "model.safetensors"
    weights = load_file(path)
    change(weights)
    save_file(weights, path, metadata={"format": "pt"})


def lose(weight: str) -> None:
    edit_weights(lambda weights: weights.pop(weight), FOLDER / "model")


def spoil(weight: str, folder: Path = FOLDER / "model", value: str = "nan") -> None:
    """Set a number of a weight to `value`."""
    edit_weights(lambda weights: weights[weight].view(-1)[:1].fill_(float(value)), folder)
