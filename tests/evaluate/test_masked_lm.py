import math

import numpy as np
import pytest

from tasks.evaluate.__main__ import STAGE
from tasks.evaluate.masking import guess, hidden_positions
from tasks.evaluate.settings import MaskedEvaluateSettings
from tasks.stage.errors import DataError, RecipeError
from tasks.stage.run import run
from tests.evaluate.damage import other_tokens, spoil
from tests.evaluate.families import make_bert, masked_project, write_masked_recipe
from tests.evaluate.outputs import output_bytes, read_output, read_scores, read_signature
from tests.evaluate.projects import run_once, write_corpus
from tests.evaluate.texts import FOLDER, GROUPS, TEXTS

SPECIAL = [0, 1, 2, 3, 4]
NAMES = ["d0", "d1", "d2", "d3", "d4"]
MASKING = MaskedEvaluateSettings(window=20, mask_probability=0.3, seed=5, batch_size=4)


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory, masked_bpe):
    return run_once(masked_project, tmp_path_factory.mktemp("masked"), masked_bpe)


@pytest.fixture
def masked(tmp_path, monkeypatch, masked_bpe):
    return masked_project(tmp_path, monkeypatch, masked_bpe)


@pytest.fixture(scope="module")
def bert():
    return make_bert("AutoModelForMaskedLM")


@pytest.fixture(scope="module")
def tokenizer(masked_bpe):
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(masked_bpe)


@pytest.fixture(scope="module")
def documents(tokenizer):
    return [np.array(tokenizer.encode(text, add_special_tokens=False)) for text in TEXTS]


def hide(documents):
    return [hidden_positions(name, ids, SPECIAL, 0.3, 5) for name, ids in zip(NAMES, documents, strict=True)]


def reference_losses(model, ids: np.ndarray, places: np.ndarray, window: int) -> tuple[list[float], list[bool]]:
    """Reference losses, one window at a time, without batches or padding: [CLS] 2, [SEP] 3, [MASK] 4."""
    import torch

    losses, right, room = [], [], window - 2
    for start in range(0, len(ids), room):
        part = ids[start : start + room]
        own = [int(place) - start for place in places if start <= place < start + room]
        shown = [4 if place in own else int(token) for place, token in enumerate(part)]
        with torch.no_grad():
            chances = torch.log_softmax(model(torch.tensor([[2, *shown, 3]])).logits[0].double(), -1)
        losses += [float(-chances[place + 1, int(part[place])]) for place in own]
        right += [int(chances[place + 1].argmax()) == int(part[place]) for place in own]
    return losses, right


@pytest.mark.parametrize("batch_size", [1, 4, 64])
def test_guesses_equal_a_plain_loop(bert, tokenizer, documents, batch_size):
    hidden = hide(documents)
    settings = MASKING.model_copy(update={"batch_size": batch_size})
    guesses = guess(bert, tokenizer, NAMES, documents, hidden, settings)
    for ids, places, found in zip(documents, hidden, guesses, strict=True):
        losses, right = reference_losses(bert, ids, places, 20)
        np.testing.assert_allclose(found.losses, losses, rtol=1e-4, atol=1e-5)
        assert found.right.tolist() == right


def test_bf16_is_close_and_is_really_used(bert, tokenizer, documents):
    hidden = hide(documents)
    settings = (MASKING, MASKING.model_copy(update={"precision": "bf16"}))
    found = (guess(bert, tokenizer, NAMES, documents, hidden, each) for each in settings)
    exact, fast = (np.concatenate([guesses.losses for guesses in each]) for each in found)
    assert 0 < abs(fast.mean() - exact.mean()) < 0.05 * exact.mean()


