"""Detects a configured Prefect server without importing Prefect: its settings alone take a second to import."""

import os
import re
import tomllib
import traceback
from pathlib import Path
from typing import Any

from flows.server import own_home
from tasks.stage.errors import GristmillError

SPEAKING = ("API", "PROFILE", "TEST")
"""Parts of PREFECT_… variable names that may select a server."""
SILENT = frozenset(["server", "logging"])
"""Tables of [tool.prefect] that select no server."""


def server_is_configured() -> bool:
    """Whether the environment, a profile or the project's settings name a Prefect server."""
    if _says_nothing():
        return False
    from prefect.settings import PREFECT_API_URL

    return bool(PREFECT_API_URL.value())


def home_of_prefect() -> None:
    """Let Prefect keep its files in this project if it cannot in the user's home, of which it would warn."""
    if not os.environ.get("PREFECT_HOME"):
        home = Path.home()
        place = home / ".prefect" if (home / ".prefect").exists() else home
        if not (place.is_dir() and os.access(place, os.W_OK)):
            os.environ.update(own_home())


def _says_nothing() -> bool:
    """Whether no source of Prefect 3's settings can name a server; False if in doubt.

    The sources: the environment, .env, prefect.toml, pyproject.toml and the active profile.
    """
    names = [name.upper() for name in os.environ if name.upper().startswith("PREFECT_")]
    if any(part in name for name in names for part in SPEAKING) or Path("prefect.toml").exists():
        return False
    try:
        if Path(".env").exists() and "PREFECT" in Path(".env").read_text(encoding="utf-8").upper():
            return False
        if not SILENT.issuperset(_read_toml(Path("pyproject.toml")).get("tool", {}).get("prefect", {})):
            return False
        profiles = _read_toml(_profiles())
        settings = profiles.get("profiles", {}).get(profiles.get("active"), {})
        return not any("API" in name.upper() for name in settings)
    except (OSError, ValueError, AttributeError, TypeError):
        return False


def bad_setting(error: BaseException) -> GristmillError | None:
    """The error for the user if Prefect cannot read its settings: it says neither the variable nor the file."""
    if not any("prefect/settings" in frame.filename for frame in traceback.extract_tb(error.__traceback__)):
        return None
    if isinstance(error, tomllib.TOMLDecodeError):
        return GristmillError(f"{_broken_toml()}: {error}")
    if type(error).__name__ == "SettingsError":
        found = re.search(r'field "(\w+)"', str(error))
        return GristmillError(f"{_variable(found[1] if found else '')}: not valid JSON")
    if isinstance(error, ValueError) and hasattr(error, "errors"):
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        return GristmillError(f"{_variable(key)}: {first['input']!r}: {first['msg']}")
    return None


def _variable(key: str) -> str:
    """The variable of the environment that sets a key of Prefect's settings, or the key."""
    end = key.upper().replace(".", "_")
    ours = (name for name in os.environ if name.upper().startswith("PREFECT_") and name.upper().endswith(end))
    return next(ours, f"Prefect's setting {key} (prefect.toml, or `prefect config view`)")


def _broken_toml() -> Path:
    places = [_profiles(), Path("prefect.toml"), Path("pyproject.toml")]
    for place in places:
        try:
            _read_toml(place)
        except ValueError:
            return place
    return places[0]


def _profiles() -> Path:
    if path := os.environ.get("PREFECT_PROFILES_PATH"):
        return Path(path)
    home = os.environ.get("PREFECT_HOME")
    return (Path(home) if home else Path.home() / ".prefect") / "profiles.toml"


def _read_toml(path: Path) -> dict[str, Any]:
    return tomllib.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
