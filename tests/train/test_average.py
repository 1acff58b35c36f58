"""The mean of the weights over the last steps."""

import itertools
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from tasks.train.history import History
from tasks.train.loop import evaluate, fit
from tasks.train.settings import PackedTraining
from tests.train.test_loop import Record, bigrams, plan_of

OFTEN: dict[str, Any] = {"log_every": 2, "evaluate_every": 4, "checkpoint_every": 5}
ADAM = {"name": "adamw", "learning_rate": 0.05}


def weights_of(model: Any) -> dict[str, Any]:
    return {name: weight.detach().clone() for name, weight in model.named_parameters()}


def trained(folder: Path, **train: Any) -> tuple[Any, list[dict[str, Any]], History]:
    """The model, its own weights after each step, and the history."""
    from torch.optim.optimizer import register_optimizer_step_post_hook

    folder.mkdir(exist_ok=True)
    model, after = bigrams(), []
    hook = register_optimizer_step_post_hook(lambda *_: after.append(weights_of(model)))
    try:
        history = fit(model, plan_of(folder, optimizer=ADAM, **OFTEN, **train), Record())  # type: ignore[arg-type]
    finally:
        hook.remove()
    return model, after, history


@pytest.mark.parametrize(
    ("average", "counted"),
    [({"last": 0.5}, range(7, 13)), ({"last": 0.5, "every": 2}, (8, 10, 12)), ({"last": 0.01}, (12,)),
     ({"last": 1.0, "every": 5}, (2, 7, 12))],
)  # fmt: skip
def test_the_model_is_the_mean_of_the_weights_after_the_last_steps(
    tmp_path: Path, average: dict[str, Any], counted: Any
) -> None:
    import torch

    model, after, history = trained(tmp_path / "averaged", average=average)
    for name, weight in model.named_parameters():
        mean = torch.stack([after[step - 1][name].double() for step in counted]).mean(0)
        torch.testing.assert_close(weight.double(), mean, rtol=1e-5, atol=1e-7)
    plan = plan_of(tmp_path)
    assert history.rows[-1].validation_loss == evaluate(model, plan, torch.device("cpu"))[0]
    _, plain, without = trained(tmp_path / "plain")
    assert all(torch.equal(plain[-1][name], weight) for name, weight in after[-1].items()), (
        "training goes on as without"
    )
    same = [row.validation_loss for row in history.rows if row.step < counted[0] and row.validation_loss]
    assert same == [row.validation_loss for row in without.rows if row.validation_loss][: len(same)]


def test_an_exponential_mean_follows_its_formula_through_a_resume(tmp_path: Path) -> None:
    import torch

    model, after, history = trained(tmp_path / "a", average={"ema": 0.7})
    mean = after[0]
    for weights in after[1:]:
        mean = {name: 0.7 * mean[name] + 0.3 * weight for name, weight in weights.items()}
    for name, weight in model.named_parameters():
        torch.testing.assert_close(weight, mean[name], rtol=1e-5, atol=1e-6)
    resumed, _, again = trained(tmp_path / "a", average={"ema": 0.7})
    assert again.resumed_at == 10 and again.rows == history.rows
    assert all(torch.equal(one, other) for one, other in zip(model.parameters(), resumed.parameters(), strict=True))


def test_the_best_weights_are_those_that_were_validated(tmp_path: Path) -> None:
    import torch

    model, _, history = trained(tmp_path / "a", average={"last": 0.7}, keep="best")
    found = evaluate(model, plan_of(tmp_path), torch.device("cpu"))[0]
    assert found == history.best_loss == min(row.validation_loss for row in history.rows if row.validation_loss)


def test_settings_of_an_average() -> None:
    def settings(**average: Any) -> PackedTraining:
        return PackedTraining(steps=3, average=average)

    for wrong in ({}, {"last": 0.1, "ema": 0.9}, {"ema": 0.9, "every": 2}, {"last": 0.0}, {"ema": 1.0}):
        with pytest.raises(ValidationError, match=r"average"):
            settings(**wrong)
    assert "average" not in PackedTraining(steps=3).model_dump(mode="json"), "reports stay as they are"
    assert settings(last=0.2).model_dump(mode="json")["average"] == {"last": 0.2, "every": 1, "ema": None}


def test_averaged_weights_share_no_memory_with_the_model(tmp_path: Path) -> None:
    from tasks.train.average import Average
    from tasks.train.settings import AverageSettings

    model = bigrams()
    average = Average(model, AverageSettings(last=1.0), 2)
    addresses = [weight.data_ptr() for weight in model.parameters()]
    average.update(1)
    before = weights_of(model)
    for weight in model.parameters():
        weight.data.add_(1)
    average.swap()
    assert all((weight == before[name]).all() for name, weight in model.named_parameters())
    assert [weight.data_ptr() for weight in model.parameters()] == addresses
    assert not {weight.data_ptr() for weight in average.weights.values()} & set(addresses)
    assert all(one is not other for one, other in itertools.pairwise(average.weights.values()))
