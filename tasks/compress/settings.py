"""The section `compress` of a recipe."""

from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field, RootModel, StringConstraints, model_validator

from tasks.stage.settings import Section

VariantName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,31}$")]


class Variant(Section):
    """Keys of every variant."""

    margin: float | None = Field(None, gt=0)
    """The largest loss against the model that does not matter, in units of the metric that decides. A variant that is
    shown to lose less answers in its place: it gets the alias `champion-<name>`. Null: it gets none."""


class QuantizeSettings(Variant):
    """Linear layers with integer weights. No training; the model is smaller, and reads less memory as it runs."""

    method: Literal["quantize"]
    weights: Literal["int8", "int4"] = "int8"
    """Bits of a weight. Embeddings and norms stay floats, in 16 and 32 bits."""
    group: int | None = Field(None, ge=8)
    """Inputs of a layer that share a scale, a multiple of 8; null: all of them, or 32 for int4. Fewer are more exact,
    and slower. A layer whose inputs are no multiple of it stays float."""
    calibration: int = Field(64, ge=0, le=4096)
    """Rows of up to 512 training tokens, whose activations the rounding has to keep (GPTQ, Frantar et al. 2022). 0
    rounds each weight to the nearest integer. Variants with the same number share the work."""

    @model_validator(mode="after")
    def _group_fits(self) -> Self:
        if self.group is not None and self.group % 8:
            raise ValueError(f"group: must be a multiple of 8, not {self.group}")
        return self

    @property
    def bits(self) -> int:
        """Bits of a weight."""
        return 8 if self.weights == "int8" else 4

    @property
    def inputs_per_scale(self) -> int | None:
        """Inputs that share a scale; None: all of a layer."""
        return self.group or (None if self.bits == 8 else 32)


class CompressSettings(RootModel[dict[VariantName, QuantizeSettings]]):
    """Smaller variants of the model by name, such as `int8`; each is scored as the model itself is."""

    model_config = ConfigDict(frozen=True)

    @model_validator(mode="after")
    def _none_is_the_model(self) -> Self:
        if "model" in self.root:
            raise ValueError("model: is the name of the model itself; choose another one")
        return self
