"""The base class of served models: loads the folder, encodes texts, batches texts of similar length."""

import json
import math
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.pyfunc.model import PythonModel, PythonModelContext

from tasks.formats.text_ids import open_tokenizer

if TYPE_CHECKING:
    import torch
    from transformers import PretrainedConfig


class Served(PythonModel):
    """A served model; subclasses name its `transformers` class and answer texts."""

    auto: str
    bounds: ClassVar[Mapping[str, tuple[float, float]]]
    """The range of each prediction parameter."""

    def load_context(self, context: PythonModelContext) -> None:
        """Load tokenizer and weights from the Hugging Face folder onto the available device."""
        import torch
        import transformers

        transformers.utils.logging.set_verbosity_error()
        transformers.utils.logging.disable_progress_bar()
        self.folder = Path(context.artifacts["model"])
        self.usage = json.loads((self.folder / "gristmill.json").read_text(encoding="utf-8"))
        self.tokenizer = open_tokenizer(self.folder, self.usage.get("control", False))
        config = transformers.AutoConfig.from_pretrained(self.folder, local_files_only=True)
        loader = getattr(transformers, self.class_of(config))
        self.model = loader.from_pretrained(self.folder, local_files_only=True, dtype=torch.float32)
        self.model = self.model.eval().to(_device())
        self.longest = self._longest()
        # MLflow's server calls from several threads; tokenizers and torch's random numbers are not thread-safe.
        self.lock = threading.Lock()

    def class_of(self, config: "PretrainedConfig") -> str:
        """The class of `transformers` for a model with this configuration."""
        return self.auto

    def predict(
        self, context: PythonModelContext, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> list[Any]:
        """One prediction per text of the column (MLflow makes it from a list); `params` follow the signature."""
        texts, given = list(model_input.iloc[:, 0]), dict(params or {})
        for place, text in enumerate(texts):
            if not isinstance(text, str):
                found = "null" if pd.api.types.is_scalar(text) and pd.isna(text) else f"{text!r:.60}"
                raise MlflowException.invalid_parameter_value(f"input {place + 1} is {found}, expected a string")
        for name, value in given.items():
            least, most = self.bounds.get(name, (-math.inf, math.inf))
            if not (math.isfinite(value) and least <= value <= most):
                limits = f"at least {least}" if most == math.inf else f"from {least} to {most}"
                limits = limits if math.isfinite(value) else "a finite number"
                raise MlflowException.invalid_parameter_value(f"{name}: must be {limits}, not {value}")
        with self.lock:
            for place, problem in self.check(texts).items():
                raise MlflowException.invalid_parameter_value(f"input {place + 1}: {problem}")
            return self.answer(texts, given) if texts else []

    def answer(self, texts: Sequence[str], params: dict[str, Any]) -> list[Any]:
        """The predictions for one or more texts."""
        raise NotImplementedError

    def check(self, texts: Sequence[str]) -> dict[int, str]:
        """Problems of inputs that cannot be answered, by place."""
        return {}

    def count_cut(self, texts: Sequence[str]) -> int:
        """The number of texts that will be truncated to the model's length."""
        if self.longest is None or not texts:
            return 0
        prefixed = [self.usage["prefix"] + text for text in texts]
        return sum(len(ids) > self.longest - len(self.closing) for ids in self.tokenizer(prefixed)["input_ids"])

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Ids with special tokens, truncated as in training; at least one id, even for an empty text."""
        how: dict[str, Any] = {}
        if self.longest is not None:
            how = {"truncation": True, "max_length": self.longest - len(self.closing)}
        found = self.tokenizer([self.usage["prefix"] + text for text in texts], **how)["input_ids"]
        return [[*ids, *self.closing] or [self._pad()] for ids in found]

    def batches(
        self, texts: Sequence[Sequence[int]], size: int, left: bool = False
    ) -> Iterator[tuple[list[int], dict[str, Any]]]:
        """Places of texts and their padded input, longest first: little padding, and memory errors come early.

        `input_ids` and `attention_mask` are [texts, longest text], padded on the right or `left`.
        """
        import torch
        from torch.nn.utils.rnn import pad_sequence

        side = "left" if left else "right"
        order = sorted(range(len(texts)), key=lambda place: -len(texts[place]))
        for start in range(0, len(order), size):
            places = order[start : start + size]
            rows = [torch.tensor(texts[place]) for place in places]
            ids = pad_sequence(rows, True, self._pad(), side)
            mask = pad_sequence([torch.ones_like(row) for row in rows], True, 0, side)
            yield places, {"input_ids": ids.to(self.model.device), "attention_mask": mask.to(self.model.device)}

    @property
    def closing(self) -> list[int]:
        """The ids that end each text and output if the tokenizer does not add them."""
        end = self.usage["closing"]
        return [] if end is None else [end]

    def positions(self) -> int | None:
        """The context length in tokens; None if the architecture sets no limit."""
        positions = getattr(self.model.config, "max_position_embeddings", None)
        if positions is None:
            return None
        padding = getattr(getattr(self.model.base_model, "embeddings", None), "padding_idx", None)
        # RoBERTa numbers positions from after the padding id.
        return int(positions) if padding is None else int(positions) - padding - 1

    def _longest(self) -> int | None:
        length = self.usage["source_length"]
        known = (self.tokenizer.model_max_length if length is None else length, self.positions())
        return min((length for length in known if length is not None and length < 1 << 30), default=None)

    def _pad(self) -> int:
        known = (self.model.config.pad_token_id, self.tokenizer.pad_token_id, 0)
        return int(next(pad for pad in known if pad is not None))


def _device() -> "torch.device":
    import torch

    wanted = os.environ.get("GRISTMILL_DEVICE", "auto")
    if wanted != "auto":
        return torch.device(wanted)
    return torch.device("cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu")
