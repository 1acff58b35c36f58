import math

import numpy as np
import pytest

from tasks.evaluate.__main__ import STAGE
from tasks.stage.errors import DataError, RecipeError
from tasks.stage.run import run
from tests.evaluate.damage import edit_json, other_tokens, spoil
from tests.evaluate.families import make_pair_model, pair_project, write_pair_recipe
from tests.evaluate.outputs import output_bytes, read_output, read_scores, read_signature
from tests.evaluate.projects import run_once, write_corpus, write_tokens
from tests.evaluate.texts import FOLDER, SOURCES, TARGETS


@pytest.fixture
def marian(tmp_path, monkeypatch, source_bpe, target_bpe):
    return pair_project(tmp_path, monkeypatch, "translation", "marian", source_bpe, target_bpe, prefix="fr: ")


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory, source_bpe, target_bpe):
    root = tmp_path_factory.mktemp("translations")
    return run_once(pair_project, root, "translation", "marian", source_bpe, target_bpe, prefix="fr: ")


@pytest.fixture
def t5(tmp_path, monkeypatch, source_bpe):
    return pair_project(tmp_path, monkeypatch, "translation", "t5", source_bpe, None, source_length=24)


def test_metrics_are_sacrebleus_scores_of_the_stored_predictions(evaluated):
    from sacrebleu.metrics import BLEU, CHRF

    rows, metrics = read_scores(evaluated), read_output("metrics.json", evaluated)
    assert list(rows[0]) == ["id", "group", "prediction", "reference", "chrf"]
    assert [row["id"] for row in rows] == [f"d{n}" for n in range(8)] and [r["reference"] for r in rows] == TARGETS
    outputs = [row["prediction"] for row in rows]
    assert len(set(outputs)) > 3 and 0 < metrics["unfinished"] < 8
    assert metrics["bleu"] == pytest.approx(BLEU(force=True).corpus_score(outputs, [TARGETS]).score, abs=1e-6)
    assert metrics["chrf"] == pytest.approx(CHRF().corpus_score(outputs, [TARGETS]).score, abs=1e-6)
    for row in rows:
        wanted = CHRF().sentence_score(row["prediction"], [row["reference"]]).score
        assert row["chrf"] == pytest.approx(wanted, abs=1e-6)
    ratios = [len(output) / len(reference) for output, reference in zip(outputs, TARGETS, strict=True)]
    assert metrics["length_ratio"] == pytest.approx(np.mean(ratios), abs=1e-6)


@pytest.mark.parametrize(("kind", "beams"), [("marian", 3), ("t5", 1)])
def test_outputs_are_those_of_the_model_alone_on_each_text(request, kind, beams, source_bpe, target_bpe):
    import torch
    from transformers import AutoTokenizer

    root = request.getfixturevalue(kind)
    write_pair_recipe(root, "translation", {"num_beams": beams, "length_penalty": 0.6, "repetition_penalty": 1.3})
    run(STAGE, "tiny")
    model = make_pair_model(kind)
    source = AutoTokenizer.from_pretrained(source_bpe)
    target = AutoTokenizer.from_pretrained(target_bpe) if kind == "marian" else source
    prefix, length = ("fr: ", 64) if kind == "marian" else ("", 24)
    loss = tokens = new_tokens = 0
    for text, reference, row in zip(SOURCES, TARGETS, read_scores(), strict=True):
        ids = source([prefix + text], truncation=True, max_length=length, return_tensors="pt").input_ids
        search = {"length_penalty": 0.6, "early_stopping": True} if beams > 1 else {}
        with torch.no_grad():
            found = model.generate(
                ids, do_sample=False, num_beams=beams, max_new_tokens=6, repetition_penalty=1.3, **search
            )
            labels = target([reference], return_tensors="pt").input_ids
            loss += float(model(input_ids=ids, labels=labels).loss) * labels.shape[1]
        tokens += labels.shape[1]
        new_tokens += found[0, 1:].tolist().index(1) if 1 in found[0, 1:] else 6
        assert row["prediction"] == target.decode(found[0], skip_special_tokens=True).strip()
    metrics = read_output("metrics.json")
    assert (metrics["tokens"], metrics["new_tokens"]) == (tokens, new_tokens)
    assert metrics["loss"] == pytest.approx(loss / tokens, abs=1e-5)
    assert metrics["perplexity"] == pytest.approx(math.exp(loss / tokens), rel=1e-4)


