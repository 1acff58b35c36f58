"""Models as GGUF files, run by llama.cpp."""

import json
from pathlib import Path

import pytest

from tasks.export.__main__ import STAGE
from tasks.export.gguf_run import llama_cpp
from tasks.formats.text_ids import opening
from tasks.formats.tokenizer import load_tokenizer
from tasks.stage.errors import DataError
from tasks.stage.identity import hash_tree
from tasks.stage.run import run
from tests.families import tiny_recipe
from tests.scratch import run_stages

QWEN3 = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 32,
         "intermediate_size": 64, "max_position_embeddings": 128}  # fmt: skip


@pytest.fixture
def project(families_project: Path) -> Path:
    return families_project


def write(task: str = "causal-lm", model: dict | None = None, **gguf: object) -> None:
    recipe = tiny_recipe(task, "texts/all.jsonl", steps=20)
    recipe["model"] |= model or {}
    Path("recipes/tiny.yaml").write_text(json.dumps({**recipe, "export": {"gguf": gguf}}))


@pytest.mark.parametrize("task", ["causal-lm", "chat"])
@pytest.mark.parametrize("model", [None, {"architecture": "qwen3", "config": QWEN3}], ids=["llama", "qwen3"])
def test_llama_cpp_says_what_pytorch_says(project: Path, task: str, model: dict | None) -> None:
    write(task, model, types=["f32", "f16", "q8_0", "q4_0"])
    run_stages("tiny", until="train")
    report = run(STAGE, "tiny").details
    assert report["gguf-f32"]["largest_difference"] < 0.005 and report["gguf-f32"]["agreement"] == 1.0
    assert report["gguf-q8_0"]["largest_difference"] < 0.05
    sizes = [report[f"gguf-{kind}"]["bytes"] for kind in ("f32", "f16", "q8_0", "q4_0")]
    assert sizes == sorted(sizes, reverse=True)
    before = hash_tree(Path("data/tiny/exported"))
    run(STAGE, "tiny")
    assert hash_tree(Path("data/tiny/exported")) == before


def test_llama_cpp_reads_text_as_our_tokenizer_does(project: Path) -> None:
    write(types=["f32"])
    run_stages("tiny", until="train")
    run(STAGE, "tiny")
    tokenizer = load_tokenizer(Path("data/tiny/model"))
    begin = opening(tokenizer) or [tokenizer.eos_token_id]
    with llama_cpp(Path("data/tiny/exported/gguf/model-f32.gguf"), 1) as runner:
        for text in ("ka lo", "It's 12345  words,\n\n\tmy café — naïve!", "日本 🙂"):
            ids = [*begin, *tokenizer(text, add_special_tokens=False)["input_ids"]]
            (token, top), (wanted, of_ids) = runner.next_token(text), runner.next_token(ids)
            assert token == wanted and top == pytest.approx(of_ids, abs=1e-4), text


@pytest.mark.parametrize(
    ("task", "model", "told"),
    [
        ("masked-lm", None, "bert cannot be written for llama.cpp .known: llama, qwen3.; remove this format"),
        ("causal-lm", {"architecture": "gpt2", "config": {"n_embd": 32, "n_layer": 1, "n_head": 2}}, "gpt2 cannot be"),
    ],
)
def test_what_llama_cpp_does_not_know_is_one_sentence(project: Path, task: str, model: dict | None, told: str) -> None:
    write(task, model)
    run_stages("tiny", until="train")
    with pytest.raises(DataError, match=rf"recipes/tiny.yaml: export.gguf: {told}"):
        run(STAGE, "tiny")


def test_a_tokenizer_that_llama_cpp_cannot_name_is_one_sentence(project: Path) -> None:
    write()
    recipe = json.loads(Path("recipes/tiny.yaml").read_text())
    recipe["tokenize"] = {"kind": "unigram", "vocab_size": 45}
    Path("recipes/tiny.yaml").write_text(json.dumps(recipe))
    run_stages("tiny", until="train")
    with pytest.raises(DataError, match=r"export.gguf: this tokenizer splits text in a way that llama.cpp has no name"):
        run(STAGE, "tiny")


def test_a_damaged_file_ends_llama_cpp_not_the_stage(project: Path) -> None:
    path = project / "broken.gguf"
    path.write_bytes(b"GGUF" + bytes(100))
    with llama_cpp(path, 1) as runner, pytest.raises(EOFError, match=r"llama.cpp ended with exit code"):
        runner.next_token([1, 2])
