"""An ordered map on a Ray or Dask cluster that the user has started.

The workers need this project's environment, and its folder at the same path: they read and write its files. Both
engines rerun the unfinished work of a lost worker.
"""

import os
import socket
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from tasks.stage.errors import GristmillError
from tasks.workers.threads import in_order

Item = TypeVar("Item")
Result = TypeVar("Result")

AHEAD = 2
"""Items per CPU of the cluster that are running or waiting to be consumed."""

CONNECT = 20.0
"""Seconds to wait for a cluster to answer."""

FIRST_WORKER = 120.0
"""Seconds to wait for a cluster's first worker: an autoscaling cluster has to start a machine for it."""


def by_ray(work: Callable[[Item], Result], items: Iterable[Item], address: str | None) -> Iterator[Result]:
    """Map on the Ray cluster at `address`, or on the one that Ray finds on this machine."""
    with ray_at(address) as ray:
        task = partial(ray.remote(num_cpus=1)(_here).remote, Path.cwd())
        processors = _processors(
            lambda: int(ray.cluster_resources().get("CPU", 0)),
            lambda: ray.get(task(bool, 0), timeout=FIRST_WORKER),
            "Ray",
            address,
        )
        try:
            yield from in_order(partial(task, work), ray.get, items, AHEAD * processors)
        except ray.exceptions.RayTaskError as error:
            raise error.cause from error


@contextmanager
def ray_at(address: str | None) -> Iterator[Any]:
    """Ray, connected to the cluster at `address`, or to the one on this machine.

    Raises GristmillError if there is none.
    """
    ray = _library("ray", "ray")
    try:
        if address is not None:  # Ray itself retries for many minutes
            host, _, port = address.rpartition(":")
            socket.create_connection((host, int(port)), CONNECT).close()
        ray.init(address=address or "auto", log_to_driver=False, logging_level="error")
    except (OSError, ValueError, RuntimeError) as error:
        place = f"at {address}" if address else "is running here"
        raise GristmillError(f"GRISTMILL_ENGINE: no Ray cluster {place}: {error}") from error
    try:
        yield ray
    finally:
        ray.shutdown()


def by_dask(work: Callable[[Item], Result], items: Iterable[Item], address: str | None) -> Iterator[Result]:
    """Map on the Dask cluster with its scheduler at `address`."""
    distributed = _library("distributed", "dask")
    try:
        client = distributed.Client(address, set_as_default=False, timeout=CONNECT)
    except (OSError, ValueError) as error:
        raise GristmillError(f"GRISTMILL_ENGINE: no Dask scheduler at {address}: {error}") from error
    with client:
        task = partial(client.submit, _here, Path.cwd(), pure=False)
        threads = _processors(
            lambda: sum(client.nthreads().values()), lambda: task(bool, 0).result(FIRST_WORKER), "Dask", address
        )
        yield from in_order(partial(task, work), lambda future: future.result(), items, AHEAD * threads)


CLUSTERS: dict[str, Callable[..., Iterator[Any]]] = {"ray": by_ray, "dask": by_dask}
"""By their name in GRISTMILL_ENGINE."""


def _processors(count: Callable[[], int], first: Callable[[], object], kind: str, address: str | None) -> int:
    """The CPUs of a cluster. Raises GristmillError if it has none and none joins in time.

    `first` waits for an empty task, which makes an autoscaling cluster start a worker.
    """
    if not count():
        with suppress(TimeoutError):
            first()
    if not (processors := count()):
        place = f"at {address}" if address else "here"
        raise GristmillError(
            f"GRISTMILL_ENGINE: the {kind} cluster {place} has no workers, and none joined within {FIRST_WORKER:.0f} s"
        )
    return processors


def _here(folder: Path, work: Callable[[Item], Result], item: Item) -> Result:
    """Runs on a worker; paths are relative to the project folder."""
    if Path.cwd() != folder:
        os.chdir(folder)
    return work(item)


def _library(module: str, extra: str) -> Any:
    from importlib import import_module

    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        raise GristmillError(
            f"GRISTMILL_ENGINE: {module} is not installed: pip install 'gristmill[{extra}]'"
        ) from error
