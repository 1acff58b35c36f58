import lzma
import math
from hashlib import sha256

import numpy as np
import pytest

from tasks.evaluate.__main__ import STAGE
from tasks.evaluate.perplexity import token_losses
from tasks.stage.errors import DataError, RecipeError
from tasks.stage.run import run
from tests.evaluate.damage import lose, other_tokens, spoil
from tests.evaluate.outputs import output_bytes, read_output, read_scores, read_signature
from tests.evaluate.projects import SCORING, write_corpus, write_recipe
from tests.evaluate.texts import FOLDER, GROUPS, TEXTS


def test_metrics_follow_from_the_losses_of_the_tokens(causal, llama, bpe):
    from transformers import AutoTokenizer

    metrics = read_output("metrics.json", causal)
    encode = AutoTokenizer.from_pretrained(bpe).encode
    documents = [np.array(encode(text)) for text in TEXTS]
    losses = [values.sum() for values in token_losses(llama, documents, 0, SCORING)]
    sizes, tokens = [len(text.encode()) for text in TEXTS], [len(ids) for ids in documents]
    assert metrics["bytes"] == sum(sizes) and metrics["tokens"] == sum(tokens) and metrics["documents"] == 5
    assert metrics["bits_per_byte"] == pytest.approx(sum(losses) / math.log(2) / sum(sizes), abs=1e-6)
    assert metrics["loss"] == pytest.approx(sum(losses) / sum(tokens), abs=1e-6)
    assert metrics["perplexity"] == pytest.approx(math.exp(sum(losses) / sum(tokens)), abs=1e-3)

    rows = read_scores(causal)
    assert list(rows[0]) == ["id", "group", "bytes", "tokens", "loss", "bits_per_byte", "perplexity"]
    assert [row["id"] for row in rows] == ["d0", "d1", "d2", "d3", "d4"]
    assert [row["group"] for row in rows] == GROUPS
    assert [row["bytes"] for row in rows] == sizes
    np.testing.assert_allclose([row["loss"] for row in rows], losses, atol=1e-6)
    wanted = np.exp(np.array(losses) / np.array(tokens))
    np.testing.assert_allclose([row["perplexity"] for row in rows], wanted, rtol=1e-6)


def test_baselines_are_a_smoothed_unigram_model_and_xz(causal, bpe):
    from transformers import AutoTokenizer

    metrics = read_output("metrics.json", causal)
    raw = "".join(TEXTS).encode()
    assert metrics["xz_bits_per_byte"] == pytest.approx(
        8 * len(lzma.compress(raw, preset=9 | lzma.PRESET_EXTREME)) / len(raw), abs=1e-6
    )
    encode = AutoTokenizer.from_pretrained(bpe).encode
    train = [*encode(TEXTS[0]), 0]
    chance = {token: (train.count(token) + 1) / (len(train) + 300) for token in range(300)}
    bits = -sum(math.log2(chance[token]) for text in TEXTS for token in encode(text))
    assert metrics["unigram_bits_per_byte"] == pytest.approx(bits / len(raw), abs=1e-6)


def test_signature_names_settings_tokenizer_and_text(causal, project):
    pairs = read_signature(causal)
    assert (pairs["window"], pairs["stride"], pairs["precision"]) == ("24", "8", "fp32")
    assert pairs["tok"] == sha256((FOLDER / "model/tokenizer.json").read_bytes()).hexdigest()[:12]
    write_corpus(FOLDER / "clean/test", [*TEXTS[:-1], TEXTS[-1] + "!"], GROUPS)
    run(STAGE, "tiny")
    assert read_signature()["data"] != pairs["data"]


def test_a_second_run_and_another_number_of_workers_give_the_same_bytes(causal, project, monkeypatch):
    first = output_bytes(causal)
    monkeypatch.setenv("GRISTMILL_WORKERS", "3")
    run(STAGE, "tiny")
    assert output_bytes() == first
    assert str(project).encode() not in b"".join(first.values())


def test_report_counts_groups_and_names_best_and_worst(causal):
    report = read_output("report.json", causal)
    assert report["received"]["documents"] == 5
    tokens = read_output("metrics.json", causal)["tokens"]
    assert report["produced"] == {"scored_documents": 5, "scored_tokens": tokens, "samples": 2}
    groups = report["details"]["groups"]
    assert {row["group"]: row["documents"] for row in groups} == {"cats": 2, "plays": 1, "letters": 1, "dogs": 1}
    assert [row["bits_per_byte"] for row in groups] == sorted(row["bits_per_byte"] for row in groups)
    best, worst = report["details"]["best"], report["details"]["worst"]
    assert best[0]["bits_per_byte"] == min(row["bits_per_byte"] for row in best + worst)
    assert [row["id"] for row in worst] == [row["id"] for row in best[::-1]]


