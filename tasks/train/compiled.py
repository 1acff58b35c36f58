"""Compiling the training loss, forward and backward, with torch.compile: `GRISTMILL_COMPILE`.

`auto` compiles a training on packed blocks (causal and masked models) of at least WORK floating-point operations, 6 for
each parameter and token (Kaplan et al. 2020, https://arxiv.org/abs/2001.08361, section 2.1): no stopwatch, so a machine
always decides the same way. Batches of varying shapes are compiled with `on` only.

Measured on one core of an AMD EPYC, median processor time of a step of the recipe `shakespeare`: 108 ms eager, 72 to 78
compiled.

A compiled training has other bytes than an eager one, as fused sums round elsewhere, so it has an identity of its own.
It has the same bytes each time, and over any number of stops: everything is compiled before the first step, from the
same first batches, and a batch whose shape fits none of the compiled graphs is computed without them. Otherwise the
graphs would depend on the batches that a process saw first. Dropout draws its seeds from torch's generator, whose state
is in every checkpoint.

Compiled code is kept in `data/.compiled/<torch>-<processor>`, unless TORCHINDUCTOR_CACHE_DIR says where: it serves the
next run, and every recipe with a model of the same shapes.
"""

import fcntl
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from tasks.stage.errors import one_line
from tasks.stage.run import DATA
from tasks.stage.runtime import compiling
from tasks.train.batches import Batch, Batches, find_asked
from tasks.train.compilable import keep_rotations
from tasks.train.dealt import Dealt, taken_off
from tasks.train.plan import Plan
from tasks.train.precision import require_deterministic
from tasks.train.settings import MaskedTraining, PackedTraining, TrainSettings

if TYPE_CHECKING:
    import torch

Loss = Callable[[Any, Batch], "torch.Tensor"]

WORK = {"cpu": 1e13, "cuda": 1e16}
"""Least floating-point operations of a training that `auto` compiles. On two cores about a minute of eager training;
`shakespeare` has 1.4e13. Not measured on a GPU."""
SHAPES = 3
"""Most shapes of batches that are compiled, each for all batches that differ in size only."""
SEARCHED = 64
"""Batches among which they are searched."""
KEPT_BYTES = 2 << 30
"""The cache is emptied if it is larger than this."""

AUTOCAST = ("torch.amp.autocast_mode._enter_autocast", "torch.amp.autocast_mode._exit_autocast")
"""What begins and ends mixed precision in a graph. torch does not cache the tracing of graphs with other functions than
those it lists, and has forgotten these two, whose arguments are part of the graph and so of its key. With them, the
first step of a cached `shakespeare` comes 5 s earlier."""

_held: list[IO[bytes]] = []
"""The lock on the cache, while this process lives."""


class CannotCompile(Exception):
    """The compiler is missing or failed; the message says how, in one line."""


def wanted(plan: Plan, parameters: int) -> bool:
    """Whether to compile this training, of a model with this many parameters."""
    if plan.settings.shard != "none":  # its layers are put together and taken apart by hooks
        return False
    how = compiling()
    if how != "auto":
        return how == "on"
    if _varies(plan.settings):
        return False
    tokens = plan.steps * plan.settings.accumulation * plan.settings.tokens_per_batch()
    return 6 * parameters * tokens >= WORK.get(plan.machine.device, float("inf"))


def compiled(plan: Plan, net: Any, device: "torch.device") -> Loss:
    """The plan's loss for training, compiled; `net` is the model as it will be trained.

    Raises CannotCompile. Leaves torch's generator elsewhere, and the model without gradients.
    """
    import torch
    from torch._dynamo.exc import TorchDynamoException

    keep_cache()
    for name in AUTOCAST:
        torch._inductor.config.unsafe_marked_cacheable_functions.setdefault(name, torch.__version__)
    torch._dynamo.reset()  # of another training in this process

    def loss(net: Any, batch: Batch) -> "torch.Tensor":
        return plan.loss(net, batch)

    before = torch.are_deterministic_algorithms_enabled()
    require_deterministic(True)  # else threads add up the gradients of embeddings in any order, on CPUs, too
    torch._inductor.config.deterministic = True  # no choice of a kernel by stopwatch
    hooks = keep_rotations(net) if device.type == "cpu" else []
    quick: Loss = torch.compile(loss)
    training = net.training
    net.train()
    try:
        if device.type == "cpu":
            _require_compiler()
        for batch in _first_shapes(plan):
            quick(net, _marked({name: part.to(device) for name, part in batch.items()}, plan)).backward()
    except (TorchDynamoException, RuntimeError) as error:
        if not _is_of_compiler(error):
            raise
        for hook in hooks:
            hook.remove()
        require_deterministic(before)
        raise CannotCompile(one_line(error)) from error
    finally:
        net.zero_grad()
        net.train(training)
        with suppress(AttributeError):
            torch._inductor.async_compile.shutdown_compile_workers()
    return lambda net, batch: quick(net, _marked(batch, plan))


