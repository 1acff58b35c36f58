"""The git commit of this project, as tags of a run."""

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
        if (commit := _git("rev-parse", "--verify", "--quiet", "HEAD")) is None:
            return {}
        if (around := _foreign_root()) is not None:
            raise GristmillError(f"the repository around this project, {around}, does not track it")
        dirty = "true" if _git("status", "--porcelain") else "false"
    except GristmillError as error:
        print(f"record: the git commit is not recorded: {error}", file=sys.stderr, flush=True)
        return {}
    return {"mlflow.source.git.commit": commit, "gristmill.git.dirty": dirty}


def _foreign_root() -> str | None:
    """The root of the repository if it is above the project and tracks none of its files; else None."""
    root = _git("rev-parse", "--show-toplevel")
    return root if root is not None and Path(root) != Path.cwd() and not _git("ls-files", "--", "dvc.yaml") else None


def _git(*arguments: str) -> str | None:
    """The output of git, or None without a repository or a commit. Raises GristmillError if git fails otherwise."""
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, text=True, timeout=30, env=_environment())
    except FileNotFoundError as error:
        raise GristmillError("git is not installed") from error
    except (OSError, subprocess.SubprocessError) as error:
        raise GristmillError(str(error)) from error
    if done.returncode == 0:
        return done.stdout.strip()
    if not done.stderr or (done.stderr.startswith(NO_REPOSITORY) and not Path(".git").exists()):
        return None
    raise GristmillError(one_line(done.stderr.removeprefix("fatal: ")))


def _environment() -> dict[str, str]:
    """Ours without GIT_DIR and its kin, which a git hook sets to another repository; git's configuration stays."""
    kept = ("GIT_CONFIG_", "GIT_CEILING_", "GIT_EXEC_")
    ours = {name: value for name, value in os.environ.items() if not name.startswith("GIT_") or name.startswith(kept)}
    return {**ours, "LC_ALL": "C"}
