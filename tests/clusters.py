"""What does the work of data stages, each in turn: processes, and real clusters of two workers on this machine."""

import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.scratch import ROOT

RAY = """
import ray
began = ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="error")
address = began.address_info["address"]
"""
DASK = """
import distributed
cluster = distributed.LocalCluster(n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address=None)
address = cluster.scheduler_address
"""
DASK_ALONE = DASK.replace("n_workers=2", "n_workers=0")
DASK_THAT_GROWS = f"{DASK_ALONE}cluster.adapt(minimum=0, maximum=1)\n"
"""It starts a worker where there is work."""
RAY_ALONE = RAY.replace("num_cpus=2", "num_cpus=0")
CALM = {
    "DASK_DISTRIBUTED__ADMIN__TICK__INTERVAL": "2s",
    "DASK_DISTRIBUTED__ADMIN__SYSTEM_MONITOR__INTERVAL": "10s",
    "DASK_DISTRIBUTED__WORKER__PROFILE__ENABLED": "False",
    "DASK_DISTRIBUTED__WORKER__MEMORY__MONITOR_INTERVAL": "5s",
}
"""Without it, a Dask that waits takes a sixth of a processor for as long as the tests run."""
SERVE = """
if __name__ == "__main__":
    import sys
    {start}
    print(address, flush=True)
    sys.stdin.read()
"""


@contextmanager
def serving(start: str, folder: Path) -> Iterator[str]:
    """A cluster with the `address` that this code gives it; it ends when its process does."""
    program = folder / "cluster.py"
    program.write_text(SERVE.format(start=start.strip().replace("\n", "\n    ")))
    with subprocess.Popen(
        [sys.executable, program],
        env={**os.environ, **CALM, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        yield process.stdout.readline().strip()
        process.stdin.close()


@pytest.fixture(scope="session", autouse=True)
def ray_token() -> Iterator[None]:
    """Set before the first test, since Ray reads it when it is imported; whoever connects to a cluster needs it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "token")
        patch.setenv("RAY_AUTH_TOKEN", secrets.token_hex(32))
        yield


@pytest.fixture(scope="session")
def ray_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Two workers."""
    with serving(RAY, tmp_path_factory.mktemp("ray")) as address:
        yield f"ray:{address}"


@pytest.fixture(scope="session")
def dask_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Two workers, each a process."""
    with serving(DASK, tmp_path_factory.mktemp("dask")) as address:
        yield f"dask:{address}"


@pytest.fixture(params=["processes", "ray", "dask"])
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    name = request.param
    address = name if name == "processes" else request.getfixturevalue(f"{name}_cluster")
    monkeypatch.setenv("GRISTMILL_ENGINE", address)
    return name
