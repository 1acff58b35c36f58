"""`make same`: show that changed code gives the same bytes, and list it in tasks/code.yaml under the same version.

    make same                    compare with the last commit that listed code
    make same FROM=COMMIT        compare with another commit
    make same NEW="clean train" WHY="…"  these stages change their bytes on purpose: increment their versions
    make same WHY="…"            you read the changed lines that did not run, and say why they give the same bytes
    make same MESSAGES=1         you read the diff: text in quotes that changed without running is only for people
    make same RENAMED="a=b c=d"  names that changed everywhere; the type checker proves that they are used consistently

The old code (of that commit) and the new code (of this folder) run all stages of the same tiny recipes; each new stage
starts from the old code's outputs. A stage is listed if all its outputs are byte-identical and all its changed lines
ran, or else if you say why they need not run; the reason is kept beside the hash. This is evidence, not proof: the
recipes are small.
"""

import argparse
import itertools
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tasks.code.versions import LISTED, Known, read_listed
from tasks.stage.code import ROOT, hash_stage, import_closure
from tests.same.changed import not_run, units
from tests.same.roads import roads, write_texts
from tests.scratch import OF_SOME
from tests.scratch import STAGES as OF_ALL

STAGES = (*OF_ALL, *itertools.chain(*OF_SOME.values()))
RAN = "the same bytes, and every changed line ran"
FIRST = "the first"
HEAD = """\
# The known code of each stage; see tasks/code. `make same` adds the hash of code that gives a version's bytes, and why.
# Unlisted code has no version: its stage reruns.
"""


@dataclass
class Verdict:
    """The result of the comparison for one stage."""

    differing: list[str] = field(default_factory=list)
    unseen: list[str] = field(default_factory=list)
    """Changed lines that did not run."""
    first: bool = False
    """Whether the old code has no such stage."""

    def why(self, reason: str | None) -> str | None:
        """Why the code gives the same bytes, if it does; `reason`: that of whoever read the lines that did not run."""
        if self.first:
            return FIRST
        return None if self.differing else reason if self.unseen else RAN


