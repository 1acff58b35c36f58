"""Batches of segment pairs, for masked models trained with next-sentence prediction.

A document is cut into chunks that fit a sequence. Segment A is the first part of a chunk; segment B is the rest or,
half of the time, part of a chunk of another document (Devlin et al. 2018, section 3.1).
"""

import numpy as np

from tasks.formats.rows import IGNORED, Ids, padded
from tasks.formats.tokens import Tokens
from tasks.stage.errors import DataError
from tasks.train.batches import Batch, Batches, Data
from tasks.train.packed import VALIDATION, Masking
from tasks.train.settings import MaskedTraining
from tasks.train.vocabulary import Vocabulary

SHORTEST = 8
"""Minimum tokens of a chunk, enough for two segments."""
FOLLOWS, FOREIGN = 0, 1
"""Classes of `next_sentence_label`, as in BertForPreTraining."""


def sentence_data(tokens: Tokens, validation: Tokens, settings: MaskedTraining, vocabulary: Vocabulary) -> Data:
    """Batches of both splits. Raises DataError if the tokenizer lacks a token or a split has too few documents."""
    training = SentenceBatches(tokens, settings, vocabulary, 0, None)
    held_out = SentenceBatches(validation, settings, vocabulary, VALIDATION, settings.evaluation_tokens)
    return Data(training, held_out, {"mask_probability": settings.mask_probability, "chunks": len(training.chunks)})


def chunks_of(tokens: Tokens, longest: int) -> Ids:
    """The chunks of at least SHORTEST tokens, [chunks, 3]: document, start and stop in the token stream."""
    found = []
    for document, (start, stop) in enumerate(zip(tokens.starts[:-1], tokens.starts[1:], strict=True)):
        text_stop = int(stop) - 1  # without the closing token
        for place in range(int(start), text_stop, longest):
            if min(place + longest, text_stop) - place >= SHORTEST:
                found.append((document, place, min(place + longest, text_stop)))
    return np.array(found, np.int64).reshape(-1, 3)


class SentenceBatches(Batches):
    """Batches of `batch_size` segment pairs, padded to the longest."""

    def __init__(
        self, tokens: Tokens, settings: MaskedTraining, vocabulary: Vocabulary, first: int, most_tokens: int | None
    ) -> None:
        self.tokens, self.settings, self.padding, self.first = tokens, settings, vocabulary.padding, first
        self.masking = Masking(settings, vocabulary)
        if vocabulary.cls is None or vocabulary.sep is None:
            raise DataError("train.next_sentence: the tokenizer lacks a cls or sep token")
        self.begin, self.separator = [vocabulary.cls], [vocabulary.sep]
        self.chunks = chunks_of(tokens, settings.context_length - 3)
        if len(set(self.chunks[:, 0].tolist())) < 2:
            raise DataError("train.next_sentence: needs at least two documents long enough for two segments")
        self.used = len(self.chunks)
        if most_tokens is not None:
            self.used = max(1, int(np.searchsorted(np.cumsum(self.chunks[:, 2] - self.chunks[:, 1]), most_tokens)))
        self.count, self.width = -(-self.used // settings.batch_size), settings.context_length
        self._pass = -1
        self._order: Ids = np.empty(0, np.int64)

    def batch(self, position: int) -> Batch:
        """See `Batches.batch`."""
        import torch

        number, place = divmod(position, self.count)
        if number != self._pass:
            self._order = np.random.default_rng([self.settings.seed, number]).permutation(self.used)
            self._pass = number
        size = self.settings.batch_size
        chosen = self._order[place * size : (place + 1) * size]
        pairs = [self._pair(int(chunk), self.first + position * size + row) for row, chunk in enumerate(chosen)]
        ids, labels, types, follows = zip(*pairs, strict=True)
        seen, mask = padded(ids, self.padding)
        rows = {"input_ids": seen, "attention_mask": mask, "token_type_ids": padded(types, 0)[0]}
        rows["labels"] = padded(labels, IGNORED)[0]
        tensors = {name: torch.from_numpy(value) for name, value in rows.items()}
        return tensors | {"next_sentence_label": torch.tensor(follows)}

    def _pair(self, chunk: int, place: int) -> tuple[Ids, Ids, Ids, int]:
        """Input ids, labels and token types, each [tokens], and the next-sentence label."""
        generator = np.random.default_rng([self.settings.seed, 2, place])
        document, start, stop = (int(value) for value in self.chunks[chunk])
        middle = start + int(generator.integers((stop - start) // 4, 3 * (stop - start) // 4 + 1))
        one, two, label = self.tokens.slice(start, middle), self.tokens.slice(middle, stop), FOLLOWS
        if generator.random() < 0.5:
            two, label = self._foreign(generator, document, stop - middle), FOREIGN
        ids = np.concatenate([self.begin, one, self.separator, two, self.separator])
        seen, labels = self.masking.mask(ids, place)
        types = np.repeat([0, 1], [len(one) + 2, len(two) + 1])
        return seen, labels, types, label

    def _foreign(self, generator: np.random.Generator, document: int, length: int) -> Ids:
        """Up to `length` tokens from a chunk of another document."""
        own, behind = np.searchsorted(self.chunks[:, 0], [document, document + 1])
        other = int(generator.integers(len(self.chunks) - (behind - own)))
        _, start, stop = (int(value) for value in self.chunks[other if other < own else other + behind - own])
        first = int(generator.integers(start, max(start, stop - length) + 1))
        return self.tokens.slice(first, min(first + length, stop))