def test_what_is_hidden_follows_from_seed_name_and_position_alone():
    tokens = np.arange(5, 2005)
    first = hidden_positions("d1", tokens, SPECIAL, 0.15, 3)
    assert len(first) == pytest.approx(300, abs=45)
    assert np.array_equal(hidden_positions("d1", tokens[:700], SPECIAL, 0.15, 3), first[first < 700])
    assert np.array_equal(hidden_positions("d1", tokens[::-1], SPECIAL, 0.15, 3), first)
    assert not np.array_equal(hidden_positions("d1", tokens, SPECIAL, 0.15, 4), first)
    assert not np.array_equal(hidden_positions("d2", tokens, SPECIAL, 0.15, 3), first)
    assert set(first) < set(hidden_positions("d1", tokens, SPECIAL, 0.3, 3))


def test_special_tokens_are_never_hidden():
    tokens = np.array([7, 2, 8, 3, 4, 9] * 50)
    hidden = hidden_positions("d1", tokens, SPECIAL, 0.9, 0)
    assert len(hidden) > 100 and not np.isin(tokens[hidden], SPECIAL).any()


def test_metrics_follow_from_the_hidden_tokens(evaluated, bert, documents):
    found = [reference_losses(bert, ids, places, 20) for ids, places in zip(documents, hide(documents), strict=True)]
    losses = [sum(losses) for losses, _ in found]
    masked, right = sum(len(each) for each, _ in found), sum(sum(each) for _, each in found)
    metrics = read_output("metrics.json", evaluated)
    assert metrics["masked"] == masked and metrics["tokens"] == sum(map(len, documents))
    assert metrics["loss"] == pytest.approx(sum(losses) / masked, rel=1e-5)
    assert metrics["pseudo_perplexity"] == pytest.approx(math.exp(sum(losses) / masked), rel=1e-4)
    assert metrics["masked_accuracy"] == pytest.approx(right / masked, abs=1e-6)
    rows = read_scores(evaluated)
    assert list(rows[0]) == [
        "id", "group", "tokens", "masked", "right", "loss", "masked_accuracy", "pseudo_perplexity",
    ]  # fmt: skip
    assert [(row["id"], row["group"]) for row in rows] == list(zip(NAMES, GROUPS, strict=True))
    np.testing.assert_allclose([row["loss"] for row in rows], losses, rtol=1e-4)


def test_the_baseline_is_a_smoothed_unigram_model_without_special_tokens(evaluated, tokenizer, documents):
    train = tokenizer.encode(TEXTS[0], add_special_tokens=False)
    hidden = np.concatenate([ids[places] for ids, places in zip(documents, hide(documents), strict=True)]).tolist()
    losses = [-math.log((train.count(token) + 1) / (len(train) + 300 - 5)) for token in hidden]
    commonest = max(range(300), key=lambda token: (train.count(token), -token))
    metrics = read_output("metrics.json", evaluated)
    assert metrics["unigram_pseudo_perplexity"] == pytest.approx(math.exp(np.mean(losses)), rel=1e-6)
    assert metrics["unigram_masked_accuracy"] == pytest.approx(hidden.count(commonest) / len(hidden), abs=1e-6)
    assert metrics["unigram_masked_accuracy"] > 0


def test_workers_change_no_byte_and_the_order_of_the_corpus_no_score(evaluated, masked, monkeypatch):
    monkeypatch.setenv("GRISTMILL_WORKERS", "3")
    run(STAGE, "tiny")
    assert output_bytes() == output_bytes(evaluated)
    order = [3, 0, 4, 2, 1]
    names = {"id": [f"d{n}" for n in order]}
    write_corpus(FOLDER / "clean/test", [TEXTS[n] for n in order], [GROUPS[n] for n in order], **names)
    run(STAGE, "tiny")
    rows = read_scores(evaluated)
    assert read_scores() == [rows[n] for n in order]


def test_another_seed_hides_other_tokens_and_the_signature_says_so(evaluated, masked):
    write_masked_recipe(masked, seed=6)
    run(STAGE, "tiny")
    one, other = (read_output("metrics.json", folder) for folder in (evaluated, FOLDER))
    assert one["masked"] != other["masked"] and one["pseudo_perplexity"] != other["pseudo_perplexity"]
    assert other["signature"] == one["signature"].replace("|seed:5|", "|seed:6|")
    parts = read_signature(evaluated)
    assert (parts["window"], parts["mask"], parts["hidden"]) == ("20", "0.3", "one-mask-all-replaced")


