"""A model folder, checked and in memory: what cannot be scored is told in one sentence before anything is."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.formats.tokenizer import hash_tokenizer, load_tokenizer
from tasks.formats.tokens import Index
from tasks.formats.usage import Usage, read_usage
from tasks.formats.weights import hold_in_bf16
from tasks.formats.weights import positions as positions_of
from tasks.stage.errors import DataError
from tasks.stage.runtime import find_device
from tasks.stage.task import model_class

NEEDED = {
    "causal-lm": {"eos_token": "with which a document begins"},
    "masked-lm": {"mask_token": "behind which a token is hidden"},
}
"""By task: special tokens of the tokenizer without which nothing can be scored, and what they are for."""


@dataclass(frozen=True)
class Loaded:
    """A model of a task's family in eval mode on its device, with its tokenizer."""

    model: Any
    tokenizer: Any
    tokenizer_hash: str
    """SHA-256 (hex) of tokenizer.json, as the index of the tokens has it."""
    positions: int | None
    """Tokens that it can see at once; None where its architecture sets no limit."""

    @property
    def eos_token_id(self) -> int:
        """Of the token that ends a text."""
        return int(self.tokenizer.eos_token_id)


def load_model(folder: Path, task: str, precision: str) -> Loaded:
    """The model in `folder`, for products of matrices in a precision, `fp32` or `bf16`.

    Raises DataError where it is not whole, not finite, or does not fit together.
    """
    model = load_weights(folder, task, precision)
    tokenizer = load_tokenizer(folder)
    for name, purpose in NEEDED.get(task, {}).items():
        if getattr(tokenizer, name) is None:
            raise DataError(f"{folder}/tokenizer_config.json: no {name}, {purpose}")
    vocabulary = model.config.get_text_config().vocab_size
    if len(tokenizer) > vocabulary:
        raise DataError(f"{folder}: the tokenizer has {len(tokenizer):,} tokens, the model {vocabulary:,}")
    return Loaded(model, tokenizer, hash_tokenizer(folder), positions_of(model))


def load_weights(folder: Path, task: str, precision: str) -> Any:
    """A model without its tokenizer. Raises DataError as `load_model` does."""
    import torch
    import transformers
    from huggingface_hub.errors import StrictDataclassError
    from safetensors import SafetensorError

    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    if not (folder / "config.json").is_file():
        raise DataError(f"{folder}: no config.json in it: not a whole model folder")
    if not any(folder.glob("*.safetensors")):
        raise DataError(f"{folder}: no *.safetensors in it: a model without weights")
    try:
        config = transformers.AutoConfig.from_pretrained(folder, local_files_only=True)
        model, info = getattr(transformers, model_class(task, config.is_encoder_decoder)).from_pretrained(
            folder, dtype=torch.float32, local_files_only=True, output_loading_info=True
        )
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError, StrictDataclassError) as error:
        raise DataError(f"{folder}: cannot be loaded: {' '.join(str(error).split())}") from error
    if absent := sorted(info["missing_keys"]):
        raise DataError(f"{folder}: {len(absent)} weights are missing, {absent[0]} among them")
    for name, weights in model.named_parameters():
        if not torch.isfinite(weights).all():
            raise DataError(f"{folder}: {name} holds NaN or infinite weights: the training diverged")
    model = model.eval().requires_grad_(False).to(find_device())
    if precision == "bf16":
        hold_in_bf16(model)
    return model


def check_tokens(index: Index, tokens: Path, tokenizer_hash: str, folder: Path) -> None:
    """Raises DataError where tokens were made with another tokenizer than the one in `folder`."""
    if index.tokenizer != tokenizer_hash:
        raise DataError(
            f"{tokens}/index.json: made with another tokenizer ({index.tokenizer[:12]}…)"
            f" than {folder}/tokenizer.json ({tokenizer_hash[:12]}…)"
        )


def check_usage(folder: Path, task: str) -> Usage:
    """How a model is used. Raises DataError where it was trained for another task."""
    usage = read_usage(folder)
    if usage.task != task:
        raise DataError(f"{folder}/gristmill.json: a model for {usage.task}, not for {task}")
    return usage


def check_base(folder: Path, trained: Path) -> None:
    """Raises DataError where the model that a training started from has another tokenizer than the trained one."""
    # A tokenizer that was only saved anew may have another order of keys, and so another hash, for the same content.
    if hash_tokenizer(folder) != hash_tokenizer(trained) and _content(folder) != _content(trained):
        raise DataError(f"{folder}: its tokenizer is not that of {trained}: their scores would not be comparable")


def load_base(folder: Path, task: str, precision: str, window: int) -> Any:
    """The model that a training started from, without its tokenizer. Raises DataError as `load_model` does, and where
    it cannot see `window` tokens at once."""
    model = load_weights(folder, task, precision)
    positions = positions_of(model)
    if positions is not None and window > positions:
        raise DataError(f"{folder}/config.json: {positions} positions are less than evaluate.window {window}")
    return model


def _content(folder: Path) -> str:
    """What a tokenizer does, whichever files it was saved as."""
    backend = load_tokenizer(folder).backend_tokenizer
    backend.no_truncation()
    backend.no_padding()
    return str(backend.to_str())
