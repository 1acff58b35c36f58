"""Models as ONNX files, run by ONNX Runtime."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import MambaConfig, MambaForCausalLM

from tasks.export import work
from tasks.export.__main__ import STAGE
from tasks.export.onnx_files import convert
from tasks.export.onnx_parts import Part, parts_of
from tasks.formats.model_inputs import load_model
from tasks.stage.errors import DataError, RecipeError
from tasks.stage.identity import hash_tree
from tasks.stage.run import run
from tests.families import tiny_recipe
from tests.scratch import run_stages


@pytest.fixture
def project(families_project: Path) -> Path:
    return families_project


def write(task: str, **onnx: object) -> None:
    recipe = tiny_recipe(task, "texts/all.jsonl")
    Path("recipes/tiny.yaml").write_text(json.dumps({**recipe, "export": {"onnx": onnx}}))


FILES = {
    "causal-lm": {"model"},
    "translation": {"encoder", "decoder"},
    "summarization": {"encoder", "decoder"},
    "masked-lm": {"model"},
    "classification": {"model"},
}


OTHERS = ("translation", "summarization", "masked-lm")
"""Tasks that run with the slow tests."""


@pytest.mark.parametrize(
    "task", [pytest.param(task, marks=[pytest.mark.slow] if task in OTHERS else []) for task in FILES]
)
def test_a_model_of_every_family_agrees_with_pytorch(project: Path, task: str) -> None:
    write(task, int8=True)
    run_stages("tiny", until="train")
    report = run(STAGE, "tiny").details
    assert {path.stem for path in Path("data/tiny/exported/onnx").glob("*.onnx")} == FILES[task]
    assert report["onnx"]["largest_difference"] < 1e-4 and report["onnx"]["agreement"] == 1.0
    assert report["onnx"]["rows"] > 1 and report["onnx-int8"]["agreement"] > 0.5
    assert Path("data/tiny/exported/onnx/tokenizer.json").is_file()
    assert not list(Path("data/tiny/exported").rglob("*.safetensors"))
    assert json.loads(Path("data/tiny/export-speed.json").read_text())["onnx"] > 0
    before = hash_tree(Path("data/tiny/exported"))
    run(STAGE, "tiny")
    assert hash_tree(Path("data/tiny/exported")) == before
    assert not any(str(project).encode() in path.read_bytes() for path in Path("data/tiny/exported").rglob("*.onnx"))


def test_rows_of_other_lengths_share_a_batch(project: Path) -> None:
    import onnxruntime

    write("classification")
    run_stages("tiny", until="train")
    model = load_model(Path("data/tiny/model"), "classification")
    (part,) = parts_of("classification", model)
    convert(part, project, "here")
    ids = torch.randint(5, 50, (3, 17))
    mask = torch.ones_like(ids)
    mask[1, 4:] = 0
    with torch.no_grad():
        wanted = model(input_ids=ids, attention_mask=mask).logits.numpy()
    session = onnxruntime.InferenceSession(str(project / "model.onnx"))
    (found,) = session.run(None, {"input_ids": ids.numpy(), "attention_mask": mask.numpy()})
    assert np.abs(found - wanted).max() < 1e-5
    assert [value.shape for value in session.get_inputs()] == [["batch", "length"]] * 2


def test_a_file_that_is_further_off_than_the_tolerance_fails(project: Path) -> None:
    write("classification", tolerance=1e-12)
    run_stages("tiny", until="train")
    with pytest.raises(DataError, match=r"export.onnx.tolerance: a logit is .* off PyTorch's, more than 1e-12"):
        run(STAGE, "tiny")
    assert not Path("data/tiny/exported").exists()


def test_an_architecture_without_keys_and_values_is_one_sentence() -> None:
    torch.manual_seed(0)
    model = MambaForCausalLM(MambaConfig(vocab_size=50, hidden_size=16, num_hidden_layers=1, state_size=4)).eval()
    with pytest.raises(DataError, match="mamba keeps something else than keys and values between tokens"):
        parts_of("causal-lm", model)


class Choosing(torch.nn.Module):
    """What no graph can hold: what it does depends on its input."""

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return ids.float() if ids.sum() > 3 else ids.float().new_zeros(int(ids.sum()))


def test_what_cannot_be_converted_is_one_sentence(tmp_path: Path) -> None:
    part = Part("model", Choosing(), (torch.ones(2, 3, dtype=torch.int64),), {"ids": ("batch", "length")}, ("logits",))
    with pytest.raises(DataError, match=r"^here: torch cannot convert this architecture: .+") as raised:
        convert(part, tmp_path, "here")
    assert "\n" not in str(raised.value) and not list(tmp_path.iterdir())


def test_a_missing_runtime_is_named(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write("classification")
    monkeypatch.setattr(work, "find_spec", lambda name: None if name == "onnxruntime" else object())
    with pytest.raises(RecipeError, match=r"export.onnx: needs onnxruntime; install them: pip install 'gristmill\[ex"):
        run(STAGE, "tiny")
