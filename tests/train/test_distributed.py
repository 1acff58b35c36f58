"""Training on more than one device: several processes on this machine, with real `gloo`."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from tasks.stage.errors import GristmillError, TransientError
from tasks.stage.run import run
from tasks.tracking.record import context
from tasks.train.batches import Batch, Batches, count_items, find_asked
from tasks.train.dealt import Dealt, rows_of, taken_off
from tasks.train.distributed import RANKS, World, require_same
from tasks.train.endings import LOST, explain
from tasks.train.launch import Launch, read_launch
from tests.families import tiny_recipe, write_source
from tests.scratch import ROOT, without_tracking, write_code
from tests.train.ranks import train_here

SOURCE = "texts/all.jsonl"
CALM: dict[str, dict[str, float]] = {
    "bert": {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0},
    "marian": {"dropout": 0.0, "attention_dropout": 0.0, "activation_dropout": 0.0},
    "t5": {"dropout_rate": 0.0},
    "llama": {},
}
"""Without dropout, which each rank draws for itself."""
MUON = {"name": "muon"}
KTO = {"name": "kto"}
CAUSAL = {"batch_size": 5, "accumulation": 3, "optimizer": MUON, "evaluate_every": 6}
KINDS: dict[str, dict[str, Any]] = {
    "causal": tiny_recipe("causal-lm", SOURCE, **CAUSAL),
    "dealt": tiny_recipe("causal-lm", SOURCE, batch_size=3, accumulation=4),
    "few": tiny_recipe("causal-lm", SOURCE, batch_size=1),
    "masked": tiny_recipe("masked-lm", SOURCE, next_sentence=True, batch_size=5),
    "translation": tiny_recipe("translation", SOURCE, label_smoothing=0.1),
    "summarization": tiny_recipe("summarization", SOURCE),
    "classification": tiny_recipe("classification", SOURCE),
    "chat": tiny_recipe("chat", SOURCE),
    "preference": tiny_recipe("preference", SOURCE),
    "kto": tiny_recipe("preference", SOURCE, init="recipe:chat", loss=KTO),
}
"""A recipe of every task; batches divide by neither two nor four, and one has fewer rows than ranks."""
SHARDED = {
    "sharded": tiny_recipe("causal-lm", SOURCE, **CAUSAL, shard="full", keep="best"),
    "sharded-masked": tiny_recipe("masked-lm", SOURCE, next_sentence=True, batch_size=5, shard="full"),
    "sharded-kto": tiny_recipe("preference", SOURCE, init="recipe:chat", loss=KTO, shard="full"),
}
STOPPED = {"stopped": KINDS["causal"], "sharded-stopped": SHARDED["sharded"]}
DROPOUT = {
    name: tiny_recipe("causal-lm", SOURCE, batch_size=5, accumulation=3) for name in ("dropout", "dropout-stopped")
}
LIKE = {"sharded": "causal", "sharded-masked": "masked", "sharded-kto": "kto", "stopped": "causal",
        "sharded-stopped": "causal"}  # fmt: skip
"""Which recipe of one process gives the model that these have to give."""
BY = {"dealt": "causal", "few": "causal", "sharded": "causal", "sharded-masked": "masked", "sharded-kto": "kto",
      "stopped": "causal", "sharded-stopped": "causal", "dropout": "causal", "dropout-stopped": "causal"}  # fmt: skip
"""Which recipe's tokens these share."""
FAST = ["causal", "dealt", "few", "masked", "translation", "chat", "kto", "sharded", "sharded-kto"]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with all recipes tokenized, each trained in one process, and some in two; see `taught`."""
    root = tmp_path_factory.mktemp("ranks")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        patch.setenv("GRISTMILL_STOP_AFTER", "")
        without_tracking(patch)
        write_source(root / SOURCE)
        write_code()
        (root / "recipes").mkdir()
        for name, recipe in (KINDS | SHARDED | STOPPED | DROPOUT).items():
            recipe["train"]["precision"] = "fp32"
            if (architecture := recipe["model"].get("architecture")) is not None:
                recipe["model"]["config"] |= CALM[architecture]
            if name in DROPOUT:
                recipe["model"] |= {"architecture": "gpt2", "config": {"n_embd": 16, "n_layer": 2, "n_head": 2}}
            Path(f"recipes/{name}.yaml").write_text(json.dumps(recipe))
            if name in BY:
                folder = Path("data") / name
                folder.mkdir()
                for made in ("base", "tokenizer", "tokens"):
                    (folder / made).symlink_to(Path("..") / BY[name] / made)
                continue
            for stage in ("base", "ingest", "clean", "tokenize"):
                run(import_module(f"tasks.{stage}.__main__").STAGE, name)
                if stage == "ingest":  # all rows are valid; the libraries of `validate` take seconds to import
                    Path(f"data/{name}/raw").rename(f"data/{name}/valid")
            train_here(name)
            if name == "chat":
                run(import_module("tasks.train.__main__").STAGE, name)
        for name in ("dealt", "few"):
            train_here(name)
    return root


def ranks(root: Path, processes: int, recipes: Sequence[str], **more: str) -> None:
    """Train recipes in several processes, all in one start: each costs many seconds of imports."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}", "-m"]
    settings = {RANKS: os.fspath(root), "PYTHONPATH": os.fspath(ROOT), "TORCH_CPP_LOG_LEVEL": "ERROR", **more}
    done = subprocess.run(
        [*command, "tests.train.ranks", *recipes], cwd=root, env=environment(settings), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def environment(settings: dict[str, str]) -> dict[str, str]:
    with pytest.MonkeyPatch.context() as patch:
        without_tracking(patch)
        return {**os.environ, **settings}


@pytest.fixture(scope="module")
def two(project: Path) -> Path:
    """The project, after trainings in two processes."""
    stopped = ["stopped:4", "sharded-stopped:4", "dropout-stopped:4", "dropout-stopped", "dropout"]
    ranks(project, 2, [*FAST, *stopped], GRISTMILL_CHECKPOINT_MINUTES="0.0001")  # after every row, too
    return project


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "training/history.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def weights(folder: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    return load_file(folder / "model/model.safetensors")


def same(root: Path, name: str, processes: int) -> None:
    """The curve and the model are those of one process, but for the order of summation."""
    import torch

    one, several = root / "data" / LIKE.get(name, name) / "1", root / "data" / name / str(processes)
    expected, found = rows(one), rows(several)
    assert [row.keys() for row in found] == [row.keys() for row in expected] and len(found) >= 3
    for row, wanted in zip(found, expected, strict=True):
        assert row["tokens"] == wanted["tokens"]
        for key, value in wanted.items():
            assert (not value and not row[key]) or float(row[key]) == pytest.approx(float(value), rel=1e-4), (key, row)
    own = weights(several)
    for key, values in weights(one).items():  # Muon's products are in bf16
        torch.testing.assert_close(own[key], values, rtol=0, atol=2e-3 if "causal" in str(one) else 1e-5)


@pytest.mark.parametrize("name", FAST)
def test_two_processes_train_the_model_of_one(two: Path, name: str) -> None:
    same(two, name, 2)
    if name not in (*LIKE, "causal"):  # Muon's rounding shows in the sixth digit of the loss
        one, report = (json.loads((two / "data" / name / made / "report.json").read_text()) for made in ("1", "2"))
        assert report == one


@pytest.mark.parametrize("name", STOPPED)
def test_one_process_goes_on_from_a_checkpoint_of_two(two: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(two)
    without_tracking(monkeypatch)
    monkeypatch.setenv("GRISTMILL_STOP_AFTER", "")
    assert list((two / "data" / name / "checkpoints").glob("*/checkpoint-3"))
    train_here(name)
    same(two, name, 1)
    timing = json.loads(next((two / "data" / name / "checkpoints").glob("*/timing.json")).read_text())
    assert timing["resumed_at"] == 3


def test_two_processes_give_the_same_bytes_with_dropout_and_after_a_stop(two: Path) -> None:
    whole, stopped = (two / "data" / name / "2" for name in DROPOUT)
    for path in ("model/model.safetensors", "training/history.csv"):
        assert (whole / path).read_bytes() == (stopped / path).read_bytes()


@pytest.mark.slow
def test_four_processes_train_the_model_of_one(project: Path) -> None:
    for name in ("stopped", "sharded-stopped"):
        ranks(project, 2, [f"{name}:4"])
    ranks(project, 4, [*KINDS, *SHARDED, *STOPPED])
    for name in [*KINDS, *SHARDED, *STOPPED]:
        same(project, name, 4)


@pytest.mark.slow
def test_compiled_ranks_train_the_model_of_one(project: Path, tmp_path: Path) -> None:
    ranks(project, 2, ["causal", "dealt"], GRISTMILL_COMPILE="on", TORCHINDUCTOR_CACHE_DIR=os.fspath(tmp_path))
    for name in ("causal", "dealt"):
        same(project, name, 2)


# ---- the launcher


def launch(root: Path, recipe: str, **settings: str) -> "subprocess.Popen[str]":
    """The stage `train`, as DVC starts it."""
    return subprocess.Popen(
        [sys.executable, "-m", "tasks.train", recipe], cwd=root, stderr=subprocess.PIPE, text=True,
        env=environment({"PYTHONPATH": os.fspath(ROOT), "GRISTMILL_WORKERS": "2", **settings}),
    )  # fmt: skip


def children(process: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


def wait_for(there: Callable[[], Any], seconds: float = 120) -> Any:
    end = time.monotonic() + seconds
    while not (found := there()):
        assert time.monotonic() < end
        time.sleep(0.05)
    return found


def longer(root: Path, name: str, evaluate_every: int = 6, **train: Any) -> Path:
    """A recipe like `causal`, with more steps; returns its folder."""
    train = CAUSAL | {"precision": "fp32", "evaluate_every": evaluate_every} | train
    recipe = tiny_recipe("causal-lm", SOURCE, **train)
    (root / f"recipes/{name}.yaml").write_text(json.dumps(recipe))
    folder = root / "data" / name
    folder.mkdir()
    for made in ("base", "tokenizer", "tokens"):
        (folder / made).symlink_to(Path("..") / "causal" / made)
    return folder


@pytest.mark.slow
def test_a_killed_rank_ends_all_with_a_sentence_and_the_next_run_goes_on(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = longer(project, "killed", steps=1200, evaluate_every=1200, checkpoint_every=10)
    with launch(project, "killed", GRISTMILL_LAUNCH="torchrun:2") as stage:
        wait_for(lambda: list((folder / "checkpoints").glob("*/checkpoint-20/whole.json")))
        journal = next((folder / "checkpoints").glob("*/record.jsonl"))
        wait_for(lambda: '"gristmill.launch": "torchrun:2"' in journal.read_text())
        first, second = children(stage.pid)
        os.kill(second, signal.SIGKILL)
        assert stage.stderr is not None
        words = stage.stderr.read()
    assert stage.returncode == 2
    assert "rank 1 of 2 was killed (SIGKILL)" in words.splitlines()[-1] and "Traceback" not in words
    assert not Path(f"/proc/{first}").exists()
    assert not (folder / "model").exists() and not (folder / ".partial-train").exists()

    monkeypatch.chdir(project)
    without_tracking(monkeypatch)
    monkeypatch.setenv("GRISTMILL_STOP_AFTER", "")
    resumed = wait_for(lambda: max(int(p.name[11:]) for p in (folder / "checkpoints").glob("*/checkpoint-*")))
    train_here("killed")
    timing = json.loads(next((folder / "checkpoints").glob("*/timing.json")).read_text())
    assert timing["resumed_at"] >= resumed - 10 and rows(folder / "1")[-1]["step"] == "1200"


@pytest.mark.slow
def test_a_killed_stage_leaves_no_rank(project: Path) -> None:
    folder = longer(project, "orphaned", steps=4000, checkpoint_every=10)
    with launch(project, "orphaned", GRISTMILL_LAUNCH="torchrun:2") as stage:
        wait_for(lambda: list((folder / "checkpoints").glob("*/checkpoint-20")))
        there = children(stage.pid)
        stage.kill()
    assert len(there) == 2
    wait_for(lambda: not any(Path(f"/proc/{rank}").exists() for rank in there), 20)


@pytest.mark.slow
def test_two_machines_train_one_model_and_the_second_writes_nothing(project: Path, tmp_path: Path) -> None:
    """Both are this one, with a project each; the second has no checkpoint."""
    folder = longer(project, "machines", steps=60, evaluate_every=30, checkpoint_every=10)
    second = tmp_path / "second"
    subprocess.run(["cp", "-r", project, second], check=True)
    place = {"GRISTMILL_LAUNCH": f"torchrun:2x1@127.0.0.1:{free_port()}"}

    def both(**more: str) -> list[tuple[int, str]]:
        stages = [
            launch(root, "machines", **place, GRISTMILL_NODE=str(node), **(more if node else {}))
            for node, root in enumerate((project, second))
        ]
        words = [stage.communicate(timeout=300)[1] for stage in stages]
        return [(stage.returncode, said) for stage, said in zip(stages, words, strict=True)]

    recipe = second / "recipes/machines.yaml"
    kept = recipe.read_text()
    recipe.write_text(kept.replace('"steps": 60', '"steps": 61'))
    for code, said in both():
        assert code == 2 and "would train something else than rank 0" in said and "train.steps 60 → 61" in said
    recipe.write_text(kept)

    (code, _), (other, said) = both()
    assert (code, other) == (0, 0) and "took part in the training of 127.0.0.1, which has the outputs" in said
    assert (folder / "model/model.safetensors").is_file() and rows(folder)[-1]["step"] == "60"
    assert {path.name for path in (second / "data/machines").iterdir()} == {"base", "tokenizer", "tokens"}


@pytest.mark.slow
def test_ranks_on_a_ray_cluster(project: Path, ray_cluster: str) -> None:
    folder = longer(project, "on-ray", steps=30, evaluate_every=10)
    place = {"GRISTMILL_ENGINE": ray_cluster}
    with launch(project, "on-ray", GRISTMILL_LAUNCH="ray:3", **place) as stage:
        assert stage.stderr is not None
        words = stage.stderr.read().splitlines()
    assert stage.returncode == 2 and words[-1].endswith("3 processes, but the Ray cluster has 2 cores; use ray:2")
    with launch(project, "on-ray", GRISTMILL_LAUNCH="ray:2", **place) as stage:
        assert stage.stderr is not None
        words = stage.stderr.read().splitlines()
    assert stage.returncode == 0, words
    assert sum("with 2 processes of" in line for line in words) == 1
    shown, alone = rows(folder), longer(project, "off-ray", steps=30, evaluate_every=10)
    with launch(project, "off-ray") as stage:
        stage.communicate()
    for row, expected in zip(shown, rows(alone), strict=True):
        assert float(row["loss"]) == pytest.approx(float(expected["loss"]), rel=1e-3)


def free_port() -> int:
    import socket

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@pytest.mark.parametrize(
    "text", ["2", "torchrun", "torchrun:0", "torchrun:-1", "torchrun:2x4", "torchrun:4@h", "torchrun:2x2@h:0",
             "torchrun:2x2@h:70000", "ray:2x2@h", "mpi:2", "torchrun:2 "],
)  # fmt: skip
def test_an_invalid_launch_is_refused(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("GRISTMILL_LAUNCH", text)
    with pytest.raises(GristmillError, match=r"^GRISTMILL_LAUNCH: '.*' is not like torchrun:2 "):
        read_launch()


def test_launches_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    found = {}
    for text in ("", "torchrun:2", "torchrun:2x8@10.0.0.1", "torchrun:3x1@[::1]:99", "ray:4"):
        monkeypatch.setenv("GRISTMILL_LAUNCH", text)
        found[text] = read_launch()
    assert found == {
        "": None,
        "torchrun:2": Launch("torchrun", 2),
        "torchrun:2x8@10.0.0.1": Launch("torchrun", 8, 2, "10.0.0.1"),
        "torchrun:3x1@[::1]:99": Launch("torchrun", 1, 3, "::1", 99),
        "ray:4": Launch("ray", 4),
    }
    assert context("tiny")["gristmill.launch"] == "ray:4", "the record does not tell it"
    assert Launch("torchrun", 8, 2, "127.0.0.1").number == 0 and Launch("torchrun", 8, 2, "192.0.2.1").number == 1
    with pytest.raises(GristmillError, match="with 3 machines, give each but HOST its number"):
        _ = Launch("torchrun", 1, 3, "192.0.2.1").number
    monkeypatch.setenv("GRISTMILL_NODE", "2")
    with pytest.raises(GristmillError, match="GRISTMILL_NODE: 2, but GRISTMILL_LAUNCH has 2 machines"):
        _ = Launch("torchrun", 8, 2, "192.0.2.1").number


def test_more_processes_than_cores_are_refused(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)
    without_tracking(monkeypatch)
    monkeypatch.setenv("GRISTMILL_WORKERS", "3")
    monkeypatch.setenv("GRISTMILL_LAUNCH", "torchrun:4")
    with pytest.raises(GristmillError, match="4 processes on this machine, which has 3 cores: use torchrun:3, or set"):
        run(import_module("tasks.train.__main__").STAGE, "causal")


@pytest.mark.slow
def test_a_machine_that_does_not_come_is_waited_for_no_longer_than_said(project: Path) -> None:
    for node in ("0", "1"):
        place = {"GRISTMILL_LAUNCH": f"torchrun:2x1@127.0.0.1:{free_port()}", "GRISTMILL_LAUNCH_TIMEOUT": "2"}
        with launch(project, "causal", GRISTMILL_NODE=node, **place) as stage:
            assert stage.stderr is not None
            words = stage.stderr.read()
        assert stage.returncode == 75 and "the machines did not meet at 127.0.0.1" in words.splitlines()[-1]
        assert len(words.splitlines()) == 1


def test_the_rank_that_ended_first_has_the_last_word(tmp_path: Path) -> None:
    def outcome(rank: int, code: int, error: str | None) -> None:
        (tmp_path / f"{rank}.json").write_text(json.dumps({"exit_code": code, "error": error}))

    def explained(codes: dict[int, int]) -> None:
        explain(tmp_path, codes, 2, "the other machines", dict.fromkeys(codes))

    outcome(0, 75, f"{LOST} the connection to another rank: closed")
    with pytest.raises(TransientError, match="the connection to the other machines was lost"):
        explained({0: 75, 1: -signal.SIGTERM})
    with pytest.raises(GristmillError, match=r"rank 1 of 2 was killed \(SIGKILL\)"):
        explained({0: 75, 1: -signal.SIGKILL})
    with pytest.raises(RuntimeError, match="rank 1 ended with exit code 1"):
        explained({0: 75, 1: 1})
    outcome(1, 2, "recipes/tiny.yaml: train: the loss is nan")
    with pytest.raises(GristmillError, match="the loss is nan"):
        explained({0: 75, 1: 2})


# ---- the shares of ranks


class Numbers(Batches):
    """Batches of `position % 4 + 1` rows."""

    count, width = 8, 3

    def batch(self, position: int) -> Batch:
        import torch

        rows = position % 4 + 1
        ids = torch.arange(rows * self.width).view(rows, self.width) + 100 * position
        return {"input_ids": ids, "labels": torch.where(ids % 2 == 0, ids, -100)}


@pytest.mark.parametrize(("size", "accumulation"), [(2, 1), (3, 2), (4, 3), (2, 4), (4, 8)])
def test_the_shares_of_all_ranks_are_the_batches_of_a_step(size: int, accumulation: int) -> None:
    import torch

    shares = [Dealt(Numbers(), World(rank, size), accumulation) for rank in range(size)]
    for step in range(3):
        first, last = step * accumulation, (step + 1) * accumulation
        wholes = [find_asked(Numbers().batch(position)) for position in range(first, last)]
        found, counts = [], []
        for dealt in shares:
            own = [dealt.batch(position) for position in dealt.positions(first, last)]
            counts.append((len(own), sum(map(taken_off, own))))
            found += [batch["input_ids"] for batch in own if "idle" not in batch]
            assert all(torch.equal(batch["asked"], find_asked(batch)["asked"]) for batch in own)
        assert len(set(counts)) == 1 and counts[0][1] == sum(map(count_items, wholes))
        together = torch.cat([batch["input_ids"] for batch in wholes]).flatten().sort().values
        assert torch.equal(torch.cat(found).flatten().sort().values, together)


def test_a_rank_has_both_answers_of_its_pairs() -> None:
    import torch

    labels = torch.tensor([[0, -100], [1, -100], [2, 2], [10, -100], [11, 11], [12, -100]])
    batch = find_asked({"input_ids": labels.clone(), "labels": labels, "pairs": torch.tensor([5, 6, 7])})
    one, other = (rows_of(batch, rank, 2) for rank in range(2))
    assert one["pairs"].tolist() == [5] and other["pairs"].tolist() == [6, 7]
    assert one["input_ids"][:, 0].tolist() == [0, 10] and other["input_ids"][:, 0].tolist() == [1, 2, 11, 12]
    assert (float(one["share"]), float(other["share"])) == pytest.approx((1 / 3, 2 / 3))
    assert "idle" in rows_of(batch, 0, 4) and "idle" not in rows_of(batch, 3, 4)


def test_one_process_alone_has_nothing_to_compare() -> None:
    require_same(World(), {"train": 1}, "recipes/tiny.yaml")
    assert World().told(3) == [3] and World().of_first(3) == 3


def test_what_cannot_be_sharded_is_refused() -> None:
    from tasks.stage.errors import RecipeError
    from tasks.stage.settings import validate
    from tasks.train.settings import ModelSettings, PackedTraining
    from tasks.train.settings import problems as conflicts

    where = Path("recipes/x.yaml")
    with pytest.raises(RecipeError, match=r"shard: cannot be used with average"):
        validate(PackedTraining, {"steps": 2, "shard": "full", "average": {"last": 0.5}}, where, "train")
    train = validate(PackedTraining, {"steps": 2, "shard": "full"}, where, "train")
    model = validate(ModelSettings, {"init": "recipe:x", "lora": {"quantize": "nf4"}}, where, "model")
    assert [problem.partition(":")[0] for problem in conflicts("causal-lm", model, train)] == ["train.shard"]
    assert "shard" in train.model_dump() and "shard" not in PackedTraining(steps=2).model_dump()
