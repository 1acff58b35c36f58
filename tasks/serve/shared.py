"""The base class of served models: loads the folder, encodes texts, batches texts of similar length.

In MLflow's server the work of a request is bounded, requests take turns after each batch, and a request stops when its
client has gone or the server has given up on it (MLFLOW_SCORING_SERVER_REQUEST_TIMEOUT), so that none keeps the others
waiting. See `server`.
"""

import json
import math
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import pandas as pd
from mlflow.pyfunc.model import PythonModel, PythonModelContext

from tasks.formats.text_ids import LOCAL, open_tokenizer
from tasks.quantize.reading import is_quantized, load_quantized
from tasks.serve.server import GONE, SERVER, as_table, guard, invalid

if TYPE_CHECKING:
    import torch
    from transformers import PretrainedConfig

TEXTS = 1024
CHARACTERS = 1 << 20
BEAMS = 64
TOP_K = 1000
NEW_TOKENS = 1 << 18
"""Limits of a request to a server; the last one is of texts x beams x max_new_tokens."""

CUT = 64
"""Characters per token of a long text that are tokenized at first."""


class Served(PythonModel):
    """A served model; subclasses name its `transformers` class and answer texts."""

    auto: str
    bounds: ClassVar[Mapping[str, tuple[float, float]]]
    """The range of each prediction parameter."""
    reads: ClassVar[Callable[[Any], Any]] = as_table
    """How a request in JSON is handed on."""

    def load_context(self, context: PythonModelContext) -> None:
        """Load tokenizer and weights from the Hugging Face folder onto the available device."""
        import torch
        import transformers

        transformers.utils.logging.set_verbosity_error()
        transformers.utils.logging.disable_progress_bar()
        self.folder = _folder(context.artifacts)
        self.usage = json.loads((self.folder / "gristmill.json").read_text(encoding="utf-8"))
        self.tokenizer = open_tokenizer(self.folder, self.usage.get("control", False))
        config = transformers.AutoConfig.from_pretrained(self.folder, **LOCAL)
        loader = getattr(transformers, self.class_of(config))
        if is_quantized(self.folder):
            self.model = load_quantized(self.folder, loader)
        else:
            self.model = loader.from_pretrained(self.folder, **LOCAL, dtype=torch.float32)
        self.model = self.model.eval().to(_device())
        self.longest = self._longest()
        # MLflow's server calls from several threads; tokenizers and torch's random numbers are not thread-safe.
        self.lock, self.queue, self.request = threading.Lock(), threading.Lock(), threading.local()
        self.serving = "__pyfunc_model_path__" in os.environ  # MLflow's server sets it for itself
        if self.serving:
            guard(sys.modules[SERVER], type(self).reads)

    def class_of(self, config: "PretrainedConfig") -> str:
        """The class of `transformers` for a model with this configuration."""
        return self.auto

    def predict(
        self, context: PythonModelContext, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> list[Any]:
        """One prediction per text of the column (MLflow makes it from a list); `params` follow the signature."""
        texts, given = list(model_input.iloc[:, 0]), dict(params or {})
        for place, text in enumerate(texts, 1):
            require_text(f"input {place}", text)
        self.require_bounds(given)
        self.begin(len(texts), sum(map(len, texts)), given)
        with self.turn():
            problems = self.check(texts)
        for place, problem in problems.items():
            raise invalid(f"input {place + 1}: {problem}")
        return self.answer(texts, given) if texts else []

    def require_bounds(self, params: Mapping[str, Any]) -> None:
        """Raise MlflowException for a parameter that is null or out of its range."""
        for name, value in params.items():
            if value is None:
                raise invalid(f"{name}: must be a number, not null; leave it out for its default")
            least, most = self.bounds.get(name, (-math.inf, math.inf))
            if not (math.isfinite(value) and least <= value <= most):
                limits = f"at least {least}" if most == math.inf else f"from {least} to {most}"
                limits = limits if math.isfinite(value) else "a finite number"
                raise invalid(f"{name}: must be {limits}, not {value}")

    def begin(
        self, inputs: int, characters: int, params: Mapping[str, Any], gone: threading.Event | None = None
    ) -> None:
        """Start the work of a request in this thread. Raises MlflowException if it asks for too much work.

        `gone`: set when nobody waits for the answer; default: by the server.
        """
        self.request.end, self.request.gone = math.inf, gone or GONE.get()
        if self.serving:
            _require_little(inputs, characters, params, "Masked" in self.auto)
            self.request.end = time.monotonic() + _patience()

    @contextmanager
    def turn(self) -> Iterator[None]:
        """A part of a request's work, alone; other requests go before the next part. Raises when the time is over."""
        with self.queue:  # who waits for the lock holds this, so that its last holder cannot take it again at once
            self.lock.acquire()
        try:
            self.require_time()
            yield
            self.require_time()
        finally:
            self.lock.release()

    def seconds_left(self) -> float | None:
        """Seconds until the server gives up on the request; None without a server."""
        return None if self.request.end == math.inf else max(self.request.end - time.monotonic(), 0.01)

    def require_time(self) -> None:
        """Raise MlflowException if the client has gone or the server has given up on the request."""
        if self.request.gone is not None and self.request.gone.is_set():
            raise invalid("stopped: the client has closed the connection")
        if time.monotonic() > self.request.end:
            raise invalid(f"stopped after {_patience()} s, MLFLOW_SCORING_SERVER_REQUEST_TIMEOUT; send fewer inputs")

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
        prefixed = [self.shorten(self.usage["prefix"] + text, self.longest) for text in texts]
        return sum(len(ids) > self.longest - len(self.closing) for ids in self.tokenizer(prefixed)["input_ids"])

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Ids with special tokens, truncated as in training; at least one id, even for an empty text."""
        how: dict[str, Any] = {}
        prefixed = [self.usage["prefix"] + text for text in texts]
        if self.longest is not None:
            how = {"truncation": True, "max_length": self.longest - len(self.closing)}
            prefixed = [self.shorten(text, self.longest) for text in prefixed]
        found = self.tokenizer(prefixed, **how)["input_ids"]
        return [[*ids, *self.closing] or [self._pad()] for ids in found]

    def shorten(self, text: str, tokens: int, end: bool = False) -> str:
        """The beginning of a long text, or its `end`, with twice as many `tokens` as needed: the cut changes none."""
        size = CUT * tokens
        while size < len(text):
            part = text[-size:] if end else text[:size]
            if len(self.tokenizer(part, add_special_tokens=False, truncation=False)["input_ids"]) > 2 * tokens:
                return part
            size *= 4
        return text

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
        positions = getattr(self.model.config.get_text_config(), "max_position_embeddings", None)
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


def require_text(name: str, text: Any) -> None:
    """Raise MlflowException if an input is not a text."""
    if not isinstance(text, str):
        found = "null" if pd.api.types.is_scalar(text) and pd.isna(text) else f"{text!r:.60}"
        raise invalid(f"{name} is {found}, expected a string")
    if not text.isascii() and (bad := next((c for c in text if "\ud800" <= c <= "\udfff"), None)):
        raise invalid(f"{name} is not Unicode: it contains {bad!a}")


def _require_little(inputs: int, characters: int, params: Mapping[str, Any], masked: bool) -> None:
    """Raise MlflowException if a request asks for too much work."""
    work = inputs * params.get("num_beams", 1) * params.get("max_new_tokens", 1)
    for what, amount, most in (
        ("inputs", inputs, TEXTS),
        ("characters of all inputs", characters, CHARACTERS),
        ("batch_size", params.get("batch_size", 1), TEXTS),
        ("num_beams", params.get("num_beams", 1), BEAMS),
        ("top_k of filled masks", params.get("top_k", 1) if masked else 1, TOP_K),
        ("inputs x num_beams x max_new_tokens", work, NEW_TOKENS),
    ):
        if amount > most:
            raise invalid(f"{what}: {amount:,} in one request, more than the {most:,} that a server accepts")


def _folder(artifacts: Mapping[str, str]) -> Path:
    """The folder of the model, or of the variant in GRISTMILL_VARIANT. Raises MlflowException for an unknown one."""
    wanted = os.environ.get("GRISTMILL_VARIANT") or "model"
    if wanted not in artifacts:
        known = ", ".join(name for name in artifacts if name != "model") or "none"
        raise invalid(f"GRISTMILL_VARIANT: this model has no variant {wanted!r} (available: {known})")
    return Path(artifacts[wanted])


def _device() -> "torch.device":
    import torch

    wanted = os.environ.get("GRISTMILL_DEVICE") or "auto"
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if wanted != "auto" and not there.get(wanted):
        raise invalid(f"GRISTMILL_DEVICE: torch finds no {wanted!r} on this machine; one of auto, cpu, cuda, mps")
    return torch.device(next(name for name, found in there.items() if found) if wanted == "auto" else wanted)


def _patience() -> int:
    """Seconds after which MLflow's server answers that a request took too long."""
    from mlflow.environment_variables import MLFLOW_SCORING_SERVER_REQUEST_TIMEOUT

    return int(MLFLOW_SCORING_SERVER_REQUEST_TIMEOUT.get())
