"""GGUF weights (llama.cpp's format) to float32 safetensors."""

import os
from pathlib import Path
from typing import Any

from tasks.formats.text_ids import LOCAL
from tasks.stage.errors import DataError, one_line


def convert_gguf(file: Path, folder: Path) -> None:
    """Write configuration, weights and tokenizer of a causal model. Raises DataError for an invalid file.

    transformers flags a model read from GGUF as quantized and refuses to train or save it. So its weights, plain
    numbers by then, move to a model made from the same configuration without that flag.
    """
    os.environ.setdefault("TQDM_DISABLE", "1")  # read when transformers imports tqdm
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    place: dict[str, Any] = {"gguf_file": file.name, **LOCAL}
    try:
        tokenizer = AutoTokenizer.from_pretrained(file.parent, **place)
        read = AutoModelForCausalLM.from_pretrained(file.parent, dtype=torch.float32, **place)
    except (OSError, ValueError, TypeError, KeyError, IndexError, RuntimeError) as error:
        raise DataError(f"{file.name}: cannot be read as GGUF: {one_line(error)}") from error
    known = read.config.to_dict()
    known.pop("quantization_config", None)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(**known))
    model.load_state_dict(read.state_dict())
    model.tie_weights()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