def test_what_is_too_long_is_cut_off_and_counted(t5, source_bpe):
    from transformers import AutoTokenizer

    run(STAGE, "tiny")
    lengths = [len(AutoTokenizer.from_pretrained(source_bpe).encode(text)) for text in SOURCES]
    too_long = sum(length > 24 for length in lengths)
    metrics = read_output("metrics.json")
    assert 0 < too_long < 8 and metrics["truncated"] == too_long
    assert "|source_length:24|" in metrics["signature"]
    assert metrics["unfinished"] == 8 and metrics["new_tokens"] == 8 * 6


def test_bf16_is_close_and_is_really_used(t5):
    losses = []
    for precision in ("fp32", "bf16"):
        write_pair_recipe(t5, "translation", precision=precision)
        run(STAGE, "tiny")
        metrics = read_output("metrics.json")
        losses.append(metrics["loss"])
        assert f"|precision:{precision}|" in metrics["signature"]
    assert 0 < abs(losses[0] - losses[1]) < 0.05 * losses[0]


def test_a_reference_longer_than_the_model_is_counted(marian):
    write_corpus(FOLDER / "clean/test", SOURCES[:2], ["a", "b"], target=["oui " * 40, "non"])
    run(STAGE, "tiny")
    assert read_output("metrics.json")["truncated_references"] == 1


def test_workers_batches_and_the_order_of_the_corpus_change_no_prediction(evaluated, marian, monkeypatch):
    first, rows, metrics = output_bytes(evaluated), read_scores(evaluated), read_output("metrics.json", evaluated)
    monkeypatch.setenv("GRISTMILL_WORKERS", "3")
    run(STAGE, "tiny")
    assert output_bytes() == first
    assert str(marian).encode() not in b"".join(first.values())
    order = [3, 7, 0, 4, 6, 2, 1, 5]
    write_corpus(
        FOLDER / "clean/test", [SOURCES[n] for n in order], ["a" if n % 2 == 0 else "b" for n in order],
        target=[TARGETS[n] for n in order], id=[f"d{n}" for n in order],
    )  # fmt: skip
    run(STAGE, "tiny")
    assert read_scores() == [rows[n] for n in order]
    again = read_output("metrics.json")
    assert [again[key] for key in ("bleu", "chrf", "loss")] == [metrics[key] for key in ("bleu", "chrf", "loss")]


def test_signature_holds_sacrebleus_and_splits_at_its_bars(evaluated):
    from tasks.stage.identity import hash_file

    pairs = read_signature(evaluated)
    assert (pairs["task"], pairs["beams"], pairs["new_tokens"]) == ("translation", "2", "6")
    assert pairs["tok"] == "+".join(
        hash_file(evaluated / "model" / name)[:12] for name in ("tokenizer.json", "target/tokenizer.json")
    )
    assert pairs["bleu"] == "nrefs=1;case=mixed;eff=no;tok=13a;smooth=exp;version=2.6.0"
    assert pairs["chrf"].startswith("nrefs=1;case=mixed;eff=yes;nc=6;nw=0") and pairs["bootstrap"] == "50;seed=7"


