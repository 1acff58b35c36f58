"""Preference training: losses equal TRL's, the base's log-probabilities are computed once, a resume changes nothing."""

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tasks.formats.rows import IGNORED
from tasks.formats.tokens import write_parts
from tasks.stage.errors import DataError, GristmillError, RecipeError
from tasks.stage.identity import hash_tree
from tasks.stage.run import run
from tasks.train.__main__ import STAGE
from tasks.train.batches import find_asked
from tasks.train.checkpoints import REFERENCE
from tasks.train.preference_loss import preference_losses, read_answers
from tasks.train.preferences import PreferenceBatches, PreferenceLayout, choose, preference_data
from tasks.train.settings import PreferenceTraining
from tests.corpora import write_recipe
from tests.preferences import (
    Pair,
    messages_of,
    pairs_of_words,
    save_word_tokenizer,
    word_llama,
    write_preference_tokens,
)
from tests.scratch import without_tracking, write_code
from tests.train.conftest import refuses

FLAT = {"name": "wsd", "warmup_steps": 0, "decay": 1e-6}
ADAM = {"name": "adamw", "learning_rate": 0.005, "betas": [0.9, 0.999]}
LOSSES: list[dict[str, Any]] = [
    {"name": "dpo"}, {"name": "ipo"}, {"name": "kto"}, {"name": "orpo"}, {"name": "simpo"},
]  # fmt: skip
Project = Callable[..., Path]


@pytest.fixture(scope="module")
def word_tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_word_tokenizer(tmp_path_factory.mktemp("words"))


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, word_tokenizer: Path) -> Project:
    """Factory: a project whose base is a small llama; keyword arguments override `train` settings."""
    monkeypatch.chdir(tmp_path)
    write_code()
    monkeypatch.setenv("GRISTMILL_WORKERS", "1")
    without_tracking(monkeypatch)

    def make(
        model: dict[str, Any] | None = None, pairs: list[Pair] | None = None, held_out: list[Pair] | None = None,
        **train: Any,
    ) -> Path:  # fmt: skip
        settings = {
            "steps": 6, "precision": "fp32", "optimizer": ADAM, "evaluate_every": 3, "checkpoint_every": 2,
            "log_every": 1, "schedule": FLAT, "context_length": 64, "batch_tokens": 400,
        }  # fmt: skip
        init = {"init": {"kind": "folder", "path": "any"}}
        recipe = {"task": "preference", "model": init | (model or {}), "train": settings | train}
        write_recipe(Path(), "tiny", json.dumps(recipe))
        folder = Path("data/tiny")
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(word_tokenizer, folder / "tokenizer")
        word_llama().save_pretrained(folder / "base")
        parts = {"train": pairs or pairs_of_words(24), "validation": held_out or pairs_of_words(8, seed=1)}
        for split, given in parts.items():
            write_preference_tokens(folder / "tokens" / split, word_tokenizer, given)
        return folder

    return make


def rows_of(folder: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((folder / "training/history.csv").open()))


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss["name"])
def test_the_chosen_answers_become_likelier_than_the_rejected_ones(project: Project, loss: dict[str, Any]) -> None:
    folder = project(loss=loss, steps=40, evaluate_every=20, log_every=20)
    report = run(STAGE, "tiny")
    first, last = rows_of(folder)
    assert float(last["loss"]) < float(first["loss"])
    assert float(last["validation_accuracy"]) >= 0.9 and float(last["validation_margin"]) > 0.3
    assert report.details["data"]["training"]["pairs"] == 24
    assert json.loads((folder / "model/gristmill.json").read_text())["task"] == "preference"


