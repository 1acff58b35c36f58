"""Detects a configured Prefect server without importing Prefect: its settings alone take a second to import."""

import os
import tomllib
from pathlib import Path
from typing import Any

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
        home = os.environ.get("PREFECT_HOME")
        profiles = _read_toml((Path(home) if home else Path.home() / ".prefect") / "profiles.toml")
        settings = profiles.get("profiles", {}).get(profiles.get("active"), {})
        return not any("API" in name.upper() for name in settings)
    except (OSError, ValueError, AttributeError, TypeError):
        return False


def _read_toml(path: Path) -> dict[str, Any]:
    return tomllib.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
