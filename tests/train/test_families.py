"""Training for each task, from scratch and from a base."""

import json
import random
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tasks.formats.usage import Usage, read_usage
from tasks.stage.errors import DataError, RecipeError
from tasks.stage.run import run
from tasks.stage.task import PAIRS
from tasks.tokenize.__main__ import STAGE as TOKENIZE
from tasks.train.__main__ import STAGE
from tests.corpora import write_corpus, write_recipe
from tests.scratch import without_tracking, write_code
from tests.train.conftest import refuses, trained

RANDOM = random.Random(1)
WORDS = ["".join(RANDOM.choices("aeioklmnrst", k=RANDOM.randint(2, 5))) for _ in range(30)]
TEXTS = [" ".join(RANDOM.sample(WORDS, k=RANDOM.randint(2, 9))) for _ in range(80)]
TARGETS = [" ".join(reversed(text.upper().split())) for text in TEXTS]
LABELS = ["even" if len(text.split()) % 2 == 0 else "odd" for text in TEXTS]
BART = {"d_model": 32, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2,
        "decoder_attention_heads": 2, "encoder_ffn_dim": 64, "decoder_ffn_dim": 64,
        "max_position_embeddings": 64}  # fmt: skip
LLAMA = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64}
BERT = {**LLAMA, "max_position_embeddings": 64}
MODELS: dict[str, dict[str, Any]] = {
    "marian": BART, "bart": BART, "bert": BERT, "roberta": BERT,
    "t5": {"d_model": 32, "d_kv": 16, "d_ff": 64, "num_layers": 2, "num_heads": 2, "dropout_rate": 0.0},
    "gpt2": {"n_embd": 32, "n_layer": 1, "n_head": 2, "n_positions": 64},
    "llama": LLAMA,
}  # fmt: skip
FAST = {"name": "adamw", "learning_rate": 0.01}
OF_TASK: dict[str, dict[str, Any]] = {
    **{task: {"batch_tokens": 400, "source_length": 60, "target_length": 60} for task in PAIRS},
    **{task: {"batch_size": 8, "context_length": 24} for task in ("masked-lm", "causal-lm")},
    "classification": {"batch_tokens": 400, "source_length": 60},
}
Project = Callable[..., Path]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """Factory: create and tokenize a project for a task and enter it; keyword arguments override `train` settings.

    Without an architecture, the model starts from `base`, with its tokenizer.
    """
    monkeypatch.chdir(tmp_path)
    write_code()
    monkeypatch.setenv("GRISTMILL_WORKERS", "1")
    without_tracking(monkeypatch)

    def make(
        task: str, architecture: str | None, tokenize: dict[str, Any] | None = None, base: Path | None = None,
        model: dict[str, Any] | None = None, name: str = "tiny", labels: list[str] = LABELS, **train: Any,
    ) -> Path:  # fmt: skip
        settings = {"steps": 40, "precision": "fp32", "optimizer": FAST, "evaluate_every": 20}
        scratch = {"init": "scratch", "architecture": architecture, "config": MODELS.get(architecture or "", {})}
        recipe = {
            "task": task,
            "tokenize": tokenize or ({"vocab_size": 300} if base is None else {"kind": "base"}),
            "model": {"init": {"kind": "folder", "path": "any"}} if architecture is None else scratch,
            "train": settings | {"schedule": {"warmup_steps": 2}} | OF_TASK[task] | train,
        }
        recipe["model"] |= model or {}
        write_recipe(Path(), name, json.dumps(recipe))
        folder = Path("data") / name
        shutil.rmtree(folder, ignore_errors=True)
        for split, count in {"train": 80, "validation": 16, "test": 8}.items():
            write_corpus(folder / "clean" / split, TEXTS[:count], target=TARGETS[:count], label=labels[:count])
        if base is None:
            (folder / "base").mkdir()
        else:
            shutil.copytree(base / "model", folder / "base")
        run(TOKENIZE, name)
        return folder

    return make


def losses(folder: Path) -> list[float]:
    lines = (folder / "training/history.csv").read_text().splitlines()[1:]
    return [float(line.split(",")[2]) for line in lines]


