"""The baseline `base`: the initial model's score on the same text."""

import math

import numpy as np
import pytest

from tasks.evaluate.__main__ import STAGE
from tasks.evaluate.loading import check_base
from tasks.evaluate.perplexity import token_losses
from tasks.stage.errors import DataError
from tasks.stage.run import run
from tests.evaluate.damage import edit_json, spoil
from tests.evaluate.outputs import output_bytes, read_output
from tests.evaluate.projects import SCORING, make_model, write_base
from tests.evaluate.texts import FOLDER, TEXTS


def test_the_model_before_training_is_scored_on_the_same_windows(project, bpe):
    from transformers import AutoTokenizer

    write_base(FOLDER / "base", bpe, seed=2)
    run(STAGE, "tiny")
    found = read_output("metrics.json")
    documents = [np.array(AutoTokenizer.from_pretrained(bpe).encode(text)) for text in TEXTS]
    losses = token_losses(make_model("llama", seed=2), documents, 0, SCORING)
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
    edit_json(tmp_path / "tokenizer.json")
    assert (tmp_path / "tokenizer.json").read_bytes() != (bpe / "tokenizer.json").read_bytes()
    check_base(tmp_path, bpe)


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda bpe: edit_json(FOLDER / "base/tokenizer.json", normalizer={"type": "Lowercase"}),
         "data/tiny/base: its tokenizer differs from data/tiny/model"),
        (lambda bpe: write_base(FOLDER / "base", bpe, positions=16),
         "data/tiny/base/config.json: evaluate.window 24 exceeds the base's 16 positions"),
        (lambda bpe: spoil("model.norm.weight", FOLDER / "base", "inf"),
         "data/tiny/base: model.norm.weight has NaN or infinite"),
    ],
)  # fmt: skip
def test_a_base_that_cannot_be_compared_is_refused(project, bpe, damage, sentence):
    write_base(FOLDER / "base", bpe, seed=2)
    damage(bpe)
    with pytest.raises(DataError, match=sentence):
        run(STAGE, "tiny")
