"""Git: the commit of this project, as tags of a run, and the command for `provenance`."""

import os
import subprocess
import sys
from pathlib import Path

from tasks.stage.errors import GristmillError, one_line

NO_REPOSITORY = "fatal: not a git repository ("


def commit_tags() -> dict[str, str]:
    """The commit of the working directory, and whether it has changes; empty without a repository or a commit.

    If git refuses, one line on stderr says why.
    """
    try:
        if (commit := find_commit()) is None:
            return {}
        dirty = "true" if _git("status", "--porcelain") else "false"
    except GristmillError as error:
        print(f"record: the git commit is not recorded: {error}", file=sys.stderr, flush=True)
        return {}
    return {"mlflow.source.git.commit": commit, "gristmill.git.dirty": dirty}


def find_commit() -> str | None:
    """The commit of the working directory; None without a repository or a commit.

    Raises GristmillError if git fails, or if the repository around the project does not track it.
    """
    commit = _git("rev-parse", "--verify", "--quiet", "HEAD")
    if commit is not None and (around := _foreign_root()) is not None:
        raise GristmillError(f"the repository around this project, {around}, does not track it")
    return commit


def _foreign_root() -> str | None:
    """The root of the repository if it is above the project and tracks none of its files; else None."""
    root = _git("rev-parse", "--show-toplevel")
    return root if root is not None and Path(root) != Path.cwd() and not _git("ls-files", "--", "dvc.yaml") else None


def _git(*arguments: str) -> str | None:
    """The output of git as text, or None without a repository or a commit. Raises GristmillError as `git`."""
    output = git(*arguments)
    return None if output is None else output.decode("utf-8", "replace").strip()


def git(*arguments: str, folder: Path | None = None, seconds: float = 30) -> bytes | None:
    """The output of git in a folder, by default the working directory; None without a repository or a commit.

    Raises GristmillError if git fails otherwise.
    """
    here = Path() if folder is None else folder
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=here, capture_output=True, timeout=seconds, env=_environment(),
        )  # fmt: skip
    except FileNotFoundError as error:
        raise GristmillError("git is not installed") from error
    except (OSError, subprocess.SubprocessError) as error:
        raise GristmillError(str(error)) from error
    if done.returncode == 0:
        return done.stdout
    told = done.stderr.decode("utf-8", "replace")
    if not told or (told.startswith(NO_REPOSITORY) and not (here / ".git").exists()):
        return None
    raise GristmillError(one_line(told.removeprefix("fatal: ")))


def _environment() -> dict[str, str]:
    """Ours without GIT_DIR and its kin, which a git hook sets to another repository; git's configuration stays."""
    kept = ("GIT_CONFIG_", "GIT_CEILING_", "GIT_EXEC_")
    ours = {name: value for name, value in os.environ.items() if not name.startswith("GIT_") or name.startswith(kept)}
    return {**ours, "LC_ALL": "C"}
