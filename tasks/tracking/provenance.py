"""What a run came from: its commit, changes that were not committed, files that git does not know.

    data/<recipe>/checkpoints/<identity>/provenance/      (in the run's artifacts: provenance/)
        provenance.json   the commit and whether it, with the files beside it, is all that made the run
        changes.patch     `git diff HEAD --binary` of code and settings
        untracked/…       files that git does not know

Written when a training starts and again at its registration, whose commit rebuilds the run: earlier stages may have run
with older code that gives the same bytes. From then on the first complete one stays until DVC runs a stage again.
`gristmill reproduce` rebuilds the work tree from it. Data is not part of it: dvc.lock has its hashes.
"""

import hashlib
import json
import platform
import re
import shutil
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from tasks.stage.code import FOLDER as CODE
from tasks.stage.code import ROOT
from tasks.stage.errors import GristmillError
from tasks.stage.identity import fingerprint, hash_file
from tasks.stage.redact import redact, redact_all
from tasks.stage.run import checkpoints_of, write_json
from tasks.stage.settings import read_yaml
from tasks.tracking.commit import find_commit, git
from tasks.tracking.outside import find_imports

SCOPE = (
    "tasks", "flows", "recipes", "infra", "dvc.yaml", "requirements.lock", "pyproject.toml", "Makefile", "gristmill.py",
    ".dvcignore", ".gitattributes",
)  # fmt: skip
"""What makes the outputs of the stages, or the environment in which they run."""
MOST_BYTES = 4 << 20
"""Maximum size of the patch, and of all files that git does not know."""

TAG = "gristmill.rebuildable"
STATEMENT, PATCH, FILES = "provenance.json", "changes.patch", "untracked"
LOCKS = Path("dvc.lock"), Path("requirements.lock")
PIN = re.compile(r"^([A-Za-z0-9][\w.-]*)==", re.MULTILINE)
COMPILED = ("__pycache__", ".partial-", ".egg-info", ".pyc")


@dataclass(frozen=True)
class Provenance:
    """The content of `provenance.json`."""

    commit: str | None
    folder: str
    """The project's folder in its repository: empty for the root."""
    reasons: tuple[str, ...]
    """Why the run cannot be rebuilt; none if it can."""
    changed: tuple[str, ...]
    """Files of the patch."""
    untracked: dict[str, str]
    """Files that git does not know → SHA-256."""
    python: str
    requirements: str | None
    """SHA-256 of requirements.lock."""
    stages: str | None
    """A hash of the recipe's stages in dvc.lock at the registration; None while it trains."""

    @property
    def rebuildable(self) -> str:
        """`yes`, or `no, because …`."""
        return f"no, because {'; '.join(self.reasons)}" if self.reasons else "yes"

    def sentence(self) -> str:
        """For the line that is printed when a run is made."""
        if self.reasons:
            return f"this run cannot be rebuilt: {'; '.join(self.reasons)}"
        kept = [_count(self.changed, "changed file"), _count(self.untracked, "file that git does not know")]
        sources = " and ".join([f"commit {str(self.commit)[:8]}", *filter(None, kept)])
        return f"this run can be rebuilt from {sources}{', kept with it' if any(kept) else ''}"


def provenance_folder(recipe: str, identity: str) -> Path:
    """Where the provenance of a training is kept; not an output."""
    return checkpoints_of(recipe, identity) / "provenance"


def settle(recipe: str, identity: str, registering: bool) -> Provenance:
    """Keep what this training came from: what is kept already, if it is complete and still true, or else what is here.

    `registering`: dvc.lock is that of the run.
    """
    folder = provenance_folder(recipe, identity)
    stages = hash_stages(recipe) if registering else None
    before = read_provenance(folder)
    if before is not None and not before.reasons and stages in (None, before.stages):
        return before
    found, patch, files = collect(recipe)
    if found.reasons and before is not None and not before.reasons and before.stages is None:
        found = replace(before, stages=stages)  # the training knew more
        write_json(folder / STATEMENT, _statement(found))
        return found
    found = replace(found, stages=stages)
    _write(folder, found, patch, files)
    return found


def read_provenance(folder: Path) -> Provenance | None:
    """The provenance in a folder; None if there is none, or a damaged one."""
    try:
        content = json.loads((folder / STATEMENT).read_text(encoding="utf-8"))
        content.pop("rebuildable", None)
        return Provenance(**{**content, "reasons": tuple(content["reasons"]), "changed": tuple(content["changed"])})
    except (OSError, ValueError, TypeError, KeyError):
        return None


def hash_stages(recipe: str) -> str:
    """A hash of the recipe's stages in dvc.lock: their inputs, settings and outputs."""
    path, _ = LOCKS
    stages = read_yaml(path).get("stages") if path.is_file() else None
    own = {name: entry for name, entry in (stages or {}).items() if name.endswith(f"@{recipe}")}
    return fingerprint(json.dumps(own, sort_keys=True, default=str))


def files_of(recipe: str, identity: str) -> dict[str, Path]:
    """Path in the run's artifacts → file."""
    folder = provenance_folder(recipe, identity)
    return {f"provenance/{path.relative_to(folder).as_posix()}": path for path in folder.rglob("*") if path.is_file()}