def test_a_killed_training_ends_with_the_same_bytes_and_reads_the_reference(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    import tasks.train.reference as reference

    lora = {"lora": {"rank": 4}}
    for model, loss in ((None, {"name": "kto"}), (lora, {"name": "dpo"})):
        folder = project(model=model, loss=loss)
        run(STAGE, "tiny")
        whole = hash_tree(folder / "model"), (folder / "training/history.csv").read_text()
        (checkpoints,) = (folder / "checkpoints").iterdir()
        assert not (checkpoints / REFERENCE).exists() and not list(checkpoints.glob("checkpoint-*"))
        shutil.rmtree(folder / "checkpoints")
        for step, computes in ((1, True), (3, False), (None, False)):
            if step is None:
                monkeypatch.delenv("GRISTMILL_STOP_AFTER")
            else:
                monkeypatch.setenv("GRISTMILL_STOP_AFTER", str(step))
            computed: list[int] = []
            with monkeypatch.context() as patch:
                plain = reference._computed
                patch.setattr(reference, "_computed", lambda *given: computed.append(1) or plain(*given))  # noqa: B023
                if step is None:
                    run(STAGE, "tiny")
                else:
                    with pytest.raises(GristmillError, match="stopped after step"):
                        run(STAGE, "tiny")
            assert bool(computed) == computes
        assert (hash_tree(folder / "model"), (folder / "training/history.csv").read_text()) == whole


@pytest.mark.parametrize("damage", ["cut", "foreign", "nothing"])
def test_a_damaged_or_foreign_reference_is_computed_again(
    project: Project, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], damage: str
) -> None:
    project(loss={"name": "dpo"})
    monkeypatch.setenv("GRISTMILL_STOP_AFTER", "1")
    with pytest.raises(GristmillError):
        run(STAGE, "tiny")
    (path,) = Path("data/tiny/checkpoints").glob(f"*/{REFERENCE}")
    right = dict(np.load(path))
    assert right["identity"].tobytes().decode() == path.parent.name
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-200])
    elif damage == "foreign":
        np.savez(
            path, **{**right, "identity": np.frombuffer(b"other", np.uint8), "training/reference": np.ones((24, 2))}
        )
    with pytest.raises(GristmillError, match="stopped after step"):
        run(STAGE, "tiny")
    told = {"cut": "damaged", "foreign": "of another training"}.get(damage)
    assert ("computed again" in capfd.readouterr().err) == (told is not None)
    again = np.load(path)
    assert all(np.array_equal(again[key], values) for key, values in right.items())


