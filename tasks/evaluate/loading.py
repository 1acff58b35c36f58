"""Load and check a model folder before scoring."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.evaluate.packing import pack
from tasks.formats.text_ids import LOCAL, opening
from tasks.formats.tokenizer import hash_tokenizer, load_tokenizer
from tasks.formats.tokens import Index
from tasks.formats.usage import Usage, read_usage
from tasks.formats.weights import hold_in_bf16, unfit
from tasks.formats.weights import positions as positions_of
from tasks.quantize.reading import is_quantized, load_quantized
from tasks.stage.errors import DataError, one_line
from tasks.stage.runtime import find_device
from tasks.stage.task import model_class

NEEDED = {
    "causal-lm": {"eos_token": "needed to separate documents"},
    "masked-lm": {"mask_token": "needed to mask tokens"},
}
"""Required special tokens by task, and their purpose."""


@dataclass(frozen=True)
class Loaded:
    """A model in eval mode on its device, with its tokenizer."""

    model: Any
    tokenizer: Any
    tokenizer_hash: str
    """SHA-256 (hex) of tokenizer.json, as in the token index."""
    positions: int | None
    """Maximum sequence length in tokens; None if the architecture has no limit."""

    @property
    def eos_token_id(self) -> int:
        """Id of the end-of-text token."""
        return int(self.tokenizer.eos_token_id)

    @property
    def opening(self) -> list[int]:
        """The ids before each text of a causal model: the base's own, or the end-of-text token."""
        return opening(self.tokenizer) or [self.eos_token_id]


def load_model(folder: Path, task: str, precision: str) -> Loaded:
    """Load the model in `folder`, with matrix products in `precision`: `fp32` or `bf16`.

    Raises DataError if the folder is incomplete or inconsistent, or has non-finite weights.
    """
    model = load_weights(folder, task, precision)
    tokenizer = load_tokenizer(folder, read_usage(folder).control)
    for name, purpose in NEEDED.get(task, {}).items():
        if getattr(tokenizer, name) is None:
            raise DataError(f"{folder}/tokenizer_config.json: {name} is missing; {purpose}")
    vocabulary = model.config.get_text_config().vocab_size
    if len(tokenizer) > vocabulary:
        raise DataError(f"{folder}: the tokenizer has {len(tokenizer):,} tokens, but the model only {vocabulary:,}")
    return Loaded(model, tokenizer, hash_tokenizer(folder), positions_of(model))


def load_weights(folder: Path, task: str, precision: str) -> Any:
    """Load a model without its tokenizer. Raises DataError like `load_model`."""
    import torch
    import transformers

    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    if not (folder / "config.json").is_file():
        raise DataError(f"{folder}: config.json is missing; not a model folder")
    if not any(folder.glob("*.safetensors")):
        raise DataError(f"{folder}: *.safetensors is missing; the model has no weights")
    try:
        config = transformers.AutoConfig.from_pretrained(folder, **LOCAL)
        loader = getattr(transformers, model_class(task, config.is_encoder_decoder))
        if is_quantized(folder):
            model, absent = load_quantized(folder, loader), []
        else:
            model, info = loader.from_pretrained(folder, dtype=torch.float32, **LOCAL, output_loading_info=True)
            absent = sorted(info["missing_keys"])
    except unfit() as error:
        raise DataError(f"{folder}: cannot be loaded: {one_line(error)}") from error
    if absent:
        raise DataError(f"{folder}: {len(absent)} weights are missing, e.g. {absent[0]}")
    for name, weights in model.named_parameters():
        if not torch.isfinite(weights).all():
            raise DataError(f"{folder}: {name} has NaN or infinite weights; training diverged")
    model = model.eval().requires_grad_(False).to(find_device())
    if precision == "bf16":
        hold_in_bf16(model)
    else:
        pack(model)
    return model


def check_tokens(index: Index, tokens: Path, tokenizer_hash: str, folder: Path) -> None:
    """Raises DataError if the tokens were made with a different tokenizer than the one in `folder`."""
    if index.tokenizer != tokenizer_hash:
        raise DataError(
            f"{tokens}/index.json: made with a different tokenizer ({index.tokenizer[:12]}…)"
            f" than {folder}/tokenizer.json ({tokenizer_hash[:12]}…)"
        )


def check_usage(folder: Path, task: str) -> Usage:
    """The model's usage file. Raises DataError if it was trained for another task."""
    usage = read_usage(folder)
    if usage.task != task:
        raise DataError(f"{folder}/gristmill.json: the model was trained for {usage.task}, not {task}")
    return usage


def check_base(folder: Path, trained: Path) -> None:
    """Raises DataError if the initial model has a different tokenizer than the trained model."""
    # Saving a tokenizer again may reorder keys and change the hash; compare the content, too.
    if hash_tokenizer(folder) != hash_tokenizer(trained) and _content(folder) != _content(trained):
        raise DataError(f"{folder}: its tokenizer differs from {trained}, so their scores are not comparable")


def load_base(folder: Path, precision: str, window: int) -> Any:
    """Load the initial model without its tokenizer. Raises DataError like `load_model`, and if `window` is too long."""
    model = load_weights(folder, "causal-lm", precision)
    positions = positions_of(model)
    if positions is not None and window > positions:
        raise DataError(f"{folder}/config.json: evaluate.window {window} exceeds the base's {positions} positions")
    return model


def _content(folder: Path) -> str:
    """A tokenizer's content, independent of how it was saved."""
    backend = load_tokenizer(folder).backend_tokenizer
    backend.no_truncation()
    backend.no_padding()
    return str(backend.to_str())
