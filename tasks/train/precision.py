"""Choose a precision that the hardware supports natively, so that training is never silently slow."""

from dataclasses import dataclass

from tasks.formats.precision import bf16_in_hardware
from tasks.stage.errors import GristmillError
from tasks.stage.runtime import find_device
from tasks.train.settings import TrainSettings


@dataclass(frozen=True)
class Machine:
    """Device, precision and attention implementation of a training run, and whether its loss is compiled."""

    device: str
    precision: str
    attention: str
    compiled: bool = False

    def facts(self) -> dict[str, str | bool]:
        """What its bytes depend on, for identity and report."""
        facts: dict[str, str | bool] = {"precision": self.precision, "attention": self.attention}
        return facts | ({"compiled": True} if self.compiled else {})


def resolve(settings: TrainSettings, where: str) -> Machine:
    """The machine for a recipe; `where` is its file. Raises GristmillError if the hardware lacks bf16."""
    place = find_device()
    has_bf16 = bf16_in_hardware(place)
    if settings.precision == "bf16" and not has_bf16:
        lacks = "processor has neither AVX512_BF16 nor AMX" if place == "cpu" else f"{place} device has no bf16"
        raise GristmillError(f"{where}: train.precision: bf16 is not supported: this {lacks}; use auto or fp32")
    precision = settings.precision if settings.precision != "auto" else "bf16" if has_bf16 else "fp32"
    attention = settings.attention
    if attention == "auto":
        attention = "eager" if (place, precision) == ("cpu", "bf16") else "sdpa"
    return Machine(place, precision, attention)


def require_deterministic(required: bool) -> None:
    """Let torch use, and compile, only kernels that give the same bytes each time; or any."""
    import torch

    torch.use_deterministic_algorithms(required)  # with `warn_only`, the backward pass of attention would not be
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
