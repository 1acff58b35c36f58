"""Fixtures and settings that all tests share; a fixture is created when a test first uses it."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

pytest_plugins = ["tests.buckets", "tests.clusters", "tests.web"]

settings.register_profile(
    "the same every time", deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("the same every time")

# One cache of compiled functions for all test processes and all projects that they create.
os.environ.setdefault("NUMBA_CACHE_DIR", str(Path(__file__).parent / "__pycache__" / "numba"))

# Two test processes with two threads each would contend for two cores most of the time.
os.environ.setdefault("GRISTMILL_WORKERS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture
def families_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project with the texts of `tests.families`; the working directory."""
    from tests.families import write_source
    from tests.scratch import without_tracking

    monkeypatch.chdir(tmp_path)
    without_tracking(monkeypatch)
    write_source(tmp_path / "texts/all.jsonl")
    (tmp_path / "recipes").mkdir()
    return tmp_path


TOGETHER = (
    "test_whole.py", "test_chain.py", "test_gate.py", "test_reproduce.py", "test_command.py", "test_mixture.py",
    "test_chat.py", "test_preference.py", "test_served_chat.py", "test_chat_ids.py", "test_conversations.py",
    "test_predict.py", "test_dvc.py", "test_distributed.py",
)  # fmt: skip
GROUPS = {
    "prefect_api": "prefect", "engine": "clusters", "on_server": "server", "coded": "coded", "evaluated": "evaluated",
}  # fmt: skip
"""Files, and fixtures, whose tests share what takes long to make or to import."""


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist looks for its groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that share expensive fixtures run in one process, and first, so that both processes end together."""
    for item in items:
        shared = [GROUPS[name] for name in getattr(item, "fixturenames", ()) if name in GROUPS]
        if item.path.name in TOGETHER:
            item.add_marker(pytest.mark.xdist_group(f"{item.path.parent.name}/{item.path.stem}"))
        elif shared:
            item.add_marker(pytest.mark.xdist_group(shared[0]))
    items.sort(key=lambda item: item.get_closest_marker("xdist_group") is None)


@pytest.fixture(scope="session")
def prefect_api() -> Iterator[str]:
    """The URL of a real Prefect API with its own database, for the whole session."""
    from prefect.settings import PREFECT_API_URL
    from prefect.testing.utilities import prefect_test_harness

    with prefect_test_harness(server_startup_timeout=120):
        url = PREFECT_API_URL.value()
        assert url is not None
        yield url
