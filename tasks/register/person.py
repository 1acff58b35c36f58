"""Who does something in the registry: the flow run, or git's user, or else the user of this machine."""

import getpass
import subprocess

from tasks.stage.redact import redact
from tasks.stage.runtime import flow_run


def person() -> str:
    """`flow run <URL or id>` in a flow run; else git's `name <email>`, or the user's name if git has none."""
    if (place := flow_run()) is not None:
        return f"flow run {place}"
    return _of_git() or _of_machine()


def _of_git() -> str | None:
    """As a commit would name its author; None without git, or without a name and an address in its configuration."""
    command = ["git", "-c", "user.useConfigOnly=true", "var", "GIT_AUTHOR_IDENT"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
        return None
    name, _, _ = done.stdout.strip().rpartition("> ")  # then the time and its zone
    return redact(f"{name}>") if done.returncode == 0 and name else None


def _of_machine() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container's user without a name
        return "unknown"
