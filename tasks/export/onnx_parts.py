"""The parts of a model as functions of tensors alone, with the names of their inputs and outputs.

    encoder, classifier   model     input_ids, attention_mask → logits
    decoder               model     input_ids, attention_mask, position_ids, past.N.key and .value
                                    → logits, present.N.key and .value
    encoder-decoder       encoder   input_ids, attention_mask → hidden
                          decoder   decoder_input_ids, hidden, attention_mask, past.N.key and .value
                                    → logits, present.N.key and .value

Shapes: ids [batch, length], the mask [batch, past + length] (of an encoder's input [batch, length]), keys and values
[batch, heads, past, size of a head]; `past` is 0 at the beginning. Both masks are 1 where there is a token.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tasks.stage.errors import DataError
from tasks.stage.task import is_causal

if TYPE_CHECKING:
    import torch

BATCH, LENGTH, PAST, WHOLE, SOURCE = "batch", "length", "past_length", "whole_length", "source_length"


@dataclass(frozen=True)
class Part:
    """A file to be."""

    name: str
    module: "torch.nn.Module"
    examples: tuple[Any, ...]
    """Arguments of a call: tensors, and a list of them for the cache."""
    inputs: Mapping[str, tuple[str, ...]]
    """The name of each tensor, in order, and of its dimensions; "" for a fixed one."""
    outputs: tuple[str, ...]

    def dynamic(self) -> list[Any]:
        """For `torch.export`: which dimensions vary, in the structure of the arguments."""
        import torch

        auto = torch.export.Dim.DYNAMIC
        shapes = iter({n: auto for n, name in enumerate(dims) if name} for dims in self.inputs.values())
        return [[next(shapes) for _ in one] if isinstance(one, list) else next(shapes) for one in self.examples]


def parts_of(task: str, model: Any) -> list[Part]:
    """The parts of a model of a task. Raises DataError for a cache that is not of keys and values."""
    if model.config.is_encoder_decoder:
        return [_encoder(model), _decoder_of_two(model)]
    if is_causal(task, encoder_decoder=False):
        return [_decoder(model)]
    return [_whole(model)]


def past_names(layers: int) -> list[str]:
    """The names of the cache's tensors, in the order of the arguments."""
    return [f"past.{layer}.{kind}" for layer in range(layers) for kind in ("key", "value")]


