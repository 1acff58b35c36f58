"""A configured Prefect server is detected without Prefect, with the same answer as Prefect's."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.flows.conftest import ROOT

URL = "http://127.0.0.1:4200/api"
PROFILE = 'active = "{active}"\n[profiles.here]\n{key} = "1"\n[profiles.there]\nPREFECT_API_URL = "' + URL + '"\n'
BOTH = """
import sys
from flows.configured import server_is_configured
found = server_is_configured()
quick = "prefect" not in sys.modules
from prefect.settings import PREFECT_API_URL
print(found, bool(PREFECT_API_URL.value()), quick)
"""
QUICK: dict[str, dict[str, str]] = {
    "nothing is set": {},
    "Prefect's own default profile": {"home/profiles.toml": 'active = "ephemeral"\n[profiles.ephemeral]\nA = "1"\n'},
    "another profile has one": {"home/profiles.toml": PROFILE.format(active="here", key="PREFECT_DEBUG_MODE")},
    "no profile of that name": {"home/profiles.toml": PROFILE.format(active="gone", key="A")},
    "settings of the project": {"pyproject.toml": "[tool.prefect]\nserver.analytics_enabled = false\n"},
    "other variables in .env": {".env": "A=1\n"},
}
ASKED: dict[str, dict[str, str]] = {
    "active profile": {"home/profiles.toml": PROFILE.format(active="there", key="A")},
    "profile without an active one": {"home/profiles.toml": f'[profiles.there]\nPREFECT_API_URL = "{URL}"\n'},
    "profiles elsewhere": {
        "pyproject.toml": '[tool.prefect]\nprofiles_path = "p.toml"\n',
        "p.toml": PROFILE.format(active="there", key="A"),
    },
    "pyproject.toml": {"pyproject.toml": f'[tool.prefect]\napi.url = "{URL}"\n'},
    "prefect.toml": {"prefect.toml": f'[api]\nurl = "{URL}"\n'},
    ".env": {".env": f"PREFECT_API_URL={URL}\n"},
    ".env in small letters": {".env": f"prefect_api_url={URL}\n"},
}
VARIABLES = [
    {"PREFECT_API_URL": URL},
    {"PREFECT_API_URL": ""},
    {"prefect_api_url": URL},
    {"PREFECT_PROFILE": "there"},
    {"PREFECT_PROFILES_PATH": "p.toml"},
]


def answers(folder: Path, files: dict[str, str], **variables: str) -> list[bool]:
    """Our answer, Prefect's, and whether ours did without importing Prefect."""
    for name, content in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(content)
    kept = {name: value for name, value in os.environ.items() if not name.upper().startswith("PREFECT_")}
    done = subprocess.run(
        [sys.executable, "-c", BOTH], cwd=folder, capture_output=True, text=True, check=True,
        env={**kept, "PYTHONPATH": str(ROOT), "HOME": str(folder), "PREFECT_HOME": str(folder / "home"), **variables},
    )  # fmt: skip
    return [word == "True" for word in done.stdout.split()]


@pytest.mark.parametrize("case", QUICK)
def test_no_server_is_known_without_prefect(tmp_path: Path, case: str) -> None:
    assert answers(tmp_path, QUICK[case]) == [False, False, True]


@pytest.mark.parametrize("case", ASKED)
def test_a_server_is_found_wherever_prefect_finds_it(tmp_path: Path, case: str) -> None:
    ours, theirs, _ = answers(tmp_path, ASKED[case])
    assert ours == theirs


@pytest.mark.parametrize("variables", VARIABLES, ids=str)
def test_so_it_is_for_variables(tmp_path: Path, variables: dict[str, str]) -> None:
    files = {"home/profiles.toml": PROFILE.format(active="there", key="A")}
    files["p.toml"] = files["home/profiles.toml"]
    ours, theirs, _ = answers(tmp_path, files, **variables)
    assert ours == theirs


@pytest.mark.parametrize(
    ("variables", "profiles", "sentence"),
    [
        ({"PREFECT_CLIENT_MAX_RETRIES": "x"}, "", "PREFECT_CLIENT_MAX_RETRIES: 'x': Input should be a valid integer"),
        ({"PREFECT_CLIENT_CUSTOM_HEADERS": "{"}, "", "PREFECT_CLIENT_CUSTOM_HEADERS: not valid JSON"),
        ({}, 'active = "x\n', "profiles.toml: Illegal character"),
    ],
)
def test_a_setting_that_prefect_cannot_read_is_named(tmp_path, variables, profiles, sentence) -> None:
    (tmp_path / "profiles.toml").write_text(profiles)
    environment = {**os.environ, **variables, "PREFECT_HOME": str(tmp_path)}
    program = [sys.executable, "-m", "flows", "unschedule", "shakespeare"]
    done = subprocess.run(program, capture_output=True, text=True, env=environment, cwd=ROOT)
    assert (done.returncode, "Traceback" in done.stderr) == (2, False)
    assert sentence in done.stderr.splitlines()[-1]


@pytest.mark.parametrize("home", ["absent", "file"])
def test_a_home_that_cannot_be_written_is_no_matter(tmp_path, home) -> None:
    (tmp_path / "file").touch()
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    program = "from flows.configured import home_of_prefect; home_of_prefect()\n"
    program += "import prefect.settings; print(prefect.settings.PREFECT_HOME.value())"
    environment = {**kept, "HOME": str(tmp_path / home), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=environment, cwd=tmp_path
    )
    assert (done.stdout, done.stderr) == (f"{tmp_path}/.prefect\n", "")