def test_samples_follow_prompt_and_seed_alone(causal, project):
    first = {entry["prompt"]: entry for entry in read_output("samples.json", causal)}
    settings = {"max_new_tokens": 8, "temperature": 0.8, "top_k": 0, "top_p": 1.0, "seed": 3}
    assert first["the cat"]["settings"] == settings
    assert 1 <= first["the cat"]["new_tokens"] <= 8 and first["the cat"]["text"]
    write_recipe(project, prompts=["To be", "another", "the cat"])
    run(STAGE, "tiny")
    again = {entry["prompt"]: entry for entry in read_output("samples.json")}
    assert again["the cat"] == first["the cat"] and again["To be"] == first["To be"]
    write_recipe(project, generation={"max_new_tokens": 8, "seed": 4})
    run(STAGE, "tiny")
    assert read_output("samples.json") != list(first.values())


def test_greedy_samples_take_the_likeliest_token(project, llama, bpe):
    import torch
    from transformers import AutoTokenizer

    write_recipe(project, prompts=["the cat"], generation={"max_new_tokens": 5, "temperature": 0})
    run(STAGE, "tiny")
    tokenizer = AutoTokenizer.from_pretrained(bpe)
    prompt = ids = [0, *tokenizer.encode("the cat")]
    for _ in range(5):
        ids = [*ids, int(llama(torch.tensor([ids])).logits[0, -1].argmax())]
        if ids[-1] == 0:
            break
    assert read_output("samples.json")[0]["text"] == tokenizer.decode(ids[len(prompt) :], skip_special_tokens=True)


def test_pictures_are_png_without_a_date(causal):
    for name in ("curves.png", "scores.png"):
        raw = (causal / "evaluation" / name).read_bytes()
        assert raw.startswith(b"\x89PNG") and b"Software" not in raw and b"tIME" not in raw


def test_an_empty_document_is_kept_and_scores_nothing(project):
    write_corpus(FOLDER / "clean/test", ["", TEXTS[0]], ["none $x^", "cats"])
    run(STAGE, "tiny")
    rows = read_scores()
    counts = {"bytes": 0, "tokens": 0, "loss": 0.0}
    assert rows[0] == {"id": "d0", "group": "none $x^", **counts, "bits_per_byte": None, "perplexity": None}
    assert rows[1]["bits_per_byte"] == read_output("metrics.json")["bits_per_byte"]


WEIGHT = "model.layers.1.mlp.up_proj.weight"


def cut_weights():
    path = FOLDER / "model/model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def spoil_history():
    (FOLDER / "training/history.csv").write_text("step,tokens,loss,validation_loss,learning_rate\n1,2,much,,\n")


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda: (FOLDER / "model/config.json").unlink(), "data/tiny/model: config.json is missing"),
        (lambda: (FOLDER / "model/model.safetensors").unlink(), "data/tiny/model: \\*.safetensors is missing"),
        (cut_weights, "data/tiny/model: cannot be loaded"),
        (lambda: lose(WEIGHT), f"data/tiny/model: 1 weights are missing, e.g. {WEIGHT}"),
        (lambda: spoil(WEIGHT), f"data/tiny/model: {WEIGHT} has NaN"),
        (lambda: write_corpus(FOLDER / "clean/test", [], []), "data/tiny/clean/test: no text"),
        (other_tokens, "data/tiny/tokens/train/index.json: made with a different tokenizer"),
        (spoil_history, "data/tiny/training/history.csv line 2: loss: 'much'"),
    ],
)
def test_unusable_inputs_end_in_one_sentence_and_leave_the_last_outputs(project, damage, sentence):
    kept = FOLDER / "evaluation/metrics.json"
    kept.parent.mkdir()
    kept.write_text("the last good run")
    damage()
    with pytest.raises(DataError, match=sentence) as caught:
        run(STAGE, "tiny")
    assert "\n" not in str(caught.value)
    assert kept.read_text() == "the last good run"
    assert not list(FOLDER.glob(".partial*"))


@pytest.mark.parametrize(
    ("section", "sentence"),
    [
        ({"window": 65}, "evaluate.window: 65 exceeds the model's 64 positions"),
        ({"stride": 0}, "evaluate.stride: "),
        ({"stride": 25}, "evaluate: stride 25 exceeds window 24"),
        ({"prompts": ["the cat", "  "]}, "evaluate.prompts.1: the prompt is empty"),
        ({"generation": {"max_new_tokens": 63}}, "evaluate.prompts.0: its"),
        ({"generation": {"max_new_tokens": 8, "heat": 1}}, "evaluate.generation.heat: unknown key"),
        ({"precision": "fp8"}, "evaluate.precision: "),
    ],
)
def test_unusable_settings_name_their_key(project, section, sentence):
    write_recipe(project, **section)
    with pytest.raises(RecipeError, match=f"recipes/tiny.yaml: {sentence}"):
        run(STAGE, "tiny")


def test_a_task_without_an_evaluation_is_refused(project):
    (project / "recipes/tiny.yaml").write_text("task: juggling\n")
    with pytest.raises(RecipeError, match=r'recipes/tiny.yaml: task: "juggling"; expected one of causal-lm, '):
        run(STAGE, "tiny")
