"""When a checkpoint is due, and the thread that writes it while the training goes on.

The state is copied to the memory of the CPU at the step; a thread writes the copy, waits for the disk and hashes the
files. There are never two copies: a checkpoint that is due while the last one is still being written waits for it.
"""

import time
from pathlib import Path
from threading import Thread
from types import TracebackType
from typing import Self

from tasks.stage.errors import GristmillError
from tasks.stage.runtime import minutes_between_checkpoints
from tasks.train import checkpoints
from tasks.train.plan import Plan
from tasks.train.sharded import save
from tasks.train.state import Snapshot, State


class Writer:
    """Writes the checkpoints of a training; `with` waits at the end for the one that is being written.

    An error of the disk is raised by the next `due`, `save` or `wait`.
    """

    def __init__(self, plan: Plan, state: State) -> None:
        self.plan, self.state = plan, state
        self._seconds = minutes_between_checkpoints() * 60
        self._last = time.monotonic()
        self._thread: Thread | None = None
        self._took = 0.0
        self._error: BaseException | None = None

    def due(self, step: int, read: bool) -> bool:
        """Whether a checkpoint should follow this step: by the recipe's steps, at the end of the steps that a longer
        training shares, or by the minutes since the last one. All ranks get the same answer, but for the minutes
        without shards, where rank 0 alone writes: then only if all measurements are `read`, which ranks do together."""
        if self._thread is not None and not self._thread.is_alive():
            self.wait()
        world = self.plan.world
        if step % self.plan.settings.checkpoint_every == 0 or step == self.plan.shared_steps:
            return True
        by_clock = world.first and time.monotonic() - self._last >= self._seconds
        if world.size == 1:
            return by_clock
        return read and (world.of_first(by_clock) if self.plan.sharded else by_clock)

    def save(self, step: int) -> None:
        """Copy the state after this step, and begin to write it: rank 0 does, and with shards all."""
        if not (self.plan.world.first or self.plan.sharded):
            return
        began = time.monotonic()
        self.wait()
        history = self.state.history
        place = self.plan.folder / f"{checkpoints.KIND}-{step}"
        if self.plan.world.first:
            checkpoints.begin(self.plan.folder, step, history)
        if self.state.in_parts:
            self._write_parts(place)
        if self.plan.world.first:
            self._thread = Thread(target=self._write, args=(place, self.state.copy()), name="checkpoint")
            self._thread.start()
        self._last = time.monotonic()
        history.checkpoints += 1
        history.checkpoint_waited += self._last - began

    def _write_parts(self, place: Path) -> None:
        """All ranks write their parts before rank 0 writes the rest, with the mark of a whole checkpoint."""
        world = self.plan.world
        world.wait()
        if not place.is_dir():
            raise GristmillError(
                f"{place}: not on this machine: with train.shard, all machines need one folder data on a shared disk"
            )
        save(place / checkpoints.PARTS, self.state.model, self.state.optimizer, alone=world.size == 1)
        world.wait()

    def wait(self) -> None:
        """Wait until nothing is being written. Raises what the disk raised."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None
            self.state.history.checkpoint_seconds += self._took
        error, self._error = self._error, None
        if error is not None:
            raise error

    def _write(self, place: Path, snapshot: Snapshot) -> None:
        began = time.monotonic()
        try:
            checkpoints.save(place, snapshot, self.plan.identity, self.plan.shared_steps)
        except BaseException as error:  # noqa: BLE001  (raised in the training's thread)
            self._error = error
        self._took = time.monotonic() - began

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        try:
            self.wait()
        except Exception as problem:
            if error is None:
                raise
            checkpoints.say(f"the last checkpoint could not be written: {problem}")
