"""Any model of the task scored as the recipe's own."""

import json
import math
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from tasks.evaluate.__main__ import STAGE
from tasks.evaluate.rescore import rescore
from tasks.stage.errors import DataError
from tasks.stage.run import run
from tasks.stage.task import FAMILIES, is_baseline
from tests.evaluate.chats import chat_project, make_chat_model
from tests.evaluate.damage import edit_json, spoil
from tests.evaluate.families import (
    LABELLED,
    class_project,
    make_classifier,
    masked_project,
    pair_project,
    write_labelled,
    write_masked_recipe,
    write_pair_recipe,
)
from tests.evaluate.outputs import read_output
from tests.evaluate.preferences import preference_project
from tests.evaluate.projects import SCORING, causal_project, make_model, write_model, write_recipe
from tests.evaluate.texts import FOLDER, TEXTS
from tests.scratch import ROOT

OUT = Path("out")


@pytest.fixture
def project_of(
    tmp_path, monkeypatch, bpe, llama, source_bpe, target_bpe, masked_bpe, chat_bpe, chat_model, word_tokenizer
):
    makers = {
        "causal-lm": lambda: causal_project(tmp_path, monkeypatch, bpe, llama),
        "translation": lambda: pair_project(
            tmp_path, monkeypatch, "translation", "marian", source_bpe, target_bpe, prefix="fr: "
        ),
        "summarization": lambda: pair_project(tmp_path, monkeypatch, "summarization", "t5", source_bpe, None),
        "masked-lm": lambda: masked_project(tmp_path, monkeypatch, masked_bpe),
        "classification": lambda: class_project(tmp_path, monkeypatch, "bert", masked_bpe),
        "chat": lambda: chat_project(tmp_path, monkeypatch, chat_bpe, chat_model, make_chat_model(chat_bpe, steps=0)),
        "preference": lambda: preference_project(tmp_path, monkeypatch, word_tokenizer),
    }
    return lambda task: makers[task]()


@pytest.mark.parametrize("task", FAMILIES)
def test_the_recipes_own_model_gets_the_bytes_of_the_stage(project_of, task):
    project_of(task)
    run(STAGE, "tiny")
    wanted = read_output("metrics.json")
    own = {key: value for key, value in wanted.items() if not (is_baseline(key) or key.startswith("base_"))}
    assert own != wanted  # there are baselines
    (FOLDER / "model").rename("champion")
    for name in ("tokens", "clean/train", "training", *(["base"] if task != "preference" else [])):  # the stage's own
        shutil.rmtree(FOLDER / name, ignore_errors=True)
    assert rescore("tiny", Path("champion"), OUT) == own
    assert json.loads((OUT / "metrics.json").read_text()) == own
    assert sorted(path.name for path in OUT.iterdir()) == ["metrics.json", "scores.parquet"]
    assert (OUT / "scores.parquet").read_bytes() == (FOLDER / "evaluation/scores.parquet").read_bytes()


def test_a_model_of_another_architecture_tokenizer_and_length_is_scored_on_the_same_text(project, source_bpe):
    from transformers import AutoTokenizer

    from tasks.evaluate.perplexity import token_losses

    run(STAGE, "tiny")
    model = make_model("gpt2", positions=24, seed=3)
    write_model(Path("old"), model, source_bpe)
    found, own = rescore("tiny", Path("old"), OUT), read_output("metrics.json")
    loaded = AutoTokenizer.from_pretrained(source_bpe)
    documents = [np.array(loaded.encode(text, add_special_tokens=False)) for text in TEXTS]
    losses = token_losses(model, documents, loaded.eos_token_id, SCORING)
    total = math.fsum(values.sum() for values in losses)
    assert found["bits_per_byte"] == pytest.approx(total / math.log(2) / own["bytes"], abs=1e-6)
    assert found["tokens"] == sum(map(len, documents)) != own["tokens"]
    parts = [dict(part.split(":") for part in metrics["signature"].split("|")) for metrics in (found, own)]
    assert {key for key in parts[0] if parts[0][key] != parts[1][key]} == {"tok"}


