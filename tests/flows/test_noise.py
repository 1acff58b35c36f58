"""What `gristmill noise` refuses; tests/test_whole.py runs it."""

import pytest

from flows.noise import measure_noise
from tasks.stage.errors import GristmillError


def test_one_seed_has_no_spread() -> None:
    with pytest.raises(GristmillError, match="a spread needs at least 2 seeds, not 1"):
        measure_noise("tiny", 1, print)