def collect(recipe: str) -> tuple[Provenance, bytes, dict[str, bytes]]:
    """What this folder is made of now, its patch, and the files that git does not know."""
    _, lock = LOCKS
    reasons: list[str] = []
    pins = PIN.findall(lock.read_text(encoding="utf-8")) if lock.is_file() else []
    imports = find_imports({re.sub(r"[-_.]+", "-", name).lower() for name in pins})
    reasons += [*imports.foreign, *_unlocked()]
    if ROOT.resolve() != Path.cwd().resolve():
        reasons.append(f"its code is in {ROOT}, not in this folder")
    own = [path.as_posix() for path in sorted(imports.files)]
    commit, folder, patch = None, "", b""
    changed: list[str] = []
    files: dict[str, bytes] = {}
    try:
        commit = find_commit()
        if commit is None:
            told = "this folder is not a git repository" if git("rev-parse", "--git-dir") is None else "no commit yet"
            reasons.insert(0, told)
        else:
            folder = (git("rev-parse", "--show-prefix") or b"").decode().strip().rstrip("/")
            patch, changed = _changes(own, reasons)
            files = _unknown(recipe, own, reasons)
    except GristmillError as error:
        reasons.insert(0, str(error))
    found = Provenance(
        commit, folder, tuple(reasons), tuple(changed),
        {name: hashlib.sha256(content).hexdigest() for name, content in files.items()},
        platform.python_version(), hash_file(lock) if lock.is_file() else None, None,
    )  # fmt: skip
    return found, patch, files


def _unlocked() -> list[str]:
    """Libraries that a stage stands on and that are not installed as locked; see `tasks.code`."""
    found: dict[str, str] = {}
    for path in sorted(CODE.glob("*.json")):
        try:
            libraries = json.loads(path.read_text(encoding="utf-8")).get("libraries", {})
        except (ValueError, AttributeError):
            continue
        found |= {name: told for name, told in libraries.items() if "installed" in str(told)}
    return [f"{name} is {told}" for name, told in found.items()]


def _changes(own: Sequence[str], reasons: list[str]) -> tuple[bytes, list[str]]:
    """The patch from the commit to this folder, and its files."""
    names = _lines(_git("diff", "HEAD", "--name-only", "-z", "--relative", "--no-renames", "--", *SCOPE, *own))
    if not names:
        return b"", []
    patch = _diff(names)
    if len(patch) > MOST_BYTES:
        reasons.append(f"its changes that are not committed are {_megabytes(len(patch))}; commit them")
        return b"", names
    if redact(_added(patch)) != _added(patch):
        secret = [name for name in names if redact(_added(_diff([name]))) != _added(_diff([name]))]
        reasons += [f"the change of {name} holds a password, token or signature" for name in secret]
        names = [name for name in names if name not in secret]
        patch = _diff(names) if names else b""
    return patch, names


def _unknown(recipe: str, own: Sequence[str], reasons: list[str]) -> dict[str, bytes]:
    """Files that git does not know: name → content. Ignored ones only if a stage imports or hashes them."""
    others = _lines(_git("ls-files", "--others", "-z", "--", *SCOPE, *own))
    ignored = set(_lines(_git("ls-files", "--others", "--ignored", "--exclude-standard", "-z", "--", *SCOPE, *own)))
    rooms = {name.rpartition("/")[0] for name in own if name.endswith("__main__.py")}
    found: dict[str, bytes] = {}
    total = 0
    for name in others:
        path = Path(name)
        if any(part.startswith(COMPILED) or part.endswith(COMPILED) for part in path.parts) or not path.is_file():
            continue
        if path.parent.name == "recipes" and path.stem != recipe:
            continue
        if name in ignored and name not in own and not any(name.startswith(f"{room}/") for room in rooms):
            continue
        total += path.stat().st_size
        if total > MOST_BYTES:
            reasons.append(f"files that git does not know are more than {_megabytes(MOST_BYTES)}, {name} among them")
            break
        content = path.read_bytes()
        if redact(text := content.decode("utf-8", "ignore")) != text:
            reasons.append(f"{name}, which git does not know, holds a password, token or signature")
        else:
            found[name] = content
    return found


def _diff(names: Sequence[str]) -> bytes:
    return _git(
        "diff", "HEAD", "--binary", "--full-index", "--no-renames", "--no-color", "--no-ext-diff", "--no-textconv",
        "--src-prefix=a/", "--dst-prefix=b/", "--relative", "--", *names,
    )  # fmt: skip


def _git(*arguments: str) -> bytes:
    return git("--literal-pathspecs", *arguments) or b""


def _added(patch: bytes) -> str:
    return "\n".join(line for line in patch.decode("utf-8", "ignore").splitlines() if line.startswith("+"))


def _lines(output: bytes) -> list[str]:
    return [name.decode("utf-8", "surrogateescape") for name in output.split(b"\0") if name]


def _write(folder: Path, found: Provenance, patch: bytes, files: dict[str, bytes]) -> None:
    partial = folder.with_name(".partial-provenance")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    for name, content in files.items():
        place = partial / FILES / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
    if patch:
        (partial / PATCH).write_bytes(patch)
    write_json(partial / STATEMENT, _statement(found))
    if folder.exists():
        shutil.rmtree(folder)
    partial.rename(folder)


def _statement(found: Provenance) -> dict[str, Any]:
    return dict(redact_all({"rebuildable": found.rebuildable, **asdict(found)}))


def _count(items: Collection[str], what: str) -> str:
    return "" if not items else f"{len(items)} {what if len(items) == 1 else what.replace('file', 'files')}"


def _megabytes(size: int) -> str:
    return f"{size / (1 << 20):.1f} MB"
