"""The processes of a training on a Ray cluster, by Ray's `TorchTrainer`: `GRISTMILL_LAUNCH=ray:2`.

GRISTMILL_ENGINE names the cluster (`ray:ADDRESS`); without an address, Ray finds the one on this machine. Its machines
need this project's environment and its folder at the same path, as for data stages (`tasks.workers.clusters`).
"""

import json
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread
from typing import Any

from tasks.stage.errors import GristmillError
from tasks.stage.runtime import engine, find_device
from tasks.train.distributed import RANKS
from tasks.train.endings import explain
from tasks.workers.clusters import ray_at

TAKEN = ("GRISTMILL_", "MLFLOW_")
"""How the environment settings begin that the ranks get from this process."""
NOT_TAKEN = ("GRISTMILL_OUTCOME", "GRISTMILL_PARENT")


def by_ray(recipe: str, ranks: int, folder: Path) -> None:
    """Run the ranks of a training on the cluster; each needs a GPU, or a core where it has none.

    Raises as `tasks.train.launch.by_torchrun`.
    """
    kind, address = engine()
    gpu = find_device() == "cuda"
    with ray_at(address if kind == "ray" else None) as ray:
        there = int(ray.cluster_resources().get("GPU" if gpu else "CPU", 0))
        if there < ranks:
            raise GristmillError(
                f"GRISTMILL_LAUNCH: {ranks} processes, but the Ray cluster has {there} {'GPUs' if gpu else 'cores'}; "
                f"use ray:{there}"
            )
        from ray.train import FailureConfig, RunConfig, ScalingConfig
        from ray.train.torch import TorchTrainer

        logging.getLogger("ray.train").setLevel(logging.ERROR)
        os.environ.setdefault("RAY_TRAIN_ENABLE_PRINT_PATCH", "0")  # each line would be there twice
        settings = {
            name: value for name, value in os.environ.items() if name.startswith(TAKEN) and name not in NOT_TAKEN
        }
        trainer = TorchTrainer(
            _rank,
            train_loop_config={
                "project": os.fspath(Path.cwd()), "recipe": recipe, "folder": os.fspath(folder), "settings": settings,
            },
            scaling_config=ScalingConfig(num_workers=ranks, use_gpu=gpu),
            run_config=RunConfig(
                name=recipe, storage_path=os.fspath(folder / "ray"), failure_config=FailureConfig(max_failures=0)
            ),
        )  # fmt: skip
        try:
            with _shown(folder / "0.log"):
                trainer.fit()
        except Exception as error:
            if not _is_of_ranks(error):
                raise
            explain(folder, {}, ranks, "a process of the cluster", {}, error)


@contextmanager
def _shown(path: Path) -> Iterator[None]:
    """While active, this process prints what rank 0 writes into a file. Ray would add lines of its own."""
    over = Event()

    def follow() -> None:
        place = 0
        while True:
            last = over.wait(0.5)
            if path.exists():
                with path.open(encoding="utf-8") as file:
                    file.seek(place)
                    text = file.read()
                    place = file.tell()
                print(text, end="", file=sys.stderr, flush=True)
            if last:
                return

    thread = Thread(target=follow, name="words", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _is_of_ranks(error: Exception) -> bool:
    """Whether Ray raised it because a rank ended."""
    from ray.exceptions import RayError
    from ray.train.v2.api.exceptions import TrainingFailedError

    return isinstance(error, RayError | TrainingFailedError)


def _rank(config: dict[str, Any]) -> None:
    """One rank, in a process of the cluster."""
    from ray.train import get_context

    rank, folder = get_context().get_world_rank(), Path(config["folder"])
    os.chdir(config["project"])
    os.environ.update(config["settings"] | {RANKS: os.fspath(folder)})
    sys.stderr = (folder / f"{rank}.log").open("w", encoding="utf-8", buffering=1)  # as long as this process lives
    from tasks.train.rank import take_part

    try:
        take_part(config["recipe"], rank, folder)
    except GristmillError as error:
        outcome = {"exit_code": error.exit_code, "error": str(error)}
        (folder / f"{rank}.json").write_text(json.dumps(outcome), encoding="utf-8")
        raise
