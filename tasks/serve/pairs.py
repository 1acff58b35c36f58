"""A registered translation or summarization model: texts in, their translations or summaries out."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from mlflow.exceptions import MlflowException
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModelContext

from tasks.formats.repetition import of_the_output
from tasks.formats.text_ids import LOCAL
from tasks.serve.shared import Served

if TYPE_CHECKING:
    from transformers import PretrainedConfig

KEPT = (
    "decoder_start_token_id", "bos_token_id", "eos_token_id", "pad_token_id", "forced_bos_token_id",
    "forced_eos_token_id", "bad_words_ids", "suppress_tokens", "begin_suppress_tokens", "renormalize_logits",
)  # fmt: skip
"""Settings taken from the model's generation_config.json; the parameters set the search."""


class PairModel(Served):
    """Writes the best text that beam search finds, like the evaluation; nothing is sampled."""

    auto = "AutoModelForSeq2SeqLM"
    bounds: ClassVar[Mapping[str, tuple[float, float]]] = {
        "batch_size": (1, math.inf),
        "num_beams": (1, math.inf),
        "max_new_tokens": (1, math.inf),
        "no_repeat_ngram_size": (0, math.inf),
    }

    def class_of(self, config: "PretrainedConfig") -> str:
        """An encoder-decoder, or a causal model that continues the text."""
        return self.auto if config.is_encoder_decoder else "AutoModelForCausalLM"

    def load_context(self, context: PythonModelContext) -> None:
        """Also load the tokenizer of the target side if it has its own."""
        from transformers import AutoTokenizer, GenerationConfig

        super().load_context(context)
        folder = self.folder / "target"
        own = folder.is_dir()
        self.target = self.tokenizer
        if own:
            self.target = AutoTokenizer.from_pretrained(folder, **LOCAL)
        found = {name: getattr(self.model.generation_config, name, None) for name in KEPT}
        self.tokens = {name: value for name, value in found.items() if value is not None}
        self.model.generation_config = GenerationConfig(**self.tokens)  # or a search would take other settings from it

    def answer(self, texts: Sequence[str], params: dict[str, Any]) -> list[Any]:
        """All `params` but `batch_size` are search settings of `transformers`."""
        import torch
        from transformers import GenerationConfig

        size = params.pop("batch_size")
        self._check(params)
        if params["num_beams"] == 1:
            del params["early_stopping"], params["length_penalty"]  # no beams to compare
        repetition = {name: params.pop(name) for name in ("repetition_penalty", "no_repeat_ngram_size")}
        search = GenerationConfig(do_sample=False, **params, **self.tokens)
        with self.turn():
            rows = self.encode(texts)
        found = [""] * len(texts)
        causal = not self.model.config.is_encoder_decoder
        for places, batch in self.batches(rows, size, left=causal):
            before = batch["input_ids"].shape[1] if causal else 1  # the start token of an output
            with self.turn(), torch.inference_mode():
                written = self.model.generate(
                    **batch,
                    generation_config=search,
                    max_time=self.seconds_left(),
                    logits_processor=of_the_output(before, **repetition),
                )[:, before:]
                for place, ids in zip(places, written.tolist(), strict=True):
                    found[place] = self._decode(ids)
        return found

    def _decode(self, ids: list[int]) -> str:
        """The text up to the token that ends it."""
        ends = self.tokens["eos_token_id"]
        ends = ends if isinstance(ends, list) else [ends]
        stop = next((place for place, token in enumerate(ids) if token in ends), None)
        text = self.target.decode(ids[:stop], skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return str(text).strip()

    def _check(self, params: dict[str, Any]) -> None:
        limit = self.positions()
        if limit is not None and not self.model.config.is_encoder_decoder:
            limit -= self.usage["source_length"]
        if limit is not None and params["max_new_tokens"] > limit:
            raise MlflowException.invalid_parameter_value(
                f"max_new_tokens: must be from 1 to {limit}, the model's free positions, not {params['max_new_tokens']}"
            )
        if params["repetition_penalty"] <= 0:
            raise MlflowException.invalid_parameter_value("repetition_penalty: must be more than 0; 1 means no penalty")


set_model(PairModel())
