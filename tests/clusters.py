"""What does the work of data stages, each in turn: processes, and real clusters of two workers on this machine."""

import secrets
import subprocess
import sys
from collections.abc import Iterator

import pytest

RAY = """
import ray, sys
began = ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="error")
print(began.address_info["address"], flush=True)
sys.stdin.read()
"""


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[str]:
    """Two workers; it ends when its process does. Who connects has the token, as those who share a cluster have."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "token")
        patch.setenv("RAY_AUTH_TOKEN", secrets.token_hex(32))
        with subprocess.Popen(
            [sys.executable, "-c", RAY],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        ) as process:
            assert process.stdin is not None and process.stdout is not None
            yield f"ray:{process.stdout.readline().strip()}"
            process.stdin.close()


@pytest.fixture(scope="session")
def dask_cluster() -> Iterator[str]:
    """Two workers, each a process."""
    import distributed

    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address=None
    ) as cluster:
        yield f"dask:{cluster.scheduler_address}"


@pytest.fixture(params=["processes", "ray", "dask"])
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    name = request.param
    address = name if name == "processes" else request.getfixturevalue(f"{name}_cluster")
    monkeypatch.setenv("GRISTMILL_ENGINE", address)
    return name
