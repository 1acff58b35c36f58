"""The baseline `base`: the initial model's score on the same text."""

import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest

from tasks.evaluate.__main__ import STAGE
from tasks.evaluate.loading import check_base
from tasks.evaluate.perplexity import Scoring, token_losses
from tasks.stage.errors import DataError
from tasks.stage.run import run
from tests.evaluate.conftest import TEXTS, make_model, output_bytes, read_output, write_base

FOLDER = Path("data/tiny")


def test_the_model_before_training_is_scored_on_the_same_windows(project, bpe):
    from transformers import AutoTokenizer

    write_base(FOLDER / "base", bpe, seed=2)
    run(STAGE, "tiny")
    found = read_output("metrics.json")
    documents = [np.array(AutoTokenizer.from_pretrained(bpe).encode(text)) for text in TEXTS]
    losses = token_losses(make_model("llama", seed=2), documents, 0, Scoring(24, 8, "fp32", 4))
    total, tokens = sum(values.sum() for values in losses), sum(map(len, documents))
    assert found["base_loss"] == pytest.approx(total / tokens, abs=1e-6)
    assert found["base_perplexity"] == pytest.approx(math.exp(total / tokens), rel=1e-6)
    assert found["base_bits_per_byte"] == pytest.approx(total / math.log(2) / found["bytes"], abs=1e-6)
    assert abs(found["base_loss"] - found["loss"]) > 0.01


def test_a_base_changes_nothing_else_and_scratch_has_none(causal, project, bpe):
    before = read_output("metrics.json", causal)
    assert not any(key.startswith("base_") for key in before)
    write_base(FOLDER / "base", bpe)  # the same model as the trained one
    run(STAGE, "tiny")
    after = read_output("metrics.json")
    assert after["base_bits_per_byte"] == after["bits_per_byte"] and after["base_perplexity"] == after["perplexity"]
    assert {key: value for key, value in after.items() if not key.startswith("base_")} == before
    assert output_bytes()["evaluation/scores.parquet"] == output_bytes(causal)["evaluation/scores.parquet"]


def test_a_tokenizer_that_was_only_saved_anew_is_the_same(tmp_path, bpe):
    write_base(tmp_path, bpe, seed=2)
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(json.loads(path.read_text())))
    assert path.read_bytes() != (bpe / "tokenizer.json").read_bytes()
    check_base(tmp_path, bpe)


def other_tokenizer(bpe):
    path = FOLDER / "base/tokenizer.json"
    content = json.loads(path.read_text())
    content["normalizer"] = {"type": "Lowercase"}
    path.write_text(json.dumps(content))


def short_sight(bpe):
    shutil.rmtree(FOLDER / "base")
    write_base(FOLDER / "base", bpe, positions=16)


def spoiled_weights(bpe):
    model = make_model("llama", seed=2)
    model.model.norm.weight.data[3] = float("inf")
    model.save_pretrained(FOLDER / "base")


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (other_tokenizer, "data/tiny/base: its tokenizer differs from data/tiny/model"),
        (short_sight, "data/tiny/base/config.json: evaluate.window 24 exceeds the base's 16 positions"),
        (spoiled_weights, "data/tiny/base: model.norm.weight has NaN or infinite"),
    ],
)
def test_a_base_that_cannot_be_compared_is_refused(project, bpe, damage, sentence):
    write_base(FOLDER / "base", bpe, seed=2)
    damage(bpe)
    with pytest.raises(DataError, match=sentence):
        run(STAGE, "tiny")
