"""Models of width 8 with random weights, one per task, in the format of the stage `train`."""

from pathlib import Path

from tasks.formats.usage import Usage

WORDS = ["the", "a", "cat", "dog", "sat", "on", "mat", "s", "ran", "away", "chat", "chien", "le", "un"]
LABELS = ["games", "net", "science"]


def save_model(folder: Path, task: str = "causal-lm", seed: int = 0) -> None:
    """Write weights, configuration, tokenizer and usage."""
    import torch

    torch.manual_seed(seed)
    {
        "causal-lm": _causal, "translation": _marian, "summarization": _t5, "masked-lm": _masked,
        "classification": _classifier,
    }[task](folder)  # fmt: skip


def bytes_tokenizer(folder: Path, *specials: str, **roles: str) -> int:
    """A token per byte after the special ones; returns the size of the vocabulary."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    tokens = [*specials, *sorted(pre_tokenizers.ByteLevel.alphabet())]
    tokenizer = Tokenizer(models.BPE({token: number for number, token in enumerate(tokens)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    if "</s>" in specials:
        close(tokenizer, "$A </s>", {"</s>": specials.index("</s>")})
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **roles).save_pretrained(folder)
    return len(tokens)


def close(tokenizer, single: str, specials: dict[str, int]) -> None:
    from tokenizers import processors

    tokenizer.post_processor = processors.TemplateProcessing(single=single, special_tokens=list(specials.items()))


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
    close(tokenizer, "[CLS] $A [SEP]", {"[CLS]": 2, "[SEP]": 3})
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]",
        mask_token="[MASK]",
    ).save_pretrained(folder)  # fmt: skip
    return len(tokens)


def _causal(folder: Path) -> None:
    from transformers import LlamaConfig, LlamaForCausalLM

    size = bytes_tokenizer(folder, "<|endoftext|>", eos_token="<|endoftext|>")
    config = LlamaConfig(
        vocab_size=size, hidden_size=8, intermediate_size=16, num_hidden_layers=2, num_attention_heads=2,
        max_position_embeddings=16, bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
    Usage("causal-lm").write(folder)


def _marian(folder: Path) -> None:
    """A model with two vocabularies, the target's smaller than the source's."""
    from transformers import MarianConfig, MarianMTModel

    roles = {"eos_token": "</s>", "pad_token": "<pad>"}
    source = bytes_tokenizer(folder, "</s>", "<pad>", "<unk>", **roles)
    target = bytes_tokenizer(folder / "target", "</s>", "<pad>", **roles)
    config = MarianConfig(
        vocab_size=source, decoder_vocab_size=target, share_encoder_decoder_embeddings=False,
        tie_word_embeddings=False, d_model=8, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2,
        decoder_attention_heads=2, encoder_ffn_dim=16, decoder_ffn_dim=16, max_position_embeddings=32,
        pad_token_id=1, eos_token_id=0, decoder_start_token_id=1, forced_eos_token_id=0, init_std=1.0,
    )  # fmt: skip
    MarianMTModel(config).save_pretrained(folder)
    Usage("translation", source_length=24, target_length=24).write(folder)


def _t5(folder: Path) -> None:
    from transformers import T5Config, T5ForConditionalGeneration

    size = bytes_tokenizer(folder, "<pad>", "</s>", eos_token="</s>", pad_token="<pad>")
    config = T5Config(
        vocab_size=size, d_model=8, d_kv=4, d_ff=16, num_layers=1, num_heads=2, decoder_start_token_id=0,
        initializer_factor=3.0,
    )  # fmt: skip
    T5ForConditionalGeneration(config).save_pretrained(folder)
    Usage("summarization", prefix="summarize: ", source_length=32, target_length=16).write(folder)


def _masked(folder: Path) -> None:
    from transformers import BertConfig, BertForMaskedLM

    size = words_tokenizer(folder)
    config = BertConfig(
        vocab_size=size, hidden_size=8, intermediate_size=16, num_hidden_layers=2, num_attention_heads=2,
        max_position_embeddings=16, initializer_range=1.0,
    )  # fmt: skip
    BertForMaskedLM(config).save_pretrained(folder)
    Usage("masked-lm").write(folder)


def _classifier(folder: Path) -> None:
    from transformers import BertConfig, BertForSequenceClassification

    size = words_tokenizer(folder)
    config = BertConfig(
        vocab_size=size, hidden_size=8, intermediate_size=16, num_hidden_layers=2, num_attention_heads=2,
        max_position_embeddings=32, initializer_range=1.0,
        id2label=dict(enumerate(LABELS)), label2id={label: n for n, label in enumerate(LABELS)},
    )  # fmt: skip
    BertForSequenceClassification(config).save_pretrained(folder)
    Usage("classification", source_length=16).write(folder)


def save_roberta(folder: Path, seed: int = 0) -> None:
    """A masked model with the mask `<mask>` and tokens for ` cat` and `s`."""
    import torch
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast, RobertaConfig, RobertaForMaskedLM

    torch.manual_seed(seed)
    specials = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges = [("c", "a"), ("ca", "t"), ("Ġ", "cat")]
    tokens = [*specials, *letters, *(left + right for left, right in merges)]
    tokenizer = Tokenizer(models.BPE({token: n for n, token in enumerate(tokens)}, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    close(tokenizer, "<s> $A </s>", {"<s>": 0, "</s>": 2})
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", cls_token="<s>", sep_token="</s>",
        pad_token="<pad>", unk_token="<unk>", mask_token=AddedToken("<mask>", lstrip=True, special=True),
    ).save_pretrained(folder)  # fmt: skip
    config = RobertaConfig(
        vocab_size=len(tokens), hidden_size=8, intermediate_size=16, num_hidden_layers=2, num_attention_heads=2,
        max_position_embeddings=20, pad_token_id=1, initializer_range=1.0,
    )  # fmt: skip
    RobertaForMaskedLM(config).save_pretrained(folder)
    Usage("masked-lm").write(folder)
