"""Preference pairs of made-up words: the chosen answer has the question's words as capitals in reverse order, the
rejected one has them as they are; and their tokens, as the stage tokenize writes them."""

import hashlib
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tasks.formats.tokenizer import hash_tokenizer
from tasks.formats.tokens import REJECTED, TokenWriter, write_answers

WORDS = [f"w{number}" for number in range(40)]
CAPITALS = [word.upper() for word in WORDS]
CHATML = (
    "{% for m in messages %}<|im_start|> {{ m.role }} {{ m.content }} <|im_end|> {% endfor %}"
    "{% if add_generation_prompt %}<|im_start|> assistant {% endif %}"
)
Pair = tuple[str, str, str]


def pairs_of_words(count: int, seed: int = 0, longest: int = 6) -> list[Pair]:
    """Question, chosen and rejected answer."""
    generator, made = random.Random(seed), []
    for _ in range(count):
        words = generator.sample(WORDS, k=generator.randint(2, longest))
        made.append((" ".join(words), " ".join(reversed(words)).upper(), " ".join(words)))
    return made


def messages_of(question: str, answer: str | None = None) -> list[dict[str, str]]:
    turns = [{"role": "user", "content": question}]
    return turns if answer is None else [*turns, {"role": "assistant", "content": answer}]


def save_word_tokenizer(folder: Path) -> Path:
    """A tokenizer of whole words with a chat template."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    names = ["<|pad|>", "<|im_end|>", "<|im_start|>", "<|unk|>", "user", "assistant", "system", *WORDS, *CAPITALS]
    engine = Tokenizer(models.WordLevel({name: n for n, name in enumerate(names)}, unk_token="<|unk|>"))
    engine.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=engine, pad_token="<|pad|>", eos_token="<|im_end|>", unk_token="<|unk|>",
        additional_special_tokens=["<|im_start|>"],
    )  # fmt: skip
    tokenizer.chat_template = CHATML
    tokenizer.save_pretrained(folder)
    return folder


def word_llama(seed: int = 0, **config: Any) -> Any:
    import torch
    import transformers

    torch.manual_seed(seed)
    shape = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64}
    ids = {"vocab_size": 7 + 2 * len(WORDS), "bos_token_id": 1, "eos_token_id": 1, "pad_token_id": 0}
    return transformers.LlamaForCausalLM(transformers.LlamaConfig(**ids, **{**shape, **config}))


def write_preference_tokens(folder: Path, tokenizer: Path, pairs: Sequence[Pair]) -> None:
    """tokens/{split}/ and its `rejected/`."""
    from transformers import AutoTokenizer

    read = AutoTokenizer.from_pretrained(tokenizer)
    template = hashlib.sha256(CHATML.encode()).hexdigest()
    for number, place in enumerate((folder, folder / REJECTED), 1):
        writer = TokenWriter(place, len(read), 1, hash_tokenizer(tokenizer), closed=False, template=template)
        spans, start = [], 0
        for pair in pairs:
            prompt, ids = (
                read.apply_chat_template(given, add_generation_prompt=opens, return_dict=False)
                for given, opens in ((messages_of(pair[0]), True), (messages_of(pair[0], pair[number]), False))
            )
            spans.append((start + len(prompt), start + len(ids)))
            start += len(ids)
            writer.write(np.array(ids, np.uint16), np.array([len(ids)], np.int64), len(pair[0]) + len(pair[number]))
        writer.close()
        write_answers(place, np.array(spans))
