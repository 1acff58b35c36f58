"""The inputs of a training: tokenized splits, and the batches of a task made of them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tasks.formats.tokenizer import load_tokenizer
from tasks.formats.tokens import REJECTED, TARGET, Answers, Index, Labels, Tokens, read_parts
from tasks.stage.errors import DataError
from tasks.stage.run import Job
from tasks.stage.task import CHATS, FAMILIES
from tasks.train.batches import Data
from tasks.train.buckets import Layout, Sides, bucket_data
from tasks.train.conversations import ConversationBatches, chat_data
from tasks.train.mixture import Source, sources_of
from tasks.train.order import Order
from tasks.train.packed import causal_data, masked_data, of_each_source
from tasks.train.preferences import preference_data
from tasks.train.sentences import sentence_data
from tasks.train.settings import BucketTraining, ChatTraining, MaskedTraining, PackedTraining, PreferenceTraining
from tasks.train.vocabulary import Vocabulary

if TYPE_CHECKING:
    from transformers import PretrainedConfig

SAME = ("vocab_size", "eos_token_id", "tokenizer", "template")
"""Fields of an index that are the same for all splits."""


def open_splits(job: Job, order: Order) -> dict[str, Sides]:
    """Open the tokenized splits. Raises DataError if a split is too short or the tokenizers differ."""
    needs = FAMILIES[order.task].needs
    splits = {}
    for name in ("train", "validation"):
        path = job.input(f"tokens/{name}")
        tokens = Tokens.open(path)
        target = Tokens.open(path / needs) if needs in (TARGET, REJECTED) else None
        labels = Labels.open(path) if needs == "label" else None
        answers = Answers.open(path, tokens) if order.task in CHATS else None
        splits[name] = Sides(tokens, target, labels, answers, read_parts(path, tokens))
        if isinstance(order.train, PackedTraining) and len(tokens) < order.train.context_length:
            raise DataError(
                f"{path}: {len(tokens):,} tokens, fewer than one block of {order.train.context_length} tokens "
                f"({order.where}: train.context_length)"
            )
    one, other = (sides.text.index for sides in splits.values())
    if any(getattr(one, name) != getattr(other, name) for name in SAME):
        raise DataError(f"{job.input('tokens/validation')}/index.json: made by a different tokenizer than tokens/train")
    return splits


def read_sources(order: Order, train: Sides) -> list[Source]:
    """The sources of a mixture with weights; empty without."""
    sides = [side.starts for side in (train.text, train.target) if side is not None]
    tokens = [sum(int(starts[own.stop] - starts[own.start]) for starts in sides) for _, own in train.parts]
    return sources_of(train.parts, tokens, order.weights, order.where)


def make_data(
    job: Job,
    order: Order,
    splits: dict[str, Sides],
    vocabulary: Vocabulary,
    config: "PretrainedConfig",
    sources: Sequence[Source] = (),
) -> Data:
    """The batches for a task and model config; `sources`: those of a mixture with weights."""
    train, validation, settings = splits["train"], splits["validation"], order.train
    if isinstance(settings, PreferenceTraining):
        folders = {name: job.input(f"tokens/{name}") for name in splits}
        return preference_data(folders, settings, vocabulary.padding, order.where, sources, mixed=bool(train.parts))
    if isinstance(settings, BucketTraining):
        layout = Layout.of(order.task, config, vocabulary.padding)
        return bucket_data(train, validation, settings, order.task != "translation", layout, order.where, sources)
    if isinstance(settings, ChatTraining):
        return chat_data(train, validation, settings, vocabulary.padding, order.where, sources)
    assert isinstance(settings, PackedTraining)
    stream = of_each_source(validation, settings.evaluation_tokens)
    if isinstance(settings, MaskedTraining):
        if settings.next_sentence:
            return sentence_data(train.text, validation.text, settings, vocabulary)
        return masked_data(train.text, stream, settings, vocabulary, order.where, sources)
    return causal_data(train.text, stream, settings, vocabulary.opening, order.where, sources)


def counted(job: Job, order: Order, validation: Sides, data: Data) -> Index | None:
    """The tokens and bytes that the validation loss is on: of the split, or of a chat model's answers; else None."""
    if order.task == "causal-lm":
        return validation.text.index
    if isinstance(order.train, ChatTraining) and order.train.loss_on != "all":
        assert isinstance(data.validation, ConversationBatches)
        return data.validation.conversations.counted(load_tokenizer(job.input("tokenizer")))
    return None
