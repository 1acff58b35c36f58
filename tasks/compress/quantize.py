"""Variants with integer weights."""

import math
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.compress.settings import QuantizeSettings
from tasks.formats.model_inputs import load_model, read_inputs
from tasks.quantize.calibration import linear_layers, rows_of, second_moments
from tasks.quantize.layout import Scheme, write_quantized
from tasks.quantize.reading import WORD
from tasks.quantize.rounding import round_weights
from tasks.stage.errors import RecipeError
from tasks.stage.progress import progress
from tasks.stage.run import Job
from tasks.stage.settings import recipe_path

if TYPE_CHECKING:
    import torch


class Quantizer:
    """A model in float32, from which variants are made; they share what is measured on training text."""

    def __init__(self, job: Job, task: str) -> None:
        self.job, self.task, self.source = job, task, job.input("model")
        self.model = load_model(self.source, task)
        self.layers = linear_layers(self.model)
        self.weights = {place: rows_of(layer) for place, layer in self.layers.items()}
        self.moments = cache(self._moments)

    def write(self, settings: QuantizeSettings, name: str, folder: Path) -> dict[str, Any]:
        """Write the variant `name` into a new folder; returns facts for the report.

        Raises RecipeError if no layer can be quantized so.
        """
        fitting = self._fitting(settings, f"{recipe_path(self.job.recipe)}: compress.{name}")
        moments = self.moments(settings.calibration) if settings.calibration else {}
        rounded = {}
        with progress(f"rounding {name}", len(fitting), "layers") as shown:
            for place in fitting:
                own = moments.get(place)
                rounded[place] = round_weights(self.weights[place], settings.bits, settings.inputs_per_scale, own)
                shown.advance()
        scheme = Scheme(settings.bits, settings.inputs_per_scale)
        write_quantized(self.model, self.source, rounded, scheme, folder)
        kept = sorted(set(self.layers) - set(fitting))
        return {"layers": len(rounded), **({"float_layers": kept} if kept else {})}

    def _fitting(self, settings: QuantizeSettings, key: str) -> list[str]:
        """The layers whose inputs are a multiple of the group, and of the weights in a word."""
        kind, step = self.model.config.model_type, math.lcm(settings.inputs_per_scale or 1, WORD // settings.bits)
        if not self.layers:
            raise RecipeError(f"{key}: {kind} has no linear layers that can be quantized; remove it")
        found = [place for place, rows in self.weights.items() if rows.shape[1] % step == 0]
        if not found:
            widths = math.gcd(*(rows.shape[1] for rows in self.weights.values()))
            raise RecipeError(f"{key}.group: {step} divides the inputs of no layer; all are multiples of {widths}")
        return found

    def _moments(self, rows: int) -> "dict[str, torch.Tensor]":
        inputs = read_inputs(self.job.input("tokens/train"), self.task, self.model, rows)
        with progress("calibrating", len(inputs), "rows") as shown:
            return second_moments(self.model, self.layers, inputs, shown.advance)