@pytest.mark.parametrize(
    ("task", "architecture"),
    [
        ("translation", "marian"), ("translation", "bart"), ("summarization", "t5"), ("masked-lm", "bert"),
        ("summarization", "llama"), ("masked-lm", "roberta"), ("classification", "bert"), ("classification", "gpt2"),
        ("classification", "llama"), ("classification", "t5"), ("classification", "bart"),
    ],
)  # fmt: skip
def test_the_loss_falls_and_the_class_of_the_task_loads_the_model(
    project: Project, task: str, architecture: str
) -> None:
    import transformers

    from tasks.stage.task import model_class

    folder = project(task, architecture)
    report = run(STAGE, "tiny")
    assert losses(folder)[-1] < losses(folder)[0] - 0.05
    named = model_class(task, encoder_decoder=architecture in ("marian", "bart", "t5"))
    model, info = getattr(transformers, named).from_pretrained(folder / "model", output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"]
    assert report.details["parameters"] == sum(p.numel() for p in model.parameters())
    usage = read_usage(folder / "model")
    assert usage.task == task
    if task == "classification":
        assert model.config.id2label == {0: "even", 1: "odd"} and usage.source_length == 60


@pytest.mark.parametrize(
    ("architecture", "rate"), [("marian", 0.02), pytest.param("t5", 0.005, marks=pytest.mark.slow), ("llama", 0.02)]
)
def test_a_few_pairs_are_memorised_and_generated(project: Project, architecture: str, rate: float, monkeypatch) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoTokenizer

    causal = architecture == "llama"
    monkeypatch.setitem(globals(), "TEXTS", TEXTS[:2] * 40)
    monkeypatch.setitem(globals(), "TARGETS", TARGETS[:2] * 40)
    wider = {"config": {**MODELS[architecture], "hidden_size" if causal else "d_model": 64}}
    muon = {"name": "muon", "matrix_learning_rate": rate, "learning_rate": 0.005}
    folder = trained(project, "translation", architecture, model=wider, steps=120, optimizer=muon)
    tokenizer = AutoTokenizer.from_pretrained(folder / "model", padding_side="left" if causal else "right")
    model = (AutoModelForCausalLM if causal else AutoModelForSeq2SeqLM).from_pretrained(folder / "model")
    batch = tokenizer(TEXTS[:2], return_tensors="pt", padding=True)
    with torch.inference_mode():
        made = model.generate(**batch, max_new_tokens=60, num_beams=1)
    made = made[:, batch["input_ids"].shape[1] :] if causal else made
    assert tokenizer.batch_decode(made, skip_special_tokens=True) == TARGETS[:2]


def test_a_permutation_of_the_labels_hurts(project: Project) -> None:
    right = run_validation(project, LABELS)
    permuted = random.Random(0).sample(LABELS, len(LABELS))
    assert right < run_validation(project, permuted) - 0.1


def run_validation(project: Project, labels: list[str]) -> float:
    """Train on all but the first 16 documents, and return the validation loss on these."""
    folder = project(
        "classification", "bert", labels=labels, steps=120, optimizer={"name": "adamw", "learning_rate": 3e-3}
    )
    shutil.rmtree(folder / "clean")
    write_corpus(folder / "clean/train", TEXTS[16:], target=TARGETS[16:], label=labels[16:])
    for split in ("validation", "test"):
        write_corpus(folder / "clean" / split, TEXTS[:16], target=TARGETS[:16], label=LABELS[:16])
    run(TOKENIZE, "tiny")
    return float(run(STAGE, "tiny").details["validation_loss"])


def test_twice_gives_the_same_bytes(project: Project) -> None:
    for task, architecture in {"translation": "marian", "masked-lm": "bert"}.items():
        folder = trained(project, task, architecture, steps=6, evaluate_every=3)
        first = {path.name: path.read_bytes() for path in (folder / "model").iterdir()}
        shutil.rmtree(folder / "checkpoints")
        run(STAGE, "tiny")
        assert {path.name: path.read_bytes() for path in (folder / "model").iterdir()} == first


def test_activations_that_are_computed_again_give_the_same_losses(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All but their last digits: gradients of what several layers share are summed in another order."""
    from torch.utils.checkpoint import checkpoint

    calls = 0

    def counted(*given: Any, **more: Any) -> Any:
        nonlocal calls
        calls += 1
        return checkpoint(*given, **more)

    monkeypatch.setattr("transformers.modeling_utils.checkpoint", counted)
    for task, architecture in {"summarization": "t5", "translation": "bart", "masked-lm": "bert"}.items():
        first = losses(trained(project, task, architecture, steps=2, log_every=1))
        assert calls == 0
        again = trained(project, task, architecture, steps=2, log_every=1, gradient_checkpointing=True)
        assert losses(again) == pytest.approx(first, rel=1e-4) and calls > 1
        calls = 0


def test_each_side_may_have_a_vocabulary_of_its_own(project: Project) -> None:
    from transformers import AutoModelForSeq2SeqLM

    folder = trained(project, "translation", "marian", tokenize={"vocab_size": 280, "shared": False}, steps=4)
    model = AutoModelForSeq2SeqLM.from_pretrained(folder / "model")
    assert model.config.share_encoder_decoder_embeddings is False
    assert model.config.vocab_size == model.config.decoder_vocab_size == 280
    assert (folder / "model/target/tokenizer.json").read_bytes() == (
        folder / "tokenizer/target/tokenizer.json"
    ).read_bytes()


def test_a_classifier_starts_from_a_masked_model_and_is_better_for_it(project: Project) -> None:
    base = trained(project, "masked-lm", "bert", name="base")
    folder = project("classification", None, base=base, steps=2)
    report = run(STAGE, "tiny")
    assert report.details["architecture"] == "bert"
    from safetensors.torch import load_file

    before, after = load_file(base / "model/model.safetensors"), load_file(folder / "model/model.safetensors")
    name = "bert.embeddings.word_embeddings.weight"
    assert (before[name] - after[name]).abs().max() < 0.1 and "classifier.weight" in after


def test_low_rank_matrices_change_the_model_and_are_gone_after_training(project: Project) -> None:
    from safetensors.torch import load_file

    base = trained(project, "causal-lm", "llama", steps=4, name="base")
    lora = {"lora": {"rank": 2, "alpha": 4, "dropout": 0.1}}
    folder = project("causal-lm", None, base=base, model=lora, keep="best", checkpoint_every=7)
    report = run(STAGE, "tiny")
    assert report.details["trained_parameters"] < report.details["parameters"] / 3
    before, after = (load_file(at / "model/model.safetensors") for at in (base, folder))
    assert before.keys() == after.keys()
    changed = {name for name in before if not before[name].equal(after[name])}
    assert changed and all("proj" in name for name in changed)
    assert losses(folder)[-1] < losses(folder)[0]


def test_early_stopping_keeps_the_best_and_says_when(project: Project) -> None:
    wild = {"name": "adamw", "learning_rate": 1.0}
    folder = project(
        "classification", "bert", steps=60, evaluate_every=2, optimizer=wild, keep="best", patience=3,
        schedule={"warmup_steps": 20},
    )  # fmt: skip
    details = run(STAGE, "tiny").details
    assert details["steps"] == details["kept_step"] + 6 < 60
    assert len((folder / "training/history.csv").read_text().splitlines()) >= 3


def test_label_smoothing_is_of_the_training_alone(project: Project) -> None:
    still = {"name": "adamw", "learning_rate": 1e-12}
    found = {}
    for smoothing in (0.0, 0.4):
        config = {"config": {**MODELS["marian"], "dropout": 0.0}}
        project("translation", "marian", steps=1, optimizer=still, label_smoothing=smoothing, model=config)
        details = run(STAGE, "tiny").details
        found[smoothing] = details["loss"], details["validation_loss"]
    assert found[0.0][1] == found[0.4][1] and found[0.0][0] != found[0.4][0]


def test_next_sentences_are_learned_beside_masks_and_leave_a_masked_model(project: Project) -> None:
    from transformers import AutoModelForMaskedLM

    folder = trained(project, "masked-lm", "bert", next_sentence=True, steps=6)
    _, info = AutoModelForMaskedLM.from_pretrained(folder / "model", output_loading_info=True)
    assert not info["missing_keys"]
    project("masked-lm", "roberta", next_sentence=True, steps=2)
    refuses(RecipeError, r"train\.next_sentence: roberta does not support it")


def test_what_is_too_long_is_cut_or_left_out_and_counted(project: Project) -> None:
    project("translation", "marian", steps=1, source_length=20)
    facts = run(STAGE, "tiny").details["data"]["training"]
    assert facts["left_out"] > 0 == facts["cut"] and facts["documents"] + facts["left_out"] == 80
    project("summarization", "t5", steps=1, source_length=20)
    facts = run(STAGE, "tiny").details["data"]["training"]
    assert facts["cut"] > 0 == facts["left_out"] and facts["documents"] == 80
    project("translation", "marian", steps=1, source_length=4)
    told = r"^recipes/tiny\.yaml: the (training|validation) split has no documents that fit "
    refuses(RecipeError, rf"{told}train\.source_length: 4 \(the shortest text has \d\d? tokens\)$")
    project("summarization", "t5", steps=1, source_length=4, target_length=2)
    refuses(RecipeError, rf"{told}train\.target_length: 2 \(the shortest target has \d\d? tokens\)$")
    project("translation", "marian", steps=1, source_length=4, target_length=2)
    refuses(RecipeError, rf"{told}train\.source_length: 4 .* and train\.target_length: 2 ")


def test_wrong_bases_and_lengths_are_told(project: Project) -> None:
    base = trained(project, "masked-lm", "bert", steps=1, name="base")
    short = {"config": {**MODELS["bert"], "max_position_embeddings": 16}}
    project("classification", "bert", model=short, steps=1)
    refuses(RecipeError, r"train\.source_length or target_length: \d+ exceeds the model's 16 positions")
    folder = project("classification", None, base=base, steps=1)
    config = folder / "base/config.json"
    config.write_text(config.read_text().replace('"vocab_size": 300', '"vocab_size": 200'))
    refuses(DataError, r"data/tiny/base: .*(cannot be loaded|embeddings|shapes)")
    with pytest.raises(DataError, match=r"data/tiny/base: the tokenizer has no eos_token to end a text with"):
        project("translation", None, base=base)


def test_what_a_recipe_changes_of_a_base_leaves_its_weights(project: Project) -> None:
    base = trained(project, "masked-lm", "bert", steps=1, name="base")
    wrong = {
        "hidden_size": (64, "changes the shapes of the base's weights; remove it"),
        "num_hidden_layers": (2, "changes the shapes of the base's weights; remove it"),
        "hidden_act": ("none", "invalid for the base: 'none'"),
        "layer_norm_eps": ("small", "Field 'layer_norm_eps' expected float, got str"),
    }
    for key, (value, sentence) in wrong.items():
        config = {"config": {"hidden_dropout_prob": 0.2, key: value}}
        project("masked-lm", None, base=base, model=config, steps=1)
        with pytest.raises(RecipeError) as told:
            run(STAGE, "tiny")
        assert str(told.value).startswith(f"recipes/tiny.yaml: model.config.{key}: {sentence}")
        assert "hidden_dropout_prob" not in str(told.value)
    fine = {"config": {"hidden_dropout_prob": 0.2}}
    trained(project, "masked-lm", None, base=base, model=fine, steps=1)


def test_layers_that_a_base_does_not_have_are_told_with_those_it_has(project: Project) -> None:
    base = trained(project, "masked-lm", "bert", steps=1, name="base")
    lora = {"lora": {"targets": ["query", "zzz"]}}
    project("masked-lm", None, base=base, model=lora, steps=1)
    layers = "query, key, value, dense, decoder"
    told = f"recipes/tiny.yaml: model.lora.targets: bert has no layer 'zzz'; its layers include {layers}"
    refuses(RecipeError, f"^{re.escape(told)}$")


def test_a_base_with_two_vocabularies_is_tuned_with_both(project: Project) -> None:
    tokenize = {"vocab_size": 280, "shared": False}
    base = trained(project, "translation", "marian", tokenize, steps=2, name="base")
    folder = trained(project, "translation", None, base=base, steps=2)
    for name in ("tokenizer.json", "target/tokenizer.json"):
        assert (folder / "model" / name).read_bytes() == (base / "model" / name).read_bytes()


def test_low_rank_matrices_train_the_new_head_of_a_classifier(project: Project) -> None:
    from transformers import AutoModelForSequenceClassification

    base = trained(project, "masked-lm", "bert", steps=2, name="base")
    lora = {"lora": {"rank": 2, "targets": ["query", "value"]}}
    folder = project("classification", None, base=base, model=lora, steps=5)
    details = run(STAGE, "tiny").details
    model = AutoModelForSequenceClassification.from_pretrained(folder / "model")
    head = sum(p.numel() for layer in (model.classifier, model.bert.pooler) for p in layer.parameters())
    assert details["trained_parameters"] == 2 * 2 * (32 + 32) + head
    assert model.classifier.bias.abs().sum() > 0  # initialized to 0


def test_usage_goes_through_its_file(tmp_path: Path) -> None:
    usage = Usage("summarization", "summarize: ", 128, 32)
    usage.write(tmp_path)
    assert read_usage(tmp_path) == usage and "control" not in (tmp_path / "gristmill.json").read_text()
    replace(usage, control=True).write(tmp_path)
    assert read_usage(tmp_path).control
    (tmp_path / "gristmill.json").write_text("{")
    with pytest.raises(DataError, match=r"gristmill\.json: cannot be read"):
        read_usage(tmp_path)
