"""Greedy and beam search that stop working on a text as soon as its output is complete.

`generate` of transformers reads every row of a batch until its longest output ends. Outputs of a batch differ widely in
length, so most of that work is for outputs that are complete already. The searches here choose the same tokens by the
same rules, through the same hooks of the model; they differ in the work:

- a text leaves the batch once its output is complete;
- a prompt is read once, not once per beam;
- new keys and values are written behind the old ones, which are not copied at each step;
- beams of a text share its keys and values of the encoder (`share_encoder`), and these are never reordered.

They are passed to `generate` as its `custom_generate`, after it has prepared inputs, cache and processors.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

SPARE = 64
"""Positions by which the cache grows at a time."""

NEVER = -1.0e9
"""The score of a forbidden token."""

SHARED = "sdpa-shared-by-beams"
"""The name of the attention of `share_encoder` within transformers."""

LEAVING = 8
"""One row in so many is complete before the complete ones leave, as each time the cache is copied."""


def generate(model: Any, logits_processor: Any, **inputs: Any) -> "torch.Tensor":
    """`model.generate` without sampling, with the searches of this module: ids [texts, longest].

    Models whose cache holds more than keys and values (state-space models) are searched by transformers itself.
    A processor with state of its own per row has a method `keep(rows)`, called when rows leave.
    """
    searched = {"custom_generate": search} if _keeps_keys_and_values(model) else {}
    found: torch.Tensor = model.generate(logits_processor=logits_processor, **searched, **inputs)
    return found


def share_encoder(model: Any) -> None:
    """Let an encoder-decoder's beams read one copy of their text's keys and values, instead of one each.

    Cross-attention, the largest part of a step on long texts, then reads a quarter of the memory with 4 beams. Needs
    transformers' `sdpa` attention; other models stay as they are.
    """
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.integrations.sdpa_attention import sdpa_attention_forward
    from transformers.masking_utils import sdpa_mask

    def attend(module: Any, query: Any, key: Any, value: Any, mask: Any, **kwargs: Any) -> Any:
        beams = len(query) // len(key)
        if beams == 1 or len(key) == 1:
            return sdpa_attention_forward(module, query, key, value, mask, **kwargs)
        # One token of each beam: to attention, beams are positions of the same text.
        folded = query.unflatten(0, (-1, beams)).squeeze(3).transpose(1, 2)
        mask = None if mask is None else mask[::beams]
        found, weights = sdpa_attention_forward(module, folded, key, value, mask, **kwargs)
        return found.flatten(0, 1)[:, None], weights

    if model.config.is_encoder_decoder and model.config._attn_implementation == "sdpa":
        AttentionInterface.register(SHARED, attend)
        AttentionMaskInterface.register(SHARED, sdpa_mask)
        model.set_attn_implementation(SHARED)


def search(
    model: Any, input_ids: "torch.Tensor", logits_processor: Any, stopping_criteria: Any, generation_config: Any,
    **kwargs: Any,
) -> "torch.Tensor":  # fmt: skip
    """Beam search, or greedy search with one beam: the best output of each text, padded on the right."""
    rows = Rows(model, kwargs, generation_config.num_beams)
    found = beams if generation_config.num_beams > 1 else greedy
    return found(rows, input_ids[:: rows.beams], logits_processor, stopping_criteria, generation_config)


class Rows:
    """The rows of a batch that are still read, `beams` per text, and their cache."""

    def __init__(self, model: Any, kwargs: dict[str, Any], beams: int) -> None:
        """`kwargs`: what the model reads beside ids, repeated for each beam by `generate`."""
        self.model, self.kwargs, self.beams = model, kwargs, beams
        self._keep_inputs(slice(None, None, beams))
        _let_grow(kwargs["past_key_values"])

    def read(self, ids: "torch.Tensor", first: bool = False) -> "torch.Tensor":
        """Read all ids at first, later the last of each row; returns the logits [rows, vocabulary] in fp32."""
        new = {"is_first_iteration": True} if first else {"next_sequence_length": 1}
        outputs = self.model(**self.model.prepare_inputs_for_generation(ids, **new, **self.kwargs), return_dict=True)
        # What `generate` does after each forward: masks and positions grow by one.
        self.kwargs = self.model._update_model_kwargs_for_generation(
            outputs, self.kwargs, is_encoder_decoder=self.model.config.is_encoder_decoder
        )
        logits: torch.Tensor = outputs.logits[:, -1].float()
        return logits

    def keep(self, rows: "torch.Tensor", texts: "torch.Tensor", processors: Any) -> None:
        """Keep only these rows, in this order, which may repeat: those of these of the texts that are left."""
        self._keep_inputs(rows)
        own, of_encoder = _parts(self.kwargs["past_key_values"])
        own.batch_select_indices(rows)
        if of_encoder is not None:
            shared = self.model.config._attn_implementation == SHARED
            of_encoder.batch_select_indices(texts if shared else rows)
        for processor in processors:
            if hasattr(processor, "keep"):
                processor.keep(rows)

    def reorder(self, rows: "torch.Tensor") -> None:
        """Continue these rows: each from a beam of the same text."""
        _parts(self.kwargs["past_key_values"])[0].reorder_cache(rows)

    def _keep_inputs(self, rows: Any) -> None:
        import torch

        for name, value in self.kwargs.items():
            if isinstance(value, torch.Tensor) and value.ndim:
                self.kwargs[name] = value[rows]
            elif name == "encoder_outputs":
                self.kwargs[name] = type(value)(
                    {key: part[rows] for key, part in value.items() if isinstance(part, torch.Tensor)}
                )


def greedy(rows: Rows, ids: "torch.Tensor", processors: Any, stopping: Any, config: Any) -> "torch.Tensor":
    """The most likely token at each step: `_sample` of transformers without sampling."""
    import torch

    found = ids.new_full((len(ids), config.max_length), int(config._pad_token_tensor))
    texts = torch.arange(len(ids), device=ids.device)
    live = torch.ones_like(texts, dtype=torch.bool)
    logits = rows.read(ids, first=True)
    while True:
        chosen = processors(ids, logits).argmax(-1)
        ids = torch.cat([ids, chosen[:, None]], 1)
        ended = live & stopping(ids, None)
        found[texts[ended], : ids.shape[1]] = ids[ended]
        live &= ~ended
        left = int(live.sum())
        if not left:
            return found[:, : ids.shape[1]]
        if (len(live) - left) * LEAVING >= len(live):
            stay = live.nonzero()[:, 0]
            ids, texts, live = ids[stay], texts[stay], live[stay]
            rows.keep(stay, stay, processors)
        logits = rows.read(ids)


def beams(rows: Rows, ids: "torch.Tensor", processors: Any, stopping: Any, config: Any) -> "torch.Tensor":
    """The hypothesis with the best score of each text: `_beam_search` of transformers.

    At each step a text has `beams` open hypotheses with their summed log-probabilities. Of all their continuations the
    best are taken, twice as many as beams (more, if several tokens end an output): those that end, if among the first
    `beams`, compete for the complete ones, whose scores are divided by length ** `length_penalty`; the others stay
    open. A text is complete when it has `beams` complete hypotheses (`early_stopping`), or when no open one can become
    better than its worst complete one.
    """
    import torch

    count, start = rows.beams, ids.shape[1]
    many = max(2, 1 + (0 if config._eos_token_tensor is None else len(config._eos_token_tensor))) * count
    found = ids.new_full((len(ids), config.max_length), int(config._pad_token_tensor))
    texts = torch.arange(len(ids), device=ids.device)
    live = torch.ones_like(texts, dtype=torch.bool)
    # Only the first of equal beams counts at first.
    scores = torch.full((len(ids), count), NEVER, device=ids.device)
    scores[:, 0] = 0
    complete = torch.full_like(scores, NEVER)
    is_complete = torch.zeros_like(scores, dtype=torch.bool)
    logits = rows.read(ids, first=True).repeat_interleave(count, 0)
    rows.keep(texts.repeat_interleave(count), texts, processors)
    ids = ids.repeat_interleave(count, 0).view(len(texts), count, -1)
    while True:
        chances = processors(ids.flatten(0, 1), torch.nn.functional.log_softmax(logits, -1)).view(*scores.shape, -1)
        best, places = (chances + scores[..., None]).flatten(1).topk(many)
        beam, token = places // chances.shape[-1], places % chances.shape[-1]
        longer = torch.cat([_picked(ids, beam), token[..., None]], 2)
        length = longer.shape[2]
        ends = stopping(longer.flatten(0, 1), None).view(len(texts), many)

        scores, next_beams = (best + ends * NEVER).topk(count)
        ids, beam = _picked(longer, next_beams), beam.gather(1, next_beams)

        # New complete hypotheses, of texts that are still read.
        ended = ends & (torch.arange(many, device=ids.device) < count)
        finals = best / ((length - start) ** config.length_penalty) + (~(ended & live[:, None])) * NEVER
        merged, order = torch.cat([complete, finals], 1).topk(count)
        better = live & (order[:, 0] >= count)
        found[texts[better], :length] = longer[better, order[better, 0] - count]
        complete, is_complete = merged, torch.cat([is_complete, ended], 1).gather(1, order)

        live &= _improvable(scores, complete, is_complete, length - start, config)
        if bool(ends.all()) or not (left := int(live.sum())):
            return found[:, :length]
        origin = (torch.arange(len(texts), device=ids.device)[:, None] * count + beam).flatten()
        if (len(live) - left) * LEAVING >= len(live):
            stay = live.nonzero()[:, 0]
            ids, scores, texts, live = ids[stay], scores[stay], texts[stay], live[stay]
            complete, is_complete = complete[stay], is_complete[stay]
            rows.keep(origin.view(-1, count)[stay].flatten(), stay, processors)
        else:
            rows.reorder(origin)
        logits = rows.read(ids.flatten(0, 1))


def _picked(ids: "torch.Tensor", places: "torch.Tensor") -> "torch.Tensor":
    """Of ids [texts, beams, length], those of some beams [texts, chosen]."""
    return ids.gather(1, places[..., None].expand(-1, -1, ids.shape[2]))


def _improvable(
    scores: "torch.Tensor", complete: "torch.Tensor", is_complete: "torch.Tensor", length: int, config: Any
) -> "torch.Tensor":
    """Whether a text needs more steps [texts]."""
    best_open = scores[:, :1] / (length**config.length_penalty)
    worst = complete.min(1, keepdim=True).values.where(is_complete, complete.new_tensor(NEVER))
    improvable: torch.Tensor = (best_open > worst).any(1)
    if config.early_stopping is True:
        improvable &= ~is_complete.all(1)
    return improvable


def _keeps_keys_and_values(model: Any) -> bool:
    """Whether a model's cache holds nothing but keys and values, which can be selected by row."""
    from transformers import DynamicCache
    from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

    layers = DynamicCache(config=model.config.get_text_config(decoder=True)).layers
    return all(type(layer) in (DynamicLayer, DynamicSlidingWindowLayer) for layer in layers)


