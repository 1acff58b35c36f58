"""A model folder, checked and in memory: what cannot be scored is told in one sentence before anything is."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.contract.errors import DataError, GristmillError
from tasks.contract.identity import hash_file


@dataclass(frozen=True)
class Loaded:
    """A causal language model in eval mode on its device, with its tokenizer."""

    model: Any
    tokenizer: Any
    tokenizer_hash: str
    """SHA-256 (hex) of tokenizer.json, as the index of the tokens has it."""
    eos_token_id: int
    positions: int | None
    """Tokens that it can see at once; None where its architecture sets no limit."""


def load_causal_lm(folder: Path, device: str) -> Loaded:
    """The model in `folder`, in fp32. Raises DataError where it is not whole, not finite, or does not fit together."""
    import torch
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    for name in ("config.json", "tokenizer.json"):
        if not (folder / name).is_file():
            raise DataError(f"{folder}: no {name} in it: not a whole model folder")
    if not any(folder.glob("*.safetensors")):
        raise DataError(f"{folder}: no *.safetensors in it: a model without weights")
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            folder, dtype=torch.float32, local_files_only=True, output_loading_info=True
        )
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise DataError(f"{folder}: cannot be loaded: {' '.join(str(error).split())}") from error
    model, info = loaded
    if absent := sorted(info["missing_keys"]):
        raise DataError(f"{folder}: {len(absent)} weights are missing, {absent[0]} among them")
    for name, weights in model.named_parameters():
        if not torch.isfinite(weights).all():
            raise DataError(f"{folder}: {name} holds NaN or infinite weights: the training diverged")
    config = model.config.get_text_config()
    if tokenizer.eos_token_id is None:
        raise DataError(f"{folder}/tokenizer_config.json: no eos_token, with which a document begins")
    if len(tokenizer) > config.vocab_size:
        raise DataError(f"{folder}: the tokenizer has {len(tokenizer):,} tokens, the model {config.vocab_size:,}")
    return Loaded(
        model=model.eval().to(_device(device)),
        tokenizer=tokenizer,
        tokenizer_hash=hash_file(folder / "tokenizer.json"),
        eos_token_id=tokenizer.eos_token_id,
        positions=getattr(config, "max_position_embeddings", None),
    )


def _device(name: str) -> str:
    import torch

    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        return next(kind for kind in ("cuda", "mps", "cpu") if there[kind])
    if not there[name]:
        raise GristmillError(f"GRISTMILL_DEVICE: torch sees no {name} on this machine")
    return name


@contextmanager
def one_thread() -> Iterator[None]:
    """Each tensor operation on one thread, so that a sum has one order; what runs side by side is whole batches."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