def test_samples_show_the_likeliest_tokens_for_each_mask(masked, bert, tokenizer):
    import torch

    write_masked_recipe(masked, prompts=["the [MASK] sat on the [MASK]."])
    run(STAGE, "tiny")
    (sample,) = read_output("samples.json")
    # As in training, where a mask replaces ` cat`, and as served.
    ids = tokenizer("the[MASK] sat on the[MASK].", return_tensors="pt").input_ids
    with torch.no_grad():
        chances = bert(ids).logits[0].softmax(-1)
    places = (ids[0] == 4).nonzero().flatten().tolist()
    assert len(sample["fills"]) == len(places) == 2
    filled = ids[0].tolist()
    for place, fills in zip(places, sample["fills"], strict=True):
        best = chances[place].topk(5)
        assert [each["token"] for each in fills] == [tokenizer.decode([token]) for token in best.indices.tolist()]
        assert [each["probability"] for each in fills] == pytest.approx(best.values.tolist(), abs=1e-5)
        filled[place] = int(best.indices[0])
    assert sample["prompt"] == "the [MASK] sat on the [MASK]."
    assert sample["text"] == tokenizer.decode(filled, skip_special_tokens=True)


def test_a_document_in_which_nothing_is_hidden_has_no_score(masked):
    write_corpus(FOLDER / "clean/test", ["", TEXTS[0]], ["none", "cats"])
    run(STAGE, "tiny")
    empty, other = read_scores()
    assert empty["masked"] == 0 and empty["pseudo_perplexity"] is empty["masked_accuracy"] is None
    assert other["pseudo_perplexity"] == read_output("metrics.json")["pseudo_perplexity"]


def no_mask_token():
    path = FOLDER / "model/tokenizer_config.json"
    path.write_text(path.read_text().replace('"mask_token"', '"other_token"'))


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda: write_corpus(FOLDER / "clean/test", ["x"], ["a"]), "data/tiny/clean/test: too little text"),
        (other_tokens, "data/tiny/tokens/train/index.json: made with a different tokenizer"),
        (no_mask_token, "data/tiny/model/tokenizer_config.json: mask_token is missing"),
        (lambda: spoil("cls.predictions.bias"), "data/tiny/model: .* has NaN"),
    ],
)
def test_unusable_inputs_end_in_one_sentence(masked, damage, sentence):
    damage()
    with pytest.raises(DataError, match=sentence):
        run(STAGE, "tiny")


@pytest.mark.parametrize(
    ("section", "sentence"),
    [
        ({"window": 65}, "evaluate.window: 65 exceeds the model's 64 positions"),
        ({"window": 2}, "evaluate.window: "),
        ({"prompts": ["the cat"]}, r"evaluate.prompts.0: the prompt has no \[MASK\]"),
        ({"prompts": ["[MASK] " * 70]}, "evaluate.prompts.0: its .* tokens exceed the model's 64 positions"),
        ({"mask_probability": 1.0}, "evaluate.mask_probability: "),
    ],
)
def test_unusable_settings_name_their_key(masked, section, sentence):
    write_masked_recipe(masked, **section)
    with pytest.raises(RecipeError, match=f"recipes/tiny.yaml: {sentence}"):
        run(STAGE, "tiny")


def test_samples_never_show_a_special_token(masked, tokenizer):
    import torch
    from transformers import AutoModelForMaskedLM

    model = AutoModelForMaskedLM.from_pretrained("data/tiny/model")
    with torch.no_grad():
        model.cls.predictions.bias[tokenizer.all_special_ids] = 1000.0
    model.save_pretrained("data/tiny/model")
    run(STAGE, "tiny")
    (sample,) = read_output("samples.json")
    shown = {each["token"] for fills in sample["fills"] for each in fills}
    assert shown and shown.isdisjoint(tokenizer.all_special_tokens)
