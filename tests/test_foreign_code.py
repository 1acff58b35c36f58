"""A model's folder may hold Python code; no place that loads one runs it, nor asks on the terminal whether to."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from mlflow.pyfunc.model import PythonModelContext

from tasks.base.work import _convert_bin
from tasks.evaluate.loading import load_weights
from tasks.formats.tokenizer import load_tokenizer
from tasks.serve.causal import CausalModel
from tasks.serve.pairs import PairModel
from tasks.stage.errors import DataError
from tasks.tokenize.codec import _is_encoder_decoder
from tasks.train.model import Design, build_model
from tasks.train.settings import ModelSettings, PackedTraining
from tasks.train.vocabulary import Vocabulary
from tests.register.models import save_model

CODE = {
    "config.json": {
        "model_type": "evil", "architectures": None,
        "auto_map": dict.fromkeys(("AutoConfig", "AutoModel", "AutoModelForCausalLM"), "evil.Evil"),
    },
    "tokenizer_config.json": {"auto_map": {"AutoTokenizer": ["evil.Evil", "evil.Evil"]}, "tokenizer_class": "Evil"},
}  # fmt: skip


def serve(model: CausalModel | PairModel) -> Callable[[Path], object]:
    return lambda folder: model.load_context(PythonModelContext({"model": str(folder)}, None))


def train(folder: Path) -> object:
    settings = ModelSettings.model_validate({"init": {"kind": "folder", "path": "any", "licence": "MIT"}})
    words = Vocabulary.__new__(Vocabulary)
    return build_model(Design("r", "causal-lm", settings, PackedTraining(steps=1), words, None, "eager", folder))


PLACES: dict[str, tuple[str, str, Callable[[Path], object]]] = {
    "base, pickled": ("causal-lm", "config.json", lambda folder: _convert_bin(folder, "r")),
    "tokenize": ("causal-lm", "config.json", _is_encoder_decoder),
    "train": ("causal-lm", "config.json", train),
    "evaluate": ("causal-lm", "config.json", lambda folder: load_weights(folder, "causal-lm", "fp32")),
    "serve": ("causal-lm", "config.json", serve(CausalModel())),
    "tokenizer": ("causal-lm", "tokenizer_config.json", load_tokenizer),
    "serve, tokenizer": ("causal-lm", "tokenizer_config.json", serve(CausalModel())),
    "serve, target": ("translation", "target/tokenizer_config.json", serve(PairModel())),
}


@pytest.mark.parametrize("place", PLACES)
def test_code_beside_a_model_is_never_run_nor_asked_about(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    task, name, load = PLACES[place]
    save_model(tmp_path, task)
    path, asked = tmp_path / name, []
    path.write_text(json.dumps(json.loads(path.read_text()) | CODE[path.name]))
    (path.parent / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w').close()\nclass Evil: pass\n")
    monkeypatch.setenv("HF_MODULES_CACHE", str(tmp_path / "modules"))
    monkeypatch.setattr("builtins.input", lambda *_: asked.append(1) or "y")
    with pytest.raises((DataError, ValueError), match="custom code"):
        load(tmp_path)
    assert not asked and not (tmp_path / "ran").exists()
