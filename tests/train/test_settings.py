import re
from pathlib import Path

import pytest

from tasks.stage.errors import RecipeError
from tasks.stage.settings import validate
from tasks.train.catalogue import architectures, config_keys, config_problems
from tasks.train.schedule import share
from tasks.train.settings import ModelSettings, ScheduleSettings, TrainSettings

WHERE = Path("recipes/x.yaml")


def problems(task: str = "causal-lm", **model) -> str:
    return "\n".join(validate(ModelSettings, {"init": "scratch", **model}, WHERE, "model").problems(task))


@pytest.mark.parametrize("architecture", ["gpt2", "llama", "qwen3", "gpt_neox", "nanochat", "phi", "olmo2", "mamba"])
def test_catalogue_agrees_with_transformers(architecture: str) -> None:
    from dataclasses import fields

    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    config = CONFIG_MAPPING[architecture]
    theirs = {field.name for field in fields(config)} | set(config.attribute_map)
    assert theirs <= config_keys(architecture)
    assert config_keys(architecture) - theirs <= {"rope_theta", "rope_scaling", "partial_rotary_factor"} | {
        key for key in config_keys(architecture) if key in _kwargs_of(config)
    }


def _kwargs_of(config: type) -> str:
    import inspect

    return "".join(inspect.getsource(base) for base in config.__mro__ if hasattr(base, "__post_init__"))


def test_catalogue_knows_every_causal_architecture() -> None:
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    theirs = {name for name in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES if name in CONFIG_MAPPING}
    assert theirs - set(architectures("causal-lm")) == {"gpt-sw3"}  # a deprecated alias of gpt2
    assert set(architectures("causal-lm")) <= theirs
    assert all(len(config_keys(architecture)) > 10 for architecture in architectures("causal-lm"))


def test_unknown_architecture_names_the_nearest() -> None:
    assert re.match(r"model.architecture: 'lama' .*llama", problems(architecture="lama"))


def test_an_architecture_must_be_one_for_the_task() -> None:
    assert "'distilbert' is not a transformers architecture for translation" in problems(
        "translation", architecture="distilbert"
    )
    for task, architecture in {"translation": "marian", "masked-lm": "roberta", "classification": "gpt2"}.items():
        assert problems(task, architecture=architecture) == ""


def test_architecture_of_more_than_text_is_refused_with_its_text_part() -> None:
    told = problems(architecture="gemma3")
    assert re.match(r"model.architecture: 'gemma3' is not a text-only model; did you mean gemma3_text", told)


def test_all_wrong_config_keys_are_told_at_once() -> None:
    told = problems(architecture="llama", config={"hidden_sise": 8, "vocab_size": 9, "num_hidden_layers": 1})
    assert "model.config: hidden_sise: unknown key for llama; did you mean hidden_size?" in told
    assert "vocab_size: set from the tokenizer" in told
    assert "num_hidden_layers" not in told


@pytest.mark.parametrize(
    ("model", "sentence"),
    [
        ({"init": "scratch"}, "architecture: missing; required when training from scratch"),
        ({"init": "recipe:bert", "architecture": "bert"}, "architecture: set by the base; remove this key"),
        ({"init": "scratch", "architecture": "gpt2", "lora": {}}, "lora: needs a base"),
        ({"init": "bert"}, "init: 'bert' is neither scratch nor recipe:NAME"),
        ({"init": {"kind": "hub", "name": "a/b"}}, "init.revision: missing"),
        ({"init": {"kind": "folder", "path": "/models/b"}}, "init.path: must be relative"),
    ],
)
def test_a_model_is_from_scratch_or_of_a_base(model: dict, sentence: str) -> None:
    with pytest.raises(RecipeError, match=rf"^recipes/x\.yaml: model[.:] ?{re.escape(sentence)}"):
        validate(ModelSettings, model, WHERE, "model")


def test_aliases_of_a_configuration_are_keys() -> None:
    assert not list(config_problems("gpt2", {"hidden_size": 8, "n_layer": 1}))
    assert not list(config_problems("gpt_neox", {"partial_rotary_factor": 0.5, "attention_bias": False}))


def test_checking_a_model_imports_no_transformers() -> None:
    import subprocess
    import sys

    code = (
        "import sys; from tasks.train.settings import ModelSettings, TrainSettings;"
        "made = ModelSettings.model_validate({'init': 'scratch', 'architecture': 'llama'}); TrainSettings(steps=1);"
        "list(made.problems('causal-lm'));"
        "sys.exit(any(name in sys.modules for name in ('transformers', 'torch', 'mlflow')))"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2], check=False).returncode == 0


@pytest.mark.parametrize("given", [{}, {"steps": 1, "epochs": 1.0}])
def test_length_is_given_once(given: dict) -> None:
    with pytest.raises(RecipeError, match="set either steps or epochs"):
        validate(TrainSettings, given, WHERE, "train")


def test_a_momentum_of_one_would_never_forget() -> None:
    with pytest.raises(RecipeError, match=r"train\.optimizer\.betas\.1: .*less than 1"):
        validate(TrainSettings, {"steps": 1, "optimizer": {"name": "adamw", "betas": [0.9, 1.0]}}, WHERE, "train")


def test_optimizer_is_chosen_by_name() -> None:
    muon = validate(TrainSettings, {"steps": 1, "optimizer": {"name": "muon"}}, WHERE, "train").optimizer
    assert muon.name == "muon" and muon.momentum == 0.95  # type: ignore[union-attr]
    with pytest.raises(RecipeError, match=r"train\.optimizer\.momentum: unknown key"):
        validate(TrainSettings, {"steps": 1, "optimizer": {"name": "adamw", "momentum": 0.9}}, WHERE, "train")


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("linear", {0: 0.2, 3: 0.8, 4: 1.0, 54: 0.55, 103: 0.109, 104: 0.1}),
        ("cosine", {0: 0.2, 4: 1.0, 54: 0.55, 104: 0.1}),
        ("wsd", {0: 0.2, 4: 1.0, 51: 1.0, 52: 1.0, 78: 0.55, 104: 0.1}),
    ],
)
def test_schedule_at_known_steps(name: str, values: dict[int, float]) -> None:
    settings = ScheduleSettings(name=name, warmup_steps=4, decay=0.5, final=0.1)  # type: ignore[arg-type]
    assert {step: round(share(step, 104, settings), 6) for step in values} == values
