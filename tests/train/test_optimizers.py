import json
from pathlib import Path

import pytest

from tasks.formats.text_ids import Frame
from tasks.train.model import Design, build_model
from tasks.train.optimizers import make_optimizer, split_parameters
from tasks.train.settings import AdamWSettings, ModelSettings, MuonSettings, PackedTraining
from tasks.train.vocabulary import Vocabulary
from tests.train.conftest import CONFIGS

VOCABULARY = Vocabulary(97, 0, 0, None, None, None, (0,), None, Frame([], []), [])


def build(architecture: str):
    settings = ModelSettings.model_validate_json(
        json.dumps({"init": "scratch", "architecture": architecture, "config": CONFIGS[architecture]})
    )
    design = Design("r", "causal-lm", settings, PackedTraining(steps=1), VOCABULARY, None, "eager", Path("base"))
    return build_model(design)[0]


@pytest.mark.parametrize("architecture", sorted(CONFIGS))
def test_every_parameter_is_in_one_group_and_matrices_are_hidden_ones(architecture: str) -> None:
    model = build(architecture)
    groups = split_parameters(model)
    found = [parameter for group in groups.values() for parameter in group]
    assert sorted(map(id, found)) == sorted(map(id, model.parameters()))
    embeddings = {id(m.weight) for m in model.modules() if type(m).__name__ == "Embedding"}
    assert embeddings == set(map(id, groups["embeddings"]))
    output = id(model.get_output_embeddings().weight)
    assert output in embeddings or list(map(id, groups["head"])) == [output]
    assert groups["matrices"] and all(p.ndim == 2 and 97 not in p.shape for p in groups["matrices"])
    assert all(p.ndim == 1 for p in groups["vectors"])

    optimizer = make_optimizer(model, MuonSettings(name="muon", learning_rate=1e-3, matrix_learning_rate=0.5))
    by_adamw = {id(p) for g in optimizer.param_groups if g["lr"] == 1e-3 for p in g["params"]}
    by_muon = {id(p) for g in optimizer.param_groups if g["lr"] >= 0.25 for p in g["params"]}
    assert by_muon == set(map(id, groups["matrices"]))
    assert by_adamw | by_muon == set(map(id, found)) and not by_adamw & by_muon


def test_muon_moves_a_matrix_by_outputs_over_inputs_however_it_lies() -> None:
    model = build("gpt2")
    optimizer = make_optimizer(model, MuonSettings(name="muon", matrix_learning_rate=0.02))
    rates = {id(p): g["lr"] for g in optimizer.param_groups for p in g["params"]}
    block = model.transformer.h[0]  # torch multiplies by sqrt(rows / columns) if rows > columns
    assert tuple(block.mlp.c_fc.weight.shape) == (16, 64)
    assert rates[id(block.mlp.c_fc.weight)] == pytest.approx(0.02 * 2)
    assert rates[id(block.mlp.c_proj.weight)] == pytest.approx(0.02 / 2)
    assert rates[id(block.attn.c_proj.weight)] == pytest.approx(0.02)


@pytest.mark.parametrize("settings", [AdamWSettings(name="adamw"), MuonSettings(name="muon")])
def test_state_of_an_optimizer_goes_through_its_dict(settings: AdamWSettings) -> None:
    import torch

    def trained(steps: int, state: dict | None = None, weights: dict | None = None) -> tuple:
        torch.manual_seed(0)
        model = build("llama")
        optimizer = make_optimizer(model, settings)
        if state is not None and weights is not None:
            model.load_state_dict(weights)
            optimizer.load_state_dict(state)
        ids = torch.arange(16)[None]
        for _ in range(steps):
            optimizer.zero_grad()
            model(input_ids=ids, labels=ids).loss.backward()
            optimizer.step()
        return model, optimizer

    whole, _ = trained(4)
    half, optimizer = trained(2)
    rest, _ = trained(2, optimizer.state_dict(), half.state_dict())
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), rest.parameters(), strict=True))


def test_muon_alone_trains_matrices_of_low_rank() -> None:
    from peft import LoraConfig, get_peft_model

    model = get_peft_model(build("llama"), LoraConfig(r=2, target_modules=["q_proj"]))
    trained = {id(parameter) for parameter in model.parameters() if parameter.requires_grad}
    optimizer = make_optimizer(model, MuonSettings(name="muon"))
    assert {id(parameter) for group in optimizer.param_groups for parameter in group["params"]} == trained


def test_stacked_matrices_move_as_those_of_torch_do(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    from tasks.train.muon import stacked_muon

    monkeypatch.setattr(
        "tasks.train.muon.STACKED", 3 * 24 * 48
    )  # seven matrices of one shape, turned or not, are three products
    shapes = [(24, 48), (48, 24), (16, 16), (24, 48), (48, 24), (24, 48), (24, 48), (24, 48), (8, 96)]

    def make() -> list[torch.nn.Parameter]:
        torch.manual_seed(0)
        return [torch.nn.Parameter(torch.randn(shape)) for shape in shapes]

    ours, theirs = make(), make()
    groups = [slice(0, 4), slice(4, None)]
    optimizer = stacked_muon(
        [{"params": ours[part], "lr": 0.02 * (k + 1)} for k, part in enumerate(groups)], 0.1, 0.9, 3
    )
    reference = torch.optim.Muon(
        [{"params": theirs[part], "lr": 0.02 * (k + 1)} for k, part in enumerate(groups)],
        weight_decay=0.1, momentum=0.9, ns_steps=3,
    )  # fmt: skip
    for step in range(5):
        for one, other in zip(ours, theirs, strict=True):
            one.grad = other.grad = torch.randn(one.shape) if step != 2 or one.shape != (16, 16) else None
        before = [parameter.detach().clone() for parameter in theirs]
        optimizer.step()
        reference.step()
        for one, other, old in zip(ours, theirs, before, strict=True):
            assert (one - other).norm() <= 0.01 * (other - old).norm() + 1e-7, "more than bf16 rounds"
    assert list(optimizer.state_dict()["state"]) == list(reference.state_dict()["state"])
    reference.load_state_dict(optimizer.state_dict())
