"""Float weights become integers and scales."""

import pytest
import torch

from tasks.quantize.rounding import round_weights


def weights(rows: int = 24, columns: int = 64) -> torch.Tensor:
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(0))


def inputs(columns: int = 64) -> torch.Tensor:
    """Inputs that go together, as those of a model do: [500, columns]."""
    generator = torch.Generator().manual_seed(1)
    mixed = torch.randn(8, columns, generator=generator)
    return torch.randn(500, 8, generator=generator) @ mixed + 0.1 * torch.randn(500, columns, generator=generator)


@pytest.mark.parametrize(("bits", "group"), [(8, None), (8, 16), (4, 16), (4, None)])
@pytest.mark.parametrize("calibrated", [True, False])
def test_integers_are_in_range_and_near(bits: int, group: int | None, calibrated: bool) -> None:
    given, x = weights(), inputs()
    rounded = round_weights(given, bits, group, x.T @ x if calibrated else None)
    assert rounded.integers.dtype == torch.int8 and rounded.integers.shape == given.shape
    assert rounded.scales.shape == (24, 64 // (group or 64))
    assert rounded.integers.abs().max() <= 2 ** (bits - 1) - 1
    far = (rounded.floats() - given).abs().mean() / given.abs().mean()
    assert far < (0.02 if bits == 8 else 0.35)


@pytest.mark.parametrize("bits", [8, 4])
def test_calibration_keeps_the_outputs_better_than_the_nearest_integers_do(bits: int) -> None:
    given, x = weights(), inputs()
    plain, calibrated = (round_weights(given, bits, 16, moments) for moments in (None, x.T @ x))

    def error(rounded) -> float:
        return float((x @ (rounded.floats() - given).T).square().mean())

    assert error(calibrated) < 0.5 * error(plain)


def test_weights_on_the_grid_stay_as_they_are() -> None:
    grid = torch.randint(-7, 8, (6, 32), generator=torch.Generator().manual_seed(2)).float()
    grid[:, 0] = 7.0
    x = inputs(32)
    for moments in (None, x.T @ x):
        assert torch.equal(round_weights(grid * 0.25, 4, 32, moments).floats(), grid * 0.25)


def test_inputs_that_are_always_zero_and_rows_of_zeros_are_no_division_by_zero() -> None:
    given, x = weights(), inputs()
    given[3], x[:, 5] = 0.0, 0.0
    rounded = round_weights(given, 8, None, x.T @ x)
    assert torch.isfinite(rounded.floats()).all() and not rounded.integers[3].any()


def test_the_same_weights_give_the_same_integers() -> None:
    given, x = weights(), inputs()
    one, other = (round_weights(given, 4, 32, x.T @ x) for _ in range(2))
    assert torch.equal(one.integers, other.integers) and torch.equal(one.scales, other.scales)
