"""Low-rank adapters: adding them to a base, quantizing what they leave frozen, merging and keeping them."""

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.stage.errors import GristmillError, one_line
from tasks.train.model import Design
from tasks.train.precision import Machine
from tasks.train.settings import LoraSettings

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

KNOWN = 12
"""Layer names listed in an error message."""
ADAPTER = "adapter"
"""Folder of the adapter, inside that of the model."""


def add_lora(model: "PreTrainedModel", drawn: list[str], lora: LoraSettings, design: Design, machine: Machine) -> Any:
    """Add LoRA adapters and freeze all weights except `drawn`, the newly initialized layers.

    Raises RecipeError for unknown layers, GristmillError where the hardware or a library for 4 bits is missing.
    """
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers.pytorch_utils import Conv1D

    targets = lora.targets if isinstance(lora.targets, str) else list(lora.targets)
    layers = dict(model.named_modules())
    for target in targets if isinstance(targets, list) else ():
        if not any(f".{name}".endswith(f".{target}") for name in layers):
            linear = [name for name, layer in layers.items() if isinstance(layer, torch.nn.Linear | Conv1D)]
            known = ", ".join(list(dict.fromkeys(name.rpartition(".")[2] for name in linear))[:KNOWN])
            raise design.wrong(
                "model.lora.targets", f"{model.config.model_type} has no layer {target!r}; its layers include {known}"
            )
    config = LoraConfig(
        r=lora.rank, lora_alpha=lora.alpha, lora_dropout=lora.dropout, target_modules=targets,
        modules_to_save=drawn or None, exclude_modules=drawn or None,
    )  # fmt: skip
    if lora.quantize is not None:
        _quantize(model, drawn, lora.quantize, design, machine)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing.* is deprecated")  # PEFT's use of it
            return get_peft_model(model, config)
    except ValueError as error:
        raise design.wrong("model.lora.targets", one_line(error)) from error
    finally:
        if lora.quantize is not None:
            del model.is_loaded_in_4bit


def _quantize(model: "PreTrainedModel", drawn: list[str], kind: str, design: Design, machine: Machine) -> None:
    """Replace the linear layers, except head and `drawn`, by ones that hold their weights in 4 bits on the device.

    Their scales are quantized, too ("double quantization"). Dettmers et al. 2023, https://arxiv.org/abs/2305.14314.
    """
    import torch

    key = "model.lora.quantize"
    if machine.device not in ("cpu", "cuda"):
        raise GristmillError(
            f"{design.where}: {key}: {kind} is for NVIDIA and AMD GPUs and for CPUs, not for {machine.device}; "
            "remove the key, or set GRISTMILL_DEVICE=cpu"
        )
    try:
        from bitsandbytes.nn import Linear4bit, Params4bit
    except ImportError as error:
        raise GristmillError(
            f"{design.where}: {key}: {kind} needs bitsandbytes: pip install 'gristmill[qlora]'"
        ) from error

    compute = torch.bfloat16 if machine.precision == "bf16" else torch.float32
    head, found = model.get_output_embeddings(), 0
    for name, layer in list(model.named_modules()):
        if type(layer) is not torch.nn.Linear or layer is head or name in drawn:
            continue
        small = Linear4bit(
            layer.in_features, layer.out_features, bias=layer.bias is not None, compute_dtype=compute,
            quant_type=kind, device="meta",
        )  # fmt: skip
        small.weight = Params4bit(layer.weight.detach(), requires_grad=False, quant_type=kind, module=small)
        small.bias = layer.bias
        small.support_avx512bf16_for_cpu = False  # validation with the numbers of training, not with another kernel's
        try:
            model.set_submodule(name, small.to(machine.device))
        except (RuntimeError, AttributeError, NotImplementedError) as error:
            raise GristmillError(
                f"{design.where}: {key}: bitsandbytes cannot quantize to {kind} on this {machine.device}: "
                f"{one_line(error)}; remove the key"
            ) from error
        found += 1
    if not found:
        raise design.wrong(key, f"{model.config.model_type} has no linear layers that can be quantized; remove it")
    model.is_loaded_in_4bit = True  # type: ignore[assignment]  # PEFT chooses its layers by this


def merged(model: Any) -> "PreTrainedModel":
    """The model with its adapters in its weights. Those held in 4 bits are dequantized first, so the result is what
    was trained, not the base plus the adapter."""
    from peft.tuners.lora import LoraLayer

    for name, layer in list(model.named_modules()):
        if isinstance(layer, LoraLayer) and _is_quantized(layer.get_base_layer()):
            model.set_submodule(name, _plain(layer.get_base_layer(), layer))
        elif _is_quantized(layer) and not name.endswith(".base_layer"):
            model.set_submodule(name, _plain(layer, None))
    result: PreTrainedModel = model.merge_and_unload()
    return result


def _is_quantized(layer: Any) -> bool:
    return getattr(getattr(layer, "weight", None), "quant_state", None) is not None


def _plain(small: Any, adapted: Any | None) -> "torch.nn.Linear":
    """A linear layer in float32 with the weights of a quantized one and its adapter."""
    import torch
    from bitsandbytes.functional import dequantize_4bit

    weight = dequantize_4bit(small.weight.data, small.weight.quant_state).float()
    if adapted is not None:
        weight = weight + adapted.get_delta_weight("default")
    plain = torch.nn.Linear(small.in_features, small.out_features, small.bias is not None, device="meta")
    plain.weight, plain.bias = torch.nn.Parameter(weight.detach()), small.bias
    return plain


def save_adapter(model: Any, folder: Path) -> None:
    """Write the adapters alone, in PEFT's format: `PeftModel.from_pretrained(base, folder)` reads them."""
    config = model.peft_config["default"]
    for key in ("target_modules", "exclude_modules"):
        if isinstance(value := getattr(config, key), set):
            setattr(config, key, sorted(value))  # PEFT writes a set in an order that changes with each process
    model.save_pretrained(folder, save_embedding_layers=False)
    (folder / "README.md").unlink()  # an empty form
