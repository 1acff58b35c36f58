"""The baseline `base`: the initial model's score on the same text."""

import math
import shutil

import numpy as np
import pytest

from tasks.evaluate.__main__ import STAGE
from tasks.evaluate.loading import check_base
from tasks.evaluate.perplexity import token_losses
from tasks.stage.errors import DataError
from tasks.stage.run import run
from tests.evaluate.damage import edit_json, spoil
from tests.evaluate.outputs import output_bytes, read_output
from tests.evaluate.projects import SCORING, make_model, write_base, write_corpus, write_recipe, write_tokens
from tests.evaluate.texts import FOLDER, GROUPS, TEXTS


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


def test_a_base_that_begins_each_text_with_a_token_is_scored_behind_it(project, bpe):
    """Against transformers' own loss of the whole text, as its tokenizer gives it."""
    import torch
    from tokenizers import Tokenizer, processors
    from transformers import AutoTokenizer

    write_base(FOLDER / "base", bpe, seed=2)
    for folder in (FOLDER / "base", FOLDER / "model"):
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        template = [("!", tokenizer.token_to_id("!"))]
        tokenizer.post_processor = processors.TemplateProcessing(single="! $A", special_tokens=template)
        tokenizer.save(str(folder / "tokenizer.json"))
    shutil.rmtree(FOLDER / "tokens/train")
    write_tokens(FOLDER / "tokens/train", FOLDER / "model")
    write_recipe(
        FOLDER.parents[1], window=64, stride=32, prompts=["the cat"], generation={"max_new_tokens": 4, "temperature": 0}
    )
    loaded, texts = AutoTokenizer.from_pretrained(FOLDER / "model"), [text[:60] for text in TEXTS]
    shutil.rmtree(FOLDER / "clean/test")
    write_corpus(FOLDER / "clean/test", texts, GROUPS)
    run(STAGE, "tiny")
    found = read_output("metrics.json")
    for name, seed in (("base_perplexity", 2), ("perplexity", 1)):
        model, losses, tokens = make_model("llama", seed=seed), 0.0, 0
        for text in texts:
            ids = torch.tensor([loaded(text)["input_ids"]])
            with torch.no_grad():
                losses += float(model(ids, labels=ids).loss) * (ids.shape[1] - 1)
            tokens += ids.shape[1] - 1
        assert found[name] == pytest.approx(math.exp(losses / tokens), rel=1e-5)
    (sample,) = read_output("samples.json")
    with torch.no_grad():
        ids = torch.tensor([loaded("the cat")["input_ids"]])
        written = make_model("llama").generate(ids, max_new_tokens=4, do_sample=False, pad_token_id=0)[0]
    expected = loaded.decode(written, skip_special_tokens=True).removeprefix("!the cat")
    assert sample["text"] == expected and ids[0, 0] == template[0][1]


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
