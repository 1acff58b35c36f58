"""`train.shard: full`: weights, gradients and the optimizer's state are dealt over ranks, with FSDP2.

Each rank has 1 / size of every parameter; the whole ones of a layer are together only while it computes (Zhao et al.
2023, https://arxiv.org/abs/2304.11277; ZeRO stage 3 of Rajbhandari et al. 2020, https://arxiv.org/abs/1910.02054).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


def shard(net: "torch.nn.Module", device: str) -> "torch.nn.Module":
    """Shard a model in place: each layer by itself, and the rest together, since embeddings and head may share weights.

    It may be on the CPU: only its parts go to the device. accelerate would shard the head by itself, which fails where
    head and model share a bias (BERT), and not at all on CPUs. Precision is autocast's, as without shards.
    """
    import torch
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    mesh = init_device_mesh(device, (torch.distributed.get_world_size(),))
    for layer in layers_of(net):
        fully_shard(layer, mesh=mesh)
    fully_shard(net, mesh=mesh)
    return net


def layers_of(model: "torch.nn.Module") -> "list[torch.nn.Module]":
    """What the outermost lists of modules of a model hold."""
    import torch

    found: list[torch.nn.Module] = []
    inside: set[int] = set()
    for module in model.modules():  # outer ones first
        if isinstance(module, torch.nn.ModuleList) and id(module) not in inside:
            inside |= {id(inner) for inner in module.modules()}
            found += [layer for layer in module if next(layer.parameters(), None) is not None]
    return found


@contextmanager
def unsynced(net: Any) -> Iterator[None]:
    """While active, gradients are not yet summed over ranks."""
    net.set_requires_gradient_sync(False)
    try:
        yield
    finally:
        net.set_requires_gradient_sync(True)


def whole(net: "torch.nn.Module") -> dict[str, Any]:
    """All weights of a sharded model on the CPU of rank 0, by name; empty on other ranks. All ranks call it."""
    from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict

    return get_model_state_dict(net, options=StateDictOptions(full_state_dict=True, cpu_offload=True))


def gather(net: "torch.nn.Module", model: "torch.nn.Module", first: bool) -> None:
    """Put the weights of a sharded model into a whole one on rank 0. All ranks call it."""
    weights = whole(net)
    if first:
        model.load_state_dict(weights)


def as_plain(values: "torch.Tensor") -> "torch.Tensor":
    """A tensor of all ranks as one that each has whole."""
    full = getattr(values, "full_tensor", None)  # DTensor, whose import takes a second
    return values if full is None else full()


def placed_as(values: "torch.Tensor", like: Any) -> "torch.Tensor":
    """The part of a tensor, which all ranks have whole, that belongs to a sharded one of the same shape."""
    if not hasattr(like, "full_tensor"):
        return values
    from torch.distributed.tensor import DTensor, Replicate

    mesh = like.device_mesh
    return DTensor.from_local(values, mesh, [Replicate()] * mesh.ndim, run_check=False).redistribute(
        mesh, like.placements
    )


def save(folder: Path, net: "torch.nn.Module", optimizer: "torch.optim.Optimizer", alone: bool) -> None:
    """Write weights and optimizer of a sharded training into a folder, each rank its part; `alone`: one has it all."""
    import torch.distributed.checkpoint as parts

    with _alone():
        parts.save(_state(net, optimizer), checkpoint_id=folder, no_dist=alone)


def load(folder: Path, net: "torch.nn.Module", optimizer: "torch.optim.Optimizer", alone: bool) -> None:
    """Read what `save` wrote, whatever the number of ranks that wrote it: also one that is not sharded."""
    import torch
    import torch.distributed.checkpoint as parts
    from torch.distributed.checkpoint.metadata import TensorStorageMetadata

    reader = parts.FileSystemReader(folder)
    state = {name: values for name, values in _state(net, optimizer).items() if name.startswith(WEIGHT)}
    parameters = _parameters(optimizer)
    for name, stored in reader.read_metadata().state_dict_metadata.items():
        if name.startswith(MOMENT) and isinstance(stored, TensorStorageMetadata):
            parameter = parameters[int(name.split("/")[1])]
            alike = stored.size == parameter.shape
            state[name] = torch.zeros_like(parameter) if alike else torch.zeros(stored.size)
    with _alone():
        parts.load(state, storage_reader=reader, no_dist=alone)
    for number, parameter in enumerate(parameters):
        start = f"{MOMENT}{number}/"
        own = {name.removeprefix(start): values for name, values in state.items() if name.startswith(start)}
        if own:
            _owner(optimizer, parameter).state[parameter] = own


@contextmanager
def _alone() -> Iterator[None]:
    """While active, torch does not warn that one process alone writes or reads all parts."""
    import warnings

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="torch.distributed is disabled")
        yield


WEIGHT, MOMENT = "weight/", "optimizer/"


def _state(net: "torch.nn.Module", optimizer: "torch.optim.Optimizer") -> "dict[str, torch.Tensor]":
    """`weight/<name>` and `optimizer/<number of the parameter>/<name>`; frozen weights are the base's."""
    state = {f"{WEIGHT}{name}": values.detach() for name, values in net.named_parameters() if values.requires_grad}
    for number, parameter in enumerate(_parameters(optimizer)):
        for name, values in _owner(optimizer, parameter).state.get(parameter, {}).items():
            state[f"{MOMENT}{number}/{name}"] = values
    return state


def _parameters(optimizer: "torch.optim.Optimizer") -> "list[torch.Tensor]":
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def _owner(optimizer: Any, parameter: "torch.Tensor") -> "torch.optim.Optimizer":
    """The optimizer, or the part of it, that moves a parameter."""
    optimizer = getattr(optimizer, "optimizer", optimizer)  # without accelerate's wrapper
    parts: list[torch.optim.Optimizer] = getattr(optimizer, "parts", [optimizer])
    ids = id(parameter)
    return next(part for part in parts if any(id(own) == ids for group in part.param_groups for own in group["params"]))
