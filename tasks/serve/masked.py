"""A registered masked language model: texts with masks in, the texts with the masks filled out."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModelContext

from tasks.formats.text_ids import Frame, encode_masked, mask_pattern
from tasks.serve.shared import Served

LOGITS = 1 << 26
"""Logits per batch, 256 MiB of them; a large vocabulary means smaller batches."""


class MaskedModel(Served):
    """Fills each mask with its likeliest token, all masks of a text at once. A mask is `[MASK]` or the tokenizer's own
    mask token."""

    auto = "AutoModelForMaskedLM"
    bounds: ClassVar[Mapping[str, tuple[float, float]]] = {"batch_size": (1, math.inf), "top_k": (1, math.inf)}

    def load_context(self, context: PythonModelContext) -> None:
        """Also compile the pattern of masks."""
        super().load_context(context)
        self.mask = mask_pattern(self.tokenizer)

    def check(self, texts: Sequence[str]) -> dict[int, str]:
        """A text needs a mask, and all its masks within the model's length."""
        problems = {}
        for place, (text, ids) in enumerate(zip(texts, self._encode(texts), strict=True)):
            wanted, there = len(self.mask.findall(text)), ids.count(self.tokenizer.mask_token_id)
            if not wanted:
                problems[place] = f"no [MASK] in {text[:60]!r}"
            elif there < wanted:
                problems[place] = f"mask {there + 1} is beyond the {self.longest} tokens that fit the model"
        return problems

    def answer(self, texts: Sequence[str], params: dict[str, Any]) -> list[Any]:
        """{text, masks} per text: the filled text, and {token, probability} of the `top_k` best tokens per mask."""
        with self.turn():
            ids = self._encode(texts)
        width = max(len(text) for text in ids)
        size = min(params["batch_size"], max(1, LOGITS // (width * self.model.config.vocab_size)))
        found: list[Any] = [None] * len(texts)
        for places, batch in self.batches(ids, size):
            with self.turn():
                for place, best in zip(places, self._best(batch, params["top_k"]), strict=True):
                    found[place] = {
                        "text": self._fill(texts[place], [tokens[0][0] for tokens in best]),
                        "masks": [
                            [
                                {"token": str(self.tokenizer.decode([token])).strip(), "probability": p}
                                for token, p in tokens
                            ]
                            for tokens in best
                        ],
                    }
        return found

    def _encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Ids with special tokens, truncated; masks are the only special tokens inside."""
        behind = Frame.of(self.tokenizer).behind
        whole, most = self._whole(texts), self.longest
        return [ids if most is None or len(ids) <= most else [*ids[: most - len(behind)], *behind] for ids in whole]

    def _whole(self, texts: Sequence[str]) -> list[list[int]]:
        return [encode_masked(self.tokenizer, text) for text in texts]

    def count_cut(self, texts: Sequence[str]) -> int:
        """See `Served.count_cut`."""
        return sum(self.longest is not None and len(ids) > self.longest for ids in self._whole(texts))

    def _best(self, batch: dict[str, Any], count: int) -> list[list[list[tuple[int, float]]]]:
        """The likeliest tokens with probabilities, per text and mask; special tokens are excluded."""
        import torch

        masks = batch["input_ids"] == self.tokenizer.mask_token_id
        with torch.inference_mode():
            probabilities = self.model(**batch).logits[masks].softmax(-1)  # [masks of all texts, vocabulary]
            probabilities[:, self.tokenizer.all_special_ids] = 0
            values, tokens = probabilities.topk(min(count, probabilities.shape[1]))
        pairs = [list(zip(*row, strict=True)) for row in zip(tokens.tolist(), values.tolist(), strict=True)]
        return [[pairs.pop(0) for _ in range(number)] for number in masks.sum(1).tolist()]

    def _fill(self, text: str, tokens: Sequence[int]) -> str:
        """The text with its masks replaced."""
        start, *rest = self.mask.split(text)
        filled = start
        for token, space, after in zip(tokens, rest[::2], rest[1::2], strict=True):
            written = self._behind_a_word(token)
            if written.startswith(" ") or not filled:
                written = (space or (" " if filled else "")) + written.lstrip()
            filled += written + after
        return filled

    def _behind_a_word(self, token: int) -> str:
        """A token as text after a word: ` cat`, or `s` if it continues the word."""
        word = self.tokenizer.encode("a", add_special_tokens=False)
        return str(self.tokenizer.decode([*word, token])).removeprefix(str(self.tokenizer.decode(word)))


set_model(MaskedModel())
