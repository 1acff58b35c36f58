import subprocess
import sys
from pathlib import Path

import pytest

from tasks.clean.rules.near.settings import ContaminationSettings, NearDuplicateSettings, ParagraphSettings
from tasks.stage.errors import RecipeError
from tasks.stage.settings import validate

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(
    ("model", "section", "message"),
    [
        (NearDuplicateSettings, {"threshold": 0.0}, "near.threshold: "),
        (NearDuplicateSettings, {"threshold": 1.01}, "near.threshold: "),
        (NearDuplicateSettings, {"bands": 0}, "near.bands: "),
        (NearDuplicateSettings, {"bands": 512, "rows": 9}, "bands 512 × rows 9 = 4608, more than 4096"),
        (NearDuplicateSettings, {"max_bucket": 1}, "near.max_bucket: "),
        (NearDuplicateSettings, {"n": 5}, "near.n: unknown key"),
        (ContaminationSettings, {"ngram": 7}, "min_words 8 is more than ngram 7"),
        (ContaminationSettings, {"min_share": 1.5}, "near.min_share: "),
        (ParagraphSettings, {"separator": "word"}, "near.separator: "),
    ],
)
def test_a_wrong_setting_is_told_by_its_key(model: type, section: dict, message: str, tmp_path: Path) -> None:
    with pytest.raises(RecipeError) as error:
        validate(model, section, tmp_path / "x.yaml", "near")
    assert message in str(error.value)


def test_a_pair_of_the_default_threshold_is_a_candidate_with_the_chance_that_the_docstring_states() -> None:
    chosen = NearDuplicateSettings()
    assert 1 - (1 - chosen.threshold**chosen.rows) ** chosen.bands == pytest.approx(0.9996, abs=5e-5)
    assert "0.9996 at 0.8" in (NearDuplicateSettings.__doc__ or "")


def test_settings_load_no_compiler() -> None:
    script = "import sys, tasks.clean.rules.near.settings; print({'numba', 'numpy', 'pyarrow'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