def test_samples_and_report_show_text_and_the_search(evaluated):
    samples = read_output("samples.json", evaluated)
    assert [sample["id"] for sample in samples] == ["d0", "d2", "d5"]
    predictions = {row["id"]: row["prediction"] for row in read_scores(evaluated)}
    for sample in samples:
        number = int(sample["id"][1:])
        assert (sample["prompt"], sample["reference"]) == (SOURCES[number], TARGETS[number])
        assert sample["text"] == predictions[sample["id"]]
    details = read_output("report.json", evaluated)["details"]
    assert details["generation"] == {
        "num_beams": 2, "max_new_tokens": 6, "length_penalty": 1.0, "repetition_penalty": 1.0,
        "no_repeat_ngram_size": 0, "early_stopping": True,
    }  # fmt: skip
    assert details["best"][0]["chrf"] == max(row["chrf"] for row in read_scores(evaluated))
    for name in ("curves.png", "scores.png"):
        assert (evaluated / "evaluation" / name).read_bytes().startswith(b"\x89PNG")


def test_what_the_model_folder_says_of_a_search_does_not_count(evaluated, marian):
    edit_json(FOLDER / "model/generation_config.json", min_new_tokens=6, num_beams=7, do_sample=True)
    write_pair_recipe(marian, "translation", bleu_tokenize="intl")
    run(STAGE, "tiny")
    assert read_scores() == read_scores(evaluated)
    before, after = (read_output("metrics.json", folder)["signature"] for folder in (evaluated, FOLDER))
    assert after == before.replace(";tok=13a;", ";tok=intl;") != before


def missing_target():
    write_corpus(FOLDER / "clean/test", SOURCES[:3], ["a", "a", "b"], target=["oui", None, "non"])


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda: write_corpus(FOLDER / "clean/test", [], []), "data/tiny/clean/test: no text"),
        (missing_target, "data/tiny/clean/test: document d1 has no target"),
        (other_tokens, "data/tiny/tokens/train/index.json: made with a different tokenizer"),
        (lambda: write_tokens(FOLDER / "tokens/train/target", FOLDER / "model"),
         "data/tiny/tokens/train/target/index.json: made with a different tokenizer .* than "
         "data/tiny/model/target/tokenizer.json"),
        (lambda: (FOLDER / "model/gristmill.json").unlink(), "data/tiny/model/gristmill.json: cannot be read"),
        (lambda: edit_json(FOLDER / "model/gristmill.json", task="summarization"),
         "data/tiny/model/gristmill.json: the model was trained for summarization, not translation"),
        (lambda: spoil("model.decoder.layers.0.fc1.weight"),
         "data/tiny/model: model.decoder.layers.0.fc1.weight has NaN"),
    ],
)  # fmt: skip
def test_unusable_inputs_end_in_one_sentence(marian, damage, sentence):
    damage()
    with pytest.raises(DataError, match=sentence) as caught:
        run(STAGE, "tiny")
    assert "\n" not in str(caught.value) and not (FOLDER / "evaluation").exists()


def test_a_model_that_cannot_begin_an_output_is_refused(t5):
    for name in ("config.json", "generation_config.json"):
        edit_json(FOLDER / "model" / name, decoder_start_token_id=None)
    told = "data/tiny/model/generation_config.json: decoder_start_token_id is missing; needed to start an output"
    with pytest.raises(DataError, match=told):
        run(STAGE, "tiny")


@pytest.mark.parametrize(
    ("section", "sentence"),
    [
        (
            {"generation": {"max_new_tokens": 64}},
            "evaluate.generation.max_new_tokens: 64 plus .* the model's 64 positions",
        ),
        ({"bleu_tokenize": "ja-mecab"}, r"evaluate.bleu_tokenize: ja-mecab needs .* pip install 'sacrebleu\[ja\]'"),
        ({"bleu_tokenize": "flores200"}, "evaluate.bleu_tokenize: "),
        ({"rouge": {}}, "evaluate.rouge: unknown key"),
        ({"bootstrap": {"samples": 10}}, "evaluate.bootstrap.samples: "),
    ],
)
def test_unusable_settings_name_their_key(marian, section, sentence):
    write_pair_recipe(marian, "translation", **section)
    with pytest.raises(RecipeError, match=f"recipes/tiny.yaml: {sentence}"):
        run(STAGE, "tiny")
