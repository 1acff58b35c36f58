"""Models of width 8 with random weights, one per task, in the format of the stage `train`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tasks.formats.usage import Usage
from tasks.stage.task import CHATS, FAMILIES

WORDS = ["the", "a", "cat", "dog", "sat", "on", "mat", "s", "ran", "away", "chat", "chien", "le", "un"]
LABELS = ["games", "net", "science"]
BERT = {
    "hidden_size": 8, "intermediate_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2,
    "initializer_range": 1.0,
}  # fmt: skip
MODELS: dict[str, tuple[str, dict[str, Any], Usage]] = {
    "causal-lm": (
        "llama",
        {
            "hidden_size": 8, "intermediate_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2,
            "max_position_embeddings": 16, "bos_token_id": 0, "eos_token_id": 0,
        },
        Usage("causal-lm"),
    ),
    **{
        task: (
            "llama",
            {
                "hidden_size": 8, "intermediate_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2,
                "max_position_embeddings": 128, "bos_token_id": None, "eos_token_id": 1, "pad_token_id": 2,
                "initializer_range": 1.0,
            },
            Usage(task, source_length=96),
        )
        for task in CHATS
    },
    "translation": (
        "marian",
        {
            "share_encoder_decoder_embeddings": False, "tie_word_embeddings": False, "d_model": 8, "encoder_layers": 1,
            "decoder_layers": 1, "encoder_attention_heads": 2, "decoder_attention_heads": 2, "encoder_ffn_dim": 16,
            "decoder_ffn_dim": 16, "max_position_embeddings": 32, "pad_token_id": 1, "eos_token_id": 0,
            "decoder_start_token_id": 1, "forced_eos_token_id": 0, "init_std": 1.0,
        },
        Usage("translation", source_length=24, target_length=24),
    ),
    "summarization": (
        "t5",
        {
            "d_model": 8, "d_kv": 4, "d_ff": 16, "num_layers": 1, "num_heads": 2, "decoder_start_token_id": 0,
            "initializer_factor": 3.0,
        },
        Usage("summarization", prefix="summarize: ", source_length=32, target_length=16),
    ),
    "masked-lm": ("bert", {**BERT, "max_position_embeddings": 16}, Usage("masked-lm")),
    "roberta": ("roberta", {**BERT, "max_position_embeddings": 20, "pad_token_id": 1}, Usage("masked-lm")),
    "classification": (
        "bert",
        {
            **BERT, "max_position_embeddings": 32, "id2label": dict(enumerate(LABELS)),
            "label2id": {label: number for number, label in enumerate(LABELS)},
        },
        Usage("classification", source_length=16),
    ),
}  # fmt: skip
"""Architecture, configuration without vocabulary, usage; `roberta` has another mask, and tokens for ` cat` and `s`."""


CHATML = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""A chat template that knows every role."""


def save_model(folder: Path, task: str = "causal-lm", seed: int = 0) -> None:
    """Write weights, configuration, tokenizer and usage."""
    import torch
    import transformers

    torch.manual_seed(seed)
    architecture, settings, usage = MODELS[task]
    config = transformers.AutoConfig.for_model(architecture, **_tokenizers(folder, task), **settings)
    model = getattr(transformers, FAMILIES[usage.task].model).from_config(config)
    if usage.task in CHATS:
        model.generation_config = transformers.GenerationConfig(eos_token_id=[1], pad_token_id=2)
    model.save_pretrained(folder)
    usage.write(folder)


def _tokenizers(folder: Path, task: str) -> dict[str, int]:
    """Save the tokenizer of a task, for translation two, the target's smaller; returns the sizes for the config."""
    from tokenizers import AddedToken

    roles = {"eos_token": "</s>", "pad_token": "<pad>"}
    match task:
        case "causal-lm":
            return {"vocab_size": bytes_tokenizer(folder, ["<|endoftext|>"], eos_token="<|endoftext|>")}
        case "chat" | "preference":
            specials = ["<|im_start|>", "<|im_end|>", "<pad>"]
            roles = {"eos_token": "<|im_end|>", "pad_token": "<pad>", "extra_special_tokens": ["<|im_start|>"]}
            return {"vocab_size": bytes_tokenizer(folder, specials, **roles, chat_template=CHATML)}
        case "translation":
            target = bytes_tokenizer(folder / "target", ["</s>", "<pad>"], **roles)
            source = bytes_tokenizer(folder, ["</s>", "<pad>", "<unk>"], **roles)
            return {"vocab_size": source, "decoder_vocab_size": target}
        case "summarization":
            return {"vocab_size": bytes_tokenizer(folder, ["<pad>", "</s>"], **roles)}
        case "roberta":
            more = {"bos_token": "<s>", "cls_token": "<s>", "sep_token": "</s>", "unk_token": "<unk>"}
            mask = AddedToken("<mask>", lstrip=True, special=True)
            specials, merges = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"], [("c", "a"), ("ca", "t"), ("Ġ", "cat")]
            return {"vocab_size": bytes_tokenizer(folder, specials, merges, **roles, **more, mask_token=mask)}
    return {"vocab_size": words_tokenizer(folder)}


def bytes_tokenizer(folder: Path, specials: list[str], merges: Sequence[tuple[str, str]] = (), **roles: Any) -> int:
    """A token per byte after the special ones, then the merges; returns the size of the vocabulary."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens = [*specials, *letters, *(left + right for left, right in merges)]
    tokenizer = Tokenizer(models.BPE({token: number for number, token in enumerate(tokens)}, list(merges)))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    if "</s>" in specials:
        close(tokenizer, "<s> $A </s>" if "<s>" in specials else "$A </s>", specials)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **roles).save_pretrained(folder)
    return len(tokens)


def words_tokenizer(folder: Path) -> int:
    """BERT's tokenizer with a few words, `##s` and the letters; returns the size of the vocabulary."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokens = list(dict.fromkeys([*specials, *WORDS, "##s", ".", ",", *"abcdefghijklmnopqrstuvwxyz"]))
    tokenizer = Tokenizer(models.WordPiece({token: n for n, token in enumerate(tokens)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    close(tokenizer, "[CLS] $A [SEP]", specials)
    roles = {f"{token[1:-1].lower()}_token": token for token in specials}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **roles).save_pretrained(folder)
    return len(tokens)


def close(tokenizer, single: str, specials: list[str]) -> None:
    from tokenizers import processors

    numbered = [(token, number) for number, token in enumerate(specials)]
    tokenizer.post_processor = processors.TemplateProcessing(single=single, special_tokens=numbered)
