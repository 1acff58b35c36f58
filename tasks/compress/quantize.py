"""A variant with integer weights."""

import math
from pathlib import Path
from typing import Any

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


def quantize(job: Job, task: str, settings: QuantizeSettings, name: str, folder: Path) -> dict[str, Any]:
    """Write the variant `name` into a new folder; returns facts for the report.

    Raises RecipeError if no layer can be quantized so.
    """
    source = job.input("model")
    model = load_model(source, task)
    group, key = settings.inputs_per_scale, f"{recipe_path(job.recipe)}: compress.{name}"
    layers = linear_layers(model)
    weights = {place: rows_of(layer) for place, layer in layers.items()}
    step = math.lcm(group or 1, WORD // settings.bits)
    fitting = {place: layer for place, layer in layers.items() if weights[place].shape[1] % step == 0}
    if not layers:
        raise RecipeError(f"{key}: {model.config.model_type} has no linear layers that can be quantized; remove it")
    if not fitting:
        widths = math.gcd(*(rows.shape[1] for rows in weights.values()))
        raise RecipeError(f"{key}.group: {step} divides the inputs of no layer; all are multiples of {widths}")
    moments = {}
    if settings.calibration:
        inputs = read_inputs(job.input("tokens/train"), task, model, settings.calibration)
        with progress(f"calibrating {name}", len(inputs), "rows") as shown:
            moments = second_moments(model, fitting, inputs, shown.advance)
    rounded = {}
    with progress(f"rounding {name}", len(fitting), "layers") as shown:
        for place in fitting:
            rounded[place] = round_weights(weights[place], settings.bits, group, moments.get(place))
            shown.advance()
    write_quantized(model, source, rounded, Scheme(settings.bits, group), folder)
    kept = sorted(set(layers) - set(fitting))
    return {"layers": len(rounded), **({"float_layers": kept} if kept else {})}
