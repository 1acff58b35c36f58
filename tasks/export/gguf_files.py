"""A causal model of a known architecture → GGUF, the format of llama.cpp.

llama.cpp splits text by a rule that the file names: byte-level BPE as GPT-2 splits is `gpt-2`. Rows of Llama's queries
and keys are in another order there, since it turns neighbouring numbers together, not the two halves of a head.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.formats.text_ids import opening
from tasks.formats.tokenizer import load_tokenizer
from tasks.formats.usage import read_usage
from tasks.stage.errors import DataError
from tasks.stage.task import CHATS

ARCHITECTURES = {"llama": "LLAMA", "qwen3": "QWEN3"}
"""`model_type` of transformers → the name in `gguf.MODEL_ARCH`."""
TYPES = {"f32": "ALL_F32", "f16": "MOSTLY_F16", "bf16": "MOSTLY_BF16", "q8_0": "MOSTLY_Q8_0", "q4_0": "MOSTLY_Q4_0"}
"""Type of the matrices → the name in `gguf.LlamaFileType`. Of q8_0 and q4_0 32 weights share a scale."""
ROUGH = "q4_0"
"""A type so coarse that the embeddings have q8_0 instead, as in llama.cpp's own files."""
SPLIT_LIKE_GPT2 = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}

Array = NDArray[Any]


def require_gguf(task: str, model: Any, folder: Path, where: str) -> None:
    """Raises DataError for a model that cannot be written."""
    kind = model.config.model_type
    if kind not in ARCHITECTURES:
        known = ", ".join(ARCHITECTURES)
        raise DataError(f"{where}: {kind} cannot be written for llama.cpp (known: {known}); remove this format")
    tokenizer = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    if tokenizer["model"]["type"] != "BPE" or tokenizer["normalizer"] or tokenizer["pre_tokenizer"] != SPLIT_LIKE_GPT2:
        raise DataError(
            f"{where}: this tokenizer splits text in a way that llama.cpp has no name for; only byte-level BPE as of "
            "GPT-2 can be written"
        )
    scaling = (model.config.rope_parameters or {}).get("rope_type", "default")
    if scaling != "default":
        raise DataError(f"{where}: rotary positions of type {scaling} cannot be written; remove this format")


def write_gguf(task: str, model: Any, folder: Path, path: Path, kind: str) -> None:
    """Write the float32 model of a folder with its matrices in a type of TYPES."""
    import gguf

    architecture = gguf.MODEL_ARCH[ARCHITECTURES[model.config.model_type]]
    writer = gguf.GGUFWriter(path, gguf.MODEL_ARCH_NAMES[architecture])
    _describe(writer, model.config)
    _add_tokenizer(writer, task, model, folder)
    writer.add_file_type(gguf.LlamaFileType[TYPES[kind]])
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    names = gguf.get_tensor_name_map(architecture, model.config.num_hidden_layers)
    for name, weights in _tensors(model):
        own = "q8_0" if kind == ROUGH and ("embed_tokens" in name or "lm_head" in name) else kind
        wide = weights.ndim > 1 and weights.shape[-1] % 32 == 0
        target = gguf.GGMLQuantizationType[(own if wide else "f32").upper()]
        place = names.get_name(name, try_suffixes=(".weight", ".bias"))
        assert place is not None, name
        writer.add_tensor(place, gguf.quants.quantize(weights, target), raw_dtype=target)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _describe(writer: Any, config: Any) -> None:
    head = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(head)
    writer.add_value_length(head)
    writer.add_rope_dimension_count(head)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(config.vocab_size)


def _add_tokenizer(writer: Any, task: str, model: Any, folder: Path) -> None:
    """Tokens and merges; a text begins as in training, a conversation as its template says."""
    import gguf

    tokenizer = load_tokenizer(folder, read_usage(folder).control)
    content = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    size = model.config.vocab_size
    tokens = [f"[PAD{number}]" for number in range(size)]
    types = [gguf.TokenType.UNUSED] * size
    for token, number in content["model"]["vocab"].items():
        tokens[number], types[number] = token, gguf.TokenType.NORMAL
    for added in content["added_tokens"]:
        kind = gguf.TokenType.CONTROL if added["special"] else gguf.TokenType.USER_DEFINED
        tokens[added["id"]], types[added["id"]] = added["content"], kind
    merges = [each if isinstance(each, str) else " ".join(each) for each in content["model"]["merges"]]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    writer.add_token_merges(merges)
    begin = opening(tokenizer) or [tokenizer.eos_token_id]
    writer.add_bos_token_id(begin[0])
    writer.add_eos_token_id(tokenizer.eos_token_id)
    writer.add_add_bos_token(task not in CHATS)
    if task in CHATS and tokenizer.chat_template:
        writer.add_chat_template(tokenizer.chat_template)


def _tensors(model: Any) -> Iterator[tuple[str, Array]]:
    """Names and float32 weights, in the order and layout of llama.cpp."""
    config = model.config
    for name, weights in model.state_dict().items():
        if name == "lm_head.weight" and config.tie_word_embeddings:
            continue
        array = weights.float().numpy()
        if config.model_type == "llama" and ".q_proj." in name:
            array = _neighbours(array, config.num_attention_heads)
        elif config.model_type == "llama" and ".k_proj." in name:
            array = _neighbours(array, config.num_key_value_heads)
        yield name, np.ascontiguousarray(array)


def _neighbours(rows: Array, heads: int) -> Array:
    """Rows of which the two halves of each head alternate."""
    halves = rows.reshape(heads, 2, rows.shape[0] // heads // 2, *rows.shape[1:])
    return halves.swapaxes(1, 2).reshape(rows.shape)