def test_with_adapters_the_reference_is_the_base(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """And is what a plain loop over single conversations gives."""
    import torch

    monkeypatch.setenv("GRISTMILL_STOP_AFTER", "1")
    folder = project(model={"lora": {"rank": 4}})
    with pytest.raises(GristmillError):
        run(STAGE, "tiny")
    (path,) = folder.glob(f"checkpoints/*/{REFERENCE}")
    found = np.load(path)["training/reference"]
    pairs, _ = choose(folder / "tokens/train", PreferenceTraining.model_validate({"steps": 1, "context_length": 64}))
    model = word_llama()
    for number in range(24):
        for column, side in enumerate((pairs.chosen, pairs.rejected)):
            prompt, answer = side.row(number)
            with torch.no_grad():
                logits = model(torch.tensor([[*prompt, *answer]])).logits[0, len(prompt) - 1 : -1]
            wanted = logits.log_softmax(-1).gather(1, torch.tensor(answer)[:, None]).sum()
            assert found[number, column] == pytest.approx(float(wanted), rel=1e-5)


@pytest.mark.parametrize(("loss", "named"), [("dpo", "sigmoid"), ("ipo", "ipo")])
def test_the_losses_of_every_step_are_those_of_trl(
    project: Project, word_tokenizer: Path, tmp_path: Path, loss: str, named: str
) -> None:
    import torch
    import transformers
    from datasets import Dataset
    from trl import DPOConfig, DPOTrainer

    pairs = pairs_of_words(24)
    folder = project(pairs=pairs, loss={"name": loss, "beta": 0.2}, batch_tokens=100_000)
    run(STAGE, "tiny")
    ours = [float(row["loss"]) for row in rows_of(folder)]

    class Recording(DPOTrainer):
        def compute_loss(self, *given: Any, **named: Any) -> Any:
            found = super().compute_loss(*given, **named)
            theirs.append(float(found.detach()))
            return found

    theirs: list[float] = []
    table = Dataset.from_list([
        {"prompt": messages_of(question), "chosen": [{"role": "assistant", "content": chosen}],
         "rejected": [{"role": "assistant", "content": rejected}]}
        for question, chosen, rejected in pairs
    ])  # fmt: skip
    torch.manual_seed(0)
    trainer = Recording(
        word_llama(), ref_model=word_llama(), train_dataset=table,
        processing_class=transformers.AutoTokenizer.from_pretrained(word_tokenizer),
        args=DPOConfig(
            output_dir=str(tmp_path / "trl"), per_device_train_batch_size=24, max_steps=6, learning_rate=0.005,
            lr_scheduler_type="constant", beta=0.2, loss_type=[named], bf16=False, use_cpu=True, report_to=[],
            gradient_checkpointing=False, save_strategy="no", max_grad_norm=1.0, disable_tqdm=True, max_length=None,
        ),
    )  # fmt: skip
    trainer.train()
    assert len(ours) == 6 and ours[-1] < 0.9 * ours[0]
    assert ours == pytest.approx(theirs, abs=1e-4, rel=1e-4)


def moved(tmp_path: Path, word_tokenizer: Path, loss: dict[str, Any]) -> tuple[Any, Any, dict[str, Any], Any]:
    """A model, its base, a batch with the base's log-probabilities, and the model's answers."""
    import torch

    base, model = word_llama(), word_llama()
    with torch.no_grad():
        for weights in base.parameters():
            weights += 0.05 * torch.randn_like(weights)
    for split in ("train", "validation"):
        write_preference_tokens(tmp_path / split, word_tokenizer, pairs_of_words(6))
    settings = PreferenceTraining.model_validate({"steps": 1, "context_length": 64, "loss": loss})
    data = preference_data({split: tmp_path / split for split in ("train", "validation")}, settings, 0, "r")
    batch = find_asked(data.training.batch(0))
    from tasks.train.preference_loss import log_probabilities, mismatched

    with torch.no_grad():
        batch["reference"] = log_probabilities(base, batch)
        if loss["name"] == "kto":
            batch["mismatched_reference"] = log_probabilities(base, mismatched(batch))
    return model, base, batch, read_answers(model, batch)


def test_kto_is_the_loss_of_trl(tmp_path: Path, word_tokenizer: Path) -> None:
    import torch
    import transformers
    from datasets import Dataset
    from trl import KTOConfig, KTOTrainer

    loss = {"name": "kto", "beta": 0.3, "desirable_weight": 1.2, "undesirable_weight": 0.7}
    model, base, batch, answers = moved(tmp_path, word_tokenizer, loss)
    settings = PreferenceTraining.model_validate({"steps": 1, "loss": loss}).loss
    rows = [{"prompt": q, "completion": a, "label": n % 2 == 0} for n, (q, a, _) in enumerate(pairs_of_words(4))]
    trainer = KTOTrainer(
        model, ref_model=base, train_dataset=Dataset.from_list(rows),
        processing_class=transformers.AutoTokenizer.from_pretrained(word_tokenizer),
        args=KTOConfig(
            output_dir=str(tmp_path / "trl"), beta=0.3, desirable_weight=1.2, undesirable_weight=0.7, bf16=False,
            use_cpu=True, report_to=[], per_device_train_batch_size=4, gradient_checkpointing=False,
        ),
    )  # fmt: skip

    def completion(labels: Any) -> Any:
        return torch.cat([torch.zeros(len(labels), 1, dtype=torch.long), (labels != IGNORED).long()[:, :-1]], dim=1)

    given = {"input_ids": batch["input_ids"], "attention_mask": batch["attention_mask"],
             "completion_mask": completion(batch["labels"]), "label": torch.arange(12) < 6,
             "KL_input_ids": batch["mismatched_input_ids"], "KL_attention_mask": batch["mismatched_attention_mask"],
             "KL_completion_mask": completion(batch["mismatched_labels"])}  # fmt: skip
    theirs = float(trainer._compute_loss(model, given, False).detach())
    assert answers.divergence is not None and float(answers.divergence) > 0
    assert float(preference_losses(answers, settings).mean().detach()) == pytest.approx(theirs, rel=1e-5)


def test_orpo_and_simpo_are_the_losses_of_trl(tmp_path: Path, word_tokenizer: Path) -> None:
    from types import SimpleNamespace

    import torch
    from trl.experimental.cpo import CPOTrainer
    from trl.experimental.orpo import ORPOTrainer

    _, _, _, answers = moved(tmp_path, word_tokenizer, {"name": "orpo"})
    settings = PreferenceTraining.model_validate({"steps": 1, "loss": {"name": "orpo", "beta": 0.4}}).loss
    own = SimpleNamespace(beta=0.4, accelerator=SimpleNamespace(device=torch.device("cpu")))
    chosen, rejected = answers.per_token()
    odds = ORPOTrainer.odds_ratio_loss(own, chosen, rejected)[0]  # type: ignore[arg-type]
    assert torch.allclose(preference_losses(answers, settings), -chosen - odds, rtol=1e-5)

    settings = PreferenceTraining.model_validate({"steps": 1, "loss": {"name": "simpo", "gamma": 0.5}}).loss
    own = SimpleNamespace(
        beta=2.0, simpo_gamma=0.5, loss_type="simpo", label_smoothing=0.0, alpha=0.0, accelerator=own.accelerator
    )
    theirs = CPOTrainer.cpo_loss(own, chosen, rejected)[0]  # type: ignore[arg-type]
    assert torch.allclose(preference_losses(answers, settings), theirs, rtol=1e-5)


def test_label_smoothing_is_of_the_training_alone(tmp_path: Path, word_tokenizer: Path) -> None:
    import torch

    _, _, _, answers = moved(tmp_path, word_tokenizer, {"name": "dpo"})
    plain, smooth = (
        PreferenceTraining.model_validate({"steps": 1, "loss": {"name": "dpo", "label_smoothing": s}}).loss
        for s in (0.0, 0.2)
    )
    chosen, rejected = answers.ratios()
    delta = 0.1 * (chosen - rejected)
    wanted = -0.8 * torch.log(torch.sigmoid(delta)) - 0.2 * torch.log(torch.sigmoid(-delta))
    assert torch.allclose(preference_losses(answers, smooth), wanted, rtol=1e-5)
    assert torch.equal(preference_losses(answers, smooth, training=False), preference_losses(answers, plain))


def test_odds_of_a_certain_answer_are_finite() -> None:
    import torch

    from tasks.train.preference_loss import _log_odds

    given = torch.tensor([-1e-9, 0.0, -0.5, -50.0, -1000.0], requires_grad=True)
    found = _log_odds(given)
    found.sum().backward()
    assert torch.isfinite(found).all() and torch.isfinite(given.grad).all()  # type: ignore[arg-type]
    assert float(found[2].detach()) == pytest.approx(float(torch.logit(torch.exp(torch.tensor(-0.5)))), rel=1e-5)


def test_a_pass_has_every_pair_once_and_no_batch_is_larger_than_allowed(tmp_path: Path, word_tokenizer: Path) -> None:
    for split in ("train", "validation"):
        write_preference_tokens(tmp_path / split, word_tokenizer, pairs_of_words(40, longest=12))
    settings = PreferenceTraining.model_validate({"steps": 1, "context_length": 26, "batch_tokens": 200})
    data = preference_data({split: tmp_path / split for split in ("train", "validation")}, settings, 0, "r")
    batches, told = data.training, data.facts["training"]
    assert told["left_out"] > 0 and told["pairs"] + told["left_out"] == 40
    for number in range(2):
        found = [batches.batch(position) for position in range(number * batches.count, (number + 1) * batches.count)]
        places = [int(place) for batch in found for place in batch["pairs"]]
        assert sorted(places) == list(range(told["pairs"])) and max(b["input_ids"].numel() for b in found) <= 200
        for batch in found:
            chosen, rejected = batch["labels"].chunk(2)
            for one, other in zip(chosen, rejected, strict=True):
                words = [one[one != IGNORED].tolist(), other[other != IGNORED].tolist()]
                assert words[0][-1] == words[1][-1] == 1 and [n - 40 for n in words[0][-2::-1]] == words[1][:-1]


def test_an_answer_to_another_prompt_is_cut_to_the_context_and_is_never_the_own_one(
    tmp_path: Path, word_tokenizer: Path
) -> None:
    write_preference_tokens(tmp_path / "t", word_tokenizer, pairs_of_words(20, longest=12))
    pairs, _ = choose(tmp_path / "t", PreferenceTraining.model_validate({"steps": 1, "context_length": 64}))
    pairs = pairs.matched()
    assert pairs.partners is not None
    assert sorted(pairs.partners) == list(range(20)) and (pairs.partners != np.arange(20)).all()
    for longest in (64, 24):
        batch = PreferenceLayout(0, longest).tensors(pairs, np.arange(20))
        rows = zip(batch["mismatched_input_ids"], batch["mismatched_labels"], strict=True)
        assert (batch["mismatched_input_ids"].shape[1] <= longest) and batch["mismatched_labels"].shape[0] == 40
        for number, (ids, labels) in enumerate(rows):
            prompt, _ = pairs.chosen.row(number % 20)
            side = pairs.chosen if number < 20 else pairs.rejected
            _, answer = side.row(int(pairs.partners[number % 20]))
            assert ids[: len(prompt)].tolist() == prompt.tolist()
            assert labels[labels != IGNORED].tolist() == answer[: longest - len(prompt)].tolist()


def test_the_weights_of_a_mixture_are_met_and_every_source_has_its_reference(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Batches of one source each, so that three quarters of the tokens come from the smaller one."""
    folder = project(loss={"name": "kto"}, steps=40, batch_tokens=120)
    write_parts(folder / "tokens/train", [("few", 8), ("many", 16)])
    write_parts(folder / "tokens/validation", [("few", 4), ("many", 4)])
    recipe = json.loads(Path("recipes/tiny.yaml").read_text())
    recipe["ingest"] = {"sources": [{"name": "few", "weight": 3}, {"name": "many", "weight": 1}]}
    Path("recipes/tiny.yaml").write_text(json.dumps(recipe))
    seen: list[tuple[int, int]] = []
    monkeypatch.setattr(PreferenceBatches, "batch", watched(PreferenceBatches.batch, seen))
    run(STAGE, "tiny")
    tokens = {source: sum(size for own, size in seen[-40:] if own == source) for source in (0, 1)}
    assert tokens[0] / (tokens[0] + tokens[1]) == pytest.approx(0.75, abs=0.05)
    whole = hash_tree(folder / "model")
    monkeypatch.setenv("GRISTMILL_STOP_AFTER", "5")
    with pytest.raises(GristmillError, match="stopped after step"):
        run(STAGE, "tiny")
    (path,) = folder.glob(f"checkpoints/*/{REFERENCE}")
    assert {"training/0/reference", "training/1/mismatched_reference"} < set(np.load(path))
    monkeypatch.delenv("GRISTMILL_STOP_AFTER")
    run(STAGE, "tiny")
    assert hash_tree(folder / "model") == whole


def watched(plain: Callable[..., Any], seen: list[tuple[int, int]]) -> Callable[..., Any]:
    """`PreferenceBatches.batch`, which notes the source of each training batch (first or second) and its size."""

    def batch(self: PreferenceBatches, position: int) -> Any:
        found = plain(self, position)
        if self.shuffled:
            seen.append((int(self.documents.numbers[0] >= 8), found["input_ids"].numel()))
        return found

    return batch


def test_what_cannot_be_trained_is_refused_in_one_sentence(project: Project) -> None:
    project(loss={"name": "dpo", "gamma": 1})
    refuses(RecipeError, r"^recipes/tiny.yaml: train.loss.gamma: unknown key for dpo; it belongs to simpo$")
    project(loss={"name": "dop"})
    refuses(RecipeError, r"^recipes/tiny.yaml: train.loss.name: expected one of dpo, .*; did you mean dpo\?$")
    project(model={"init": "scratch", "architecture": "llama"})
    refuses(
        RecipeError, r"^recipes/tiny.yaml: train.loss: dpo needs a base that already answers, and random weights do"
    )
    same = [(question, chosen, chosen) for question, chosen, _ in pairs_of_words(5)]
    project(pairs=same)
    refuses(RecipeError, r"the train split has no pairs to train on: 5 have the same answer on both sides$")
    project(context_length=8)
    refuses(RecipeError, r"the train split has no pairs to train on: 24 exceed train.context_length 8$")
    project(pairs=pairs_of_words(1), loss={"name": "kto"})
    refuses(RecipeError, r"the train split has one pair, but kto needs two")
    folder = project()
    shutil.rmtree(folder / "tokens/train/rejected")
    shutil.copytree(folder / "tokens/validation/rejected", folder / "tokens/train/rejected")
    refuses(DataError, r"24 chosen answers, but 8 rejected ones")