def settled(plan: Plan) -> "AbstractContextManager[Any]":
    """While active, nothing more is compiled: what fits no compiled graph is computed without."""
    import torch

    return torch.compiler.set_stance("eager_on_recompile") if plan.machine.compiled else nullcontext()


def _require_compiler() -> None:
    from torch._inductor.cpp_builder import get_cpp_compiler

    get_cpp_compiler()


def _is_of_compiler(error: BaseException) -> bool:
    """Whether torch's compiler raised an error, and not the model itself."""
    from torch._dynamo.exc import TorchDynamoException
    from torch._inductor.exc import CppCompileError, InvalidCxxCompiler

    return isinstance(error, TorchDynamoException | CppCompileError | InvalidCxxCompiler)


def _first_shapes(plan: Plan) -> Iterator[Batch]:
    """The first training batches of SHAPES different shapes; one where all are alike. Of several ranks, each gets its
    shares of them, and all get as many."""
    training: Batches = plan.data.training
    dealt = Dealt(training, plan.world, plan.settings.accumulation)
    seen = set()
    for number in range(min(training.count, SEARCHED) if _varies(plan.settings) else 1):
        position = dealt.position(number)
        batch = find_asked(training.batch(position))
        shape = batch["input_ids"].shape
        if shape not in seen:
            seen.add(shape)
            if plan.world.size > 1:
                batch = find_asked(dealt.batch(position))
                taken_off(batch)
            yield batch
        if len(seen) == SHAPES:
            return


def _marked(batch: Batch, plan: Plan) -> Batch:
    """A batch whose sizes a graph takes as variables: of blocks of one length the number of items only."""
    from torch._dynamo import maybe_mark_dynamic

    varies = _varies(plan.settings)
    for name, part in batch.items():
        for axis in range(part.ndim) if varies or name == "asked" else ():
            maybe_mark_dynamic(part, axis)
    return batch


def _varies(settings: TrainSettings) -> bool:
    """Whether batches differ in shape. Those of packed blocks do not, unless the blocks are pairs of sentences."""
    return not isinstance(settings, PackedTraining) or (isinstance(settings, MaskedTraining) and settings.next_sentence)


def keep_cache() -> None:
    """Make torch keep compiled code in `data/.compiled`, and remove what older versions left there, unless another
    training uses it. Without write access, torch keeps it in its own temporary folder."""
    import torch
    from torch._inductor.runtime.cache_dir_utils import default_cache_dir

    if os.environ.get("TORCHINDUCTOR_CACHE_DIR", default_cache_dir()) != default_cache_dir():  # torch sets its default
        return
    processor = hashlib.blake2b(repr(sorted(torch.cpu.get_capabilities().items())).encode(), digest_size=4).hexdigest()
    root = (DATA / ".compiled").absolute()
    folder = root / f"{torch.__version__}-{processor}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (root / "lock").open("ab")
    except OSError:  # torch has a place of its own in the system's folder for temporary files
        return
    _held.append(lock)
    with suppress(OSError):  # another training has it, or no locks here: nothing is cleared
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        for other in root.iterdir():
            if other.is_dir() and not other.name.startswith(f"{torch.__version__}-"):
                shutil.rmtree(other)
        if _bytes(folder) > KEPT_BYTES:
            shutil.rmtree(folder)
            folder.mkdir()
    with suppress(OSError):
        fcntl.flock(lock, fcntl.LOCK_SH)
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(folder)


def _bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