def _whole(model: Any) -> Part:
    import torch

    class Whole(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
            logits: torch.Tensor = self.model(input_ids=input_ids, attention_mask=attention_mask).logits
            return logits

    inputs = {"input_ids": (BATCH, LENGTH), "attention_mask": (BATCH, LENGTH)}
    return Part("model", Whole(), (_ids(2, 12), _mask(2, 12)), inputs, ("logits",))


def _encoder(model: Any) -> Part:
    import torch

    class Encoder(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder = model.get_encoder()

        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
            outputs = self.encoder(input_ids=input_ids, attention_mask=attention_mask)
            hidden: torch.Tensor = outputs.last_hidden_state
            return hidden

    inputs = {"input_ids": (BATCH, SOURCE), "attention_mask": (BATCH, SOURCE)}
    return Part("encoder", Encoder(), (_ids(2, 12), _mask(2, 12)), inputs, ("hidden",))


def _decoder(model: Any) -> Part:
    import torch
    from transformers.cache_utils import DynamicCache

    shapes = _cache_shapes(model, model(input_ids=_ids(1, 2), use_cache=True).get("past_key_values"))

    class Decoder(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(
            self, input_ids: torch.Tensor, attention_mask: torch.Tensor, position_ids: torch.Tensor, past: Any
        ) -> tuple[torch.Tensor, ...]:
            cache = DynamicCache(config=self.model.config)
            _fill(cache, past)
            outputs = self.model(
                input_ids=input_ids, attention_mask=attention_mask, position_ids=position_ids, past_key_values=cache,
                use_cache=True,
            )  # fmt: skip
            return (outputs.logits, *_emptied(outputs.past_key_values))

    inputs = {"input_ids": (BATCH, LENGTH), "attention_mask": (BATCH, WHOLE), "position_ids": (BATCH, LENGTH)}
    examples = (_ids(2, 3), _mask(2, 8), torch.arange(5, 8)[None].repeat(2, 1), _past(shapes, 2, 5))
    return _with_cache("model", Decoder(), examples, inputs, len(shapes) // 2)


def _decoder_of_two(model: Any) -> Part:
    import torch
    from transformers.cache_utils import DynamicCache, EncoderDecoderCache
    from transformers.modeling_outputs import BaseModelOutput

    first = model(input_ids=_ids(1, 2), decoder_input_ids=_ids(1, 2), use_cache=True).past_key_values
    shapes = _cache_shapes(model, first.self_attention_cache)

    class Decoder(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(
            self, decoder_input_ids: torch.Tensor, hidden: torch.Tensor, attention_mask: torch.Tensor, past: Any
        ) -> tuple[torch.Tensor, ...]:
            cache = EncoderDecoderCache(DynamicCache(), DynamicCache())
            _fill(cache.self_attention_cache, past)
            outputs = self.model(
                decoder_input_ids=decoder_input_ids, encoder_outputs=BaseModelOutput(last_hidden_state=hidden),
                attention_mask=attention_mask, past_key_values=cache, use_cache=True,
            )  # fmt: skip
            return (outputs.logits, *_emptied(outputs.past_key_values.self_attention_cache))

    inputs = {"decoder_input_ids": (BATCH, LENGTH), "hidden": (BATCH, SOURCE, ""), "attention_mask": (BATCH, SOURCE)}
    hidden = torch.zeros(2, 7, model.get_encoder()(input_ids=_ids(1, 2)).last_hidden_state.shape[-1])
    examples = (_ids(2, 3), hidden, _mask(2, 7), _past(shapes, 2, 5))
    return _with_cache("decoder", Decoder(), examples, inputs, len(shapes) // 2)


def _with_cache(
    name: str, module: "torch.nn.Module", examples: tuple[Any, ...], inputs: Mapping[str, tuple[str, ...]], layers: int
) -> Part:
    cache = past_names(layers)
    outputs = ("logits", *(past.replace("past", "present") for past in cache))
    return Part(name, module, examples, {**inputs, **dict.fromkeys(cache, (BATCH, "", PAST, ""))}, outputs)


def _cache_shapes(model: Any, cache: Any) -> list[tuple[int, int]]:
    """Heads and size of a head of each key and value."""
    import torch

    layers = getattr(cache, "layers", None) or [None]
    found = [getattr(layer, kind, None) for layer in layers for kind in ("keys", "values")]
    parts = [part for part in found if isinstance(part, torch.Tensor) and part.ndim == 4]
    if len(parts) != len(found):
        raise DataError(
            f"{model.config.model_type} keeps something else than keys and values between tokens, which cannot be "
            "exported; remove export.onnx"
        )
    return [(part.shape[1], part.shape[3]) for part in parts]


def _fill(cache: Any, past: "Sequence[torch.Tensor]") -> None:
    for layer in range(len(past) // 2):
        cache.update(past[2 * layer], past[2 * layer + 1], layer)


def _emptied(cache: Any) -> "list[torch.Tensor]":
    return [part for layer in cache.layers for part in (layer.keys, layer.values)]


def _past(shapes: Sequence[tuple[int, int]], batch: int, length: int) -> "list[torch.Tensor]":
    import torch

    return [torch.zeros(batch, heads, length, size) for heads, size in shapes]


def _ids(batch: int, length: int) -> "torch.Tensor":
    import torch

    return torch.ones(batch, length, dtype=torch.int64)


def _mask(batch: int, length: int) -> "torch.Tensor":
    import torch

    return torch.ones(batch, length, dtype=torch.int64)