def too_few_positions():
    write_recipe(Path(), window=64, stride=8)
    edit_json(Path("old/config.json"), max_position_embeddings=32)


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (
            too_few_positions,
            "old: cannot be scored as recipes/tiny.yaml says: evaluate.window: 64 exceeds the model's 32 positions",
        ),
        (lambda: shutil.rmtree("old"), "old: not a folder with a model"),
        (lambda: edit_json(Path("old/gristmill.json"), task="translation"), "was trained for translation, not causal"),
        (lambda: Path("old/gristmill.json").unlink(), "old/gristmill.json: cannot be read"),
        (lambda: spoil("model.norm.weight", Path("old")), "old: model.norm.weight has NaN"),
        (lambda: Path("old/tokenizer.json").write_text("{"), "old: the tokenizer cannot be loaded"),
        (lambda: shutil.rmtree(FOLDER / "clean/test"), "data/tiny/clean/test: not found; run the earlier stages"),
        (lambda: OUT.write_text(""), "out: not a folder"),
    ],
)
def test_what_cannot_be_scored_is_refused_in_a_sentence(project, damage, sentence):
    (FOLDER / "model").rename("old")
    damage()
    with pytest.raises(DataError, match=sentence) as caught:
        rescore("tiny", Path("old"), OUT)
    assert "\n" not in str(caught.value)
    assert not OUT.is_dir() or not list(OUT.iterdir())


def test_scores_never_replace_an_output_that_dvc_tracks(project):
    with pytest.raises(DataError, match="data/tiny/evaluation: data holds outputs that DVC tracks"):
        rescore("tiny", FOLDER / "model", FOLDER / "evaluation")


def test_scores_of_an_earlier_model_are_gone_where_the_next_one_fails(project):
    rescore("tiny", FOLDER / "model", OUT)
    spoil("lm_head.weight", FOLDER / "model", "1e38")
    with pytest.raises(DataError, match="the loss on document d0 is not finite"):
        rescore("tiny", FOLDER / "model", OUT)
    assert list(OUT.iterdir()) == []


def test_a_classifier_is_wrong_about_a_class_that_it_does_not_know(project_of, masked_bpe):
    project_of("classification")
    write_model(Path("old"), make_classifier("bert"), masked_bpe, task="classification")
    write_labelled(FOLDER / "clean/test", [*LABELLED, ("birds sing", "birds")])
    metrics = rescore("tiny", Path("old"), OUT)
    row = pq.read_table(OUT / "scores.parquet").to_pylist()[-1]
    assert (row["label"], row["label_probability"]) == ("birds", 0.0) and row["predicted"] != "birds"
    assert metrics["accuracy"] < 1


def test_a_masked_model_with_too_few_positions_is_refused(project_of):
    root = project_of("masked-lm")
    (FOLDER / "model").rename("old")
    write_masked_recipe(root, window=65)
    with pytest.raises(DataError, match=r"old: cannot be .* evaluate.window: 65 exceeds the model's 64 positions"):
        rescore("tiny", Path("old"), OUT)


def test_a_pair_model_with_too_few_positions_is_refused(project_of):
    root = project_of("translation")
    (FOLDER / "model").rename("old")
    write_pair_recipe(root, "translation", {"max_new_tokens": 64})
    with pytest.raises(DataError, match=r"old: cannot be .*max_new_tokens: 64 plus the start or end token exceeds"):
        rescore("tiny", Path("old"), OUT)


def test_the_command_ends_with_a_sentence_and_a_code(project):
    def command(*arguments: str) -> tuple[int, str]:
        done = subprocess.run(
            [sys.executable, "-m", "tasks.evaluate.rescore", *arguments], capture_output=True, text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        assert done.stdout == ""
        return done.returncode, done.stderr.strip()

    assert command("tiny", "gone", "out") == (2, "gone: not a folder with a model")
    assert command("tiny")[0] == 2
    code, said = command("tiny", str(FOLDER / "model"), "out")
    assert code == 0 and (OUT / "metrics.json").is_file(), said