def _parts(cache: Any) -> tuple[Any, Any]:
    """The cache of the output, and that of the encoder or None."""
    return getattr(cache, "self_attention_cache", cache), getattr(cache, "cross_attention_cache", None)


def _let_grow(cache: Any) -> None:
    """Give a new cache layers that do not copy all keys and values at each step."""
    from transformers.cache_utils import DynamicLayer

    class Growing(DynamicLayer):
        """Keys and values with room for more behind them."""

        keys: Any
        values: Any

        def update(self, key_states: Any, value_states: Any, *args: Any, **kwargs: Any) -> Any:
            if not self.is_initialized:
                self.lazy_initialization(key_states, value_states)
                self.length, self.room = 0, [key_states[:, :, :0], value_states[:, :, :0]]
            stop = self.length + key_states.shape[2]
            for at, new in enumerate((key_states, value_states)):
                if stop > self.room[at].shape[2]:
                    wider = new.new_empty((*new.shape[:2], stop + SPARE, new.shape[3]))
                    wider[:, :, : self.length] = self.room[at][:, :, : self.length]
                    self.room[at] = wider
                self.room[at][:, :, self.length : stop] = new
            self.length = stop
            self.keys, self.values = (each[:, :, :stop] for each in self.room)
            return self.keys, self.values

        def reorder_cache(self, rows: Any) -> None:
            """Each row becomes a copy of another; those that stay in place are not copied."""
            moved = (rows != rows.new_ones(len(rows)).cumsum(0) - 1).nonzero()[:, 0]
            for shown in (self.keys, self.values):
                shown.index_copy_(0, moved, shown.index_select(0, rows[moved]))

        def batch_select_indices(self, rows: Any) -> None:
            self.room = [self.keys[rows], self.values[rows]]
            self.keys, self.values = self.room

    cache = _parts(cache)[0]  # the encoder's does not grow
    cache.layers = [Growing() if type(layer) is DynamicLayer else layer for layer in cache.layers]