def main() -> int:
    """Compare, list the stages that pass, and report the others. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="make same", description=__doc__)
    parser.add_argument("--from", dest="commit")
    parser.add_argument("--new", nargs="*", default=[], choices=[*STAGES, []])
    parser.add_argument("--renamed", nargs="*", default=[], metavar="OLD=NEW")
    parser.add_argument("--messages", action="store_true")
    parser.add_argument("--why", metavar="REASON")
    asked = parser.parse_args()
    if asked.new and not asked.why:
        parser.error("a new version needs its reason: WHY=…")
    commit = asked.commit or _git("log", "-1", "--format=%H", "--", str(LISTED))
    listed = read_listed() if (ROOT / LISTED).is_file() else {}
    hashes = {stage: hash_stage(stage) for stage in STAGES}
    unlisted = [stage for stage in STAGES if stage not in listed or hashes[stage] not in listed[stage].code]
    if not unlisted and asked.commit is None:
        print("the code of every stage is listed")
        return 0
    with tempfile.TemporaryDirectory(prefix="gristmill-same-") as folder:
        renamed = dict(pair.split("=") for pair in asked.renamed)
        stages = STAGES if asked.commit else unlisted
        verdicts = compare(commit, Path(folder), stages, renamed, asked.messages)
    for stage in unlisted:
        before, verdict = listed.get(stage, Known(version=0, code={})), verdicts[stage]
        if stage in asked.new:
            listed[stage] = Known(version=before.version + 1, code={hashes[stage]: asked.why})
        elif why := verdict.why(asked.why):
            listed[stage] = Known(version=before.version or 1, code={**before.code, hashes[stage]: why})
    (ROOT / LISTED).write_text(HEAD + "".join(_entries(listed)), encoding="utf-8")
    return max([_tell(stage, verdict, stage in asked.new, asked.why) for stage, verdict in verdicts.items()], default=0)


def compare(
    commit: str, scratch: Path, stages: Sequence[str], renamed: Mapping[str, str], messages: bool
) -> dict[str, Verdict]:
    """Compare these stages between a commit and this folder, by means of the tiny recipes."""
    old = scratch / "code"
    _git("worktree", "add", "--detach", "--quiet", os.fspath(old), commit)
    try:
        made = {name: _take(code, scratch / name, scratch / "old") for name, code in (("old", old), ("new", ROOT))}
        return {stage: _verdict(stage, made["old"], made["new"], old, renamed, messages) for stage in stages}
    finally:
        _git("worktree", "remove", "--force", os.fspath(old))


def _take(code: Path, folder: Path, before: Path) -> Path:
    """Run all stages of all recipes with the code of a tree; returns the folder with their outputs."""
    folder.mkdir()
    write_texts(folder)
    (folder / "recipes").mkdir()
    recipes = roads()
    for name, recipe in recipes.items():
        (folder / f"recipes/{name}.yaml").write_text(json.dumps(recipe), encoding="utf-8")
    (folder / "requirements.lock").write_bytes((ROOT / "requirements.lock").read_bytes())
    if before != folder:
        (folder / "before").symlink_to(before / "made")
    quiet = {
        "PYTHONPATH": os.fspath(code), "GRISTMILL_DEVICE": "cpu", "GRISTMILL_WORKERS": "1", "OMP_NUM_THREADS": "1",
        "MLFLOW_TRACKING_URI": "http://127.0.0.1:9", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
        "NUMBA_CACHE_DIR": os.fspath(ROOT / "tests/__pycache__/numba"),
    }  # fmt: skip
    driver = Path(__file__).with_name("take.py")
    done = subprocess.run(
        [sys.executable, "-P", os.fspath(driver), "made", ",".join(STAGES), *recipes], cwd=folder,
        env={**os.environ, **quiet}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    if done.returncode:
        raise SystemExit(f"{done.stdout[-4000:]}\nmake same: the recipes of tests/same/roads.py failed with {code}")
    return folder / "made"


def _verdict(stage: str, old: Path, new: Path, tree: Path, renamed: Mapping[str, str], messages: bool) -> Verdict:
    if not (tree / "tasks" / stage).is_dir():
        return Verdict(first=True)
    files = {root: import_closure(f"tasks.{stage}.__main__", root) for root in (tree, ROOT)}
    before, after = units(tree, files[tree], renamed, messages), units(ROOT, files[ROOT], {}, messages)
    ran = {made: json.loads((made / "lines.json").read_text()) for made in (old, new)}
    gone = [f"was {line}" for line in not_run(before, after, ran[old], tree)]
    return Verdict(list(_differing(old / stage, new / stage)), [*not_run(after, before, ran[new], ROOT), *gone])


def _differing(old: Path, new: Path) -> Iterator[str]:
    """Outputs of a stage that differ, by recipe and name."""
    names = {path.relative_to(tree) for tree in (old, new) for path in tree.rglob("*") if path.is_file()}
    compared = (name for name in sorted(names) if (old / name.parts[0]).exists())  # the old code took the recipe, too
    for name in compared:
        pair = [(tree / name).read_bytes() if (tree / name).is_file() else b"" for tree in (old, new)]
        if pair[0] != pair[1] and not _same_by_design(name, pair):
            yield name.as_posix()


def _same_by_design(name: Path, pair: list[bytes]) -> bool:
    """A training report, apart from the identity, which names the code, and settings that the old code did not have."""
    if name.parts[1:] != ("training", "report.json") or not all(pair):
        return False
    old, new = (json.loads(content) for content in pair)
    for report in (old, new):
        del report["details"]["identity"]
    new["details"]["settings"] = _known(new["details"]["settings"], old["details"]["settings"])
    return bool(old == new)


def _known(new: Any, old: Any) -> Any:
    """`new` without keys that `old` does not have; every recipe of the comparison has them at their defaults."""
    if isinstance(new, dict) and isinstance(old, dict):
        return {key: _known(value, old[key]) for key, value in new.items() if key in old}
    return new


def _tell(stage: str, verdict: Verdict, new: bool, reason: str | None) -> int:
    if new:
        print(f"{stage}: a new version; {len(verdict.differing)} outputs of the tiny recipes differ")
        return 0
    if verdict.differing:
        print(f"{stage}: {', '.join(verdict.differing)} differ; if that is intended: make same NEW={stage} WHY=…")
    for line in verdict.unseen:
        print(f"{stage}: changed but did not run: {line}")
    if why := verdict.why(reason):
        print(f"{stage}: {why}")
        return 0
    if verdict.unseen:
        print(
            f"{stage}: not listed; let a recipe in tests/same/roads.py run these lines, or see RENAMED, MESSAGES, WHY"
        )
    return 1


def _entries(listed: dict[str, Known]) -> Iterator[str]:
    for stage in STAGES:
        if stage in listed:
            codes = "".join(f"\n    '{code}': {json.dumps(why)}" for code, why in listed[stage].code.items()) or " {}"
            yield f"{stage}:\n  version: {listed[stage].version}\n  code:{codes}\n"


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
