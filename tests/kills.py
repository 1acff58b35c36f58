"""Trainings of all tasks that are killed at random moments, in processes of their own, and end with the same bytes.

The processes are forked from one that has imported the libraries, so that a start takes a second and not ten; with
GRISTMILL_LAUNCH or GRISTMILL_COMPILE set, they are started as `python -m tasks.train`.
"""

import json
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from importlib import import_module
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from tests.families import tiny_recipe, write_source
from tests.scratch import ROOT, STAGES, write_code

PLAIN = ("GRISTMILL_LAUNCH", "GRISTMILL_COMPILE")
BEST: dict[str, Any] = {"keep": "best", "patience": 4, "evaluate_every": 8}
CASES: dict[str, dict[str, Any]] = {
    "causal-lm": {"config": {"attention_dropout": 0.1}, "accumulation": 2, "average": {"last": 0.6, "every": 3}},
    "translation": {"optimizer": {"name": "muon"}, "label_smoothing": 0.1, "accumulation": 3},
    "summarization": {"average": {"ema": 0.9}, **BEST},
    "masked-lm": {"config": {"hidden_dropout_prob": 0.2}, "optimizer": {"name": "muon"}, **BEST},
    "classification": {"below": "masked-lm", "lora": {"rank": 2, "dropout": 0.1}, "average": {"last": 0.5}, **BEST},
    "chat": {"config": {"attention_dropout": 0.1}, "neftune_alpha": 5.0, "accumulation": 2},
    "preference": {"below": "chat", "lora": {"rank": 2, "dropout": 0.1}, "loss": {"name": "dpo"},
                   "average": {"ema": 0.8}, "accumulation": 2},
}  # fmt: skip
"""By task: more keys of `train`; `config` and `lora` of `model`, and `below`, the task of the base."""


@dataclass
class Kills:
    """What happened: kills that met a training, and the steps from which the next one went on."""

    resumed: list[int]
    hit: int = 0
    finished: int = 0


def prepare(task: str, **train: Any) -> Path:
    """All stages before the training, in the working directory; returns the recipe's data."""
    write_code()
    write_source(Path("texts/all.jsonl"))
    Path("recipes").mkdir(exist_ok=True)
    case = dict(CASES[task])
    config, lora, below = case.pop("config", {}), case.pop("lora", None), case.pop("below", None)
    often = {"checkpoint_every": 7, "evaluate_every": 20, "log_every": 3, "precision": "fp32"}
    start = "scratch"
    if below is not None:
        start = "recipe:below"
        _write("below", tiny_recipe(below, "texts/all.jsonl"))
        _run("below", STAGES[: STAGES.index("train") + 1])
    recipe = tiny_recipe(task, "texts/all.jsonl", init=start, **often | case | train)
    if below is None:
        recipe["model"]["config"] |= config
    if lora is not None:
        recipe["model"]["lora"] = lora
    _write("tiny", recipe)
    _run("tiny", STAGES[: STAGES.index("train")])
    return Path("data/tiny")


def kill_at_random(folder: Path, kills: int, seed: int, begun: str = "record.jsonl") -> Kills:
    """Train once as a whole; then kill a training this often at random moments of that time, and let it end.

    `begun`: what is in the folder of checkpoints before the first kill; by default, all moments count.
    Raises AssertionError if a training ends with other bytes.
    """
    process = _start()
    _wait_for(process, folder, begun)
    began = time.monotonic()
    _end(process)
    length = time.monotonic() - began
    whole, generator, seen = outputs(folder), random.Random(seed), Kills([])
    _forget(folder)
    cut = False  # whether the last training was killed; one more then ends it
    while seen.hit < kills or cut:
        process = _start()
        if seen.hit < kills:
            _wait_for(process, folder, begun)
            process.join(generator.uniform(0, 1) * length)
        else:
            _end(process)
        if process.is_alive():
            os.kill(process.pid, signal.SIGKILL)
            process.join()
            if list(folder.glob(f"checkpoints/*/{begun}")):  # else it was about to end, without checkpoints
                seen.hit += 1
                cut = True
            else:
                cut = False
                _forget(folder)
        else:
            _end(process)
            assert outputs(folder) == whole, f"other bytes; seed {seed}, {seen}"
            seen.resumed.append(json.loads(next(folder.glob("checkpoints/*/timing.json")).read_text())["resumed_at"])
            seen.finished += 1
            cut = False
            _forget(folder)
    return seen


def outputs(folder: Path) -> dict[str, bytes]:
    """The files of the model and of its training."""
    paths = [path for name in ("model", "training") for path in sorted((folder / name).rglob("*")) if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def _forget(folder: Path) -> None:
    for name in ("model", "training", "checkpoints"):
        shutil.rmtree(folder / name, ignore_errors=True)


def _write(name: str, recipe: dict[str, Any]) -> None:
    Path(f"recipes/{name}.yaml").write_text(json.dumps(recipe))


def _run(recipe: str, stages: tuple[str, ...]) -> None:
    from tasks.stage.run import run

    for stage in stages:
        run(import_module(f"tasks.{stage}.__main__").STAGE, recipe)


class Command:
    """`python -m tasks.train tiny`, with the methods of a process that are used here."""

    def __init__(self) -> None:
        self._process = subprocess.Popen([sys.executable, "-m", "tasks.train", "tiny"], env=_environment())
        self.pid = self._process.pid

    def is_alive(self) -> bool:
        return self._process.poll() is None

    def join(self, timeout: float | None = None) -> None:
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            return

    @property
    def exitcode(self) -> int | None:
        return self._process.returncode


def _start() -> Any:
    if any(os.environ.get(name) for name in PLAIN):
        return Command()
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.kills_preload"])
    process: BaseProcess = context.Process(target=_train, args=(os.fspath(Path.cwd()), _environment()))
    process.start()
    return process


def _wait_for(process: Any, folder: Path, begun: str) -> None:
    while process.is_alive() and not list(folder.glob(f"checkpoints/*/{begun}")):
        time.sleep(0.01)


def _end(process: Any) -> None:
    process.join()
    assert process.exitcode == 0, f"the training ended with {process.exitcode}"


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.fspath(ROOT), "GRISTMILL_CHECKPOINT_MINUTES": "0.002"}


def _train(folder: str, environment: dict[str, str]) -> None:
    from tasks.stage.run import main
    from tasks.train.__main__ import STAGE

    os.chdir(folder)
    os.environ.update(environment)
    main(STAGE, ["tiny"])
