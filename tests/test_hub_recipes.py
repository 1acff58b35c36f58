"""The stages of the `hub-*` recipes, on small local data and models in the Hub's layout."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from tasks.recipe import load
from tasks.stage.settings import read_yaml
from tasks.stage.task import FAMILIES
from tests.families import MODELS, TRAIN, write_source
from tests.scratch import ROOT, run_stages, without_tracking

NAMES = sorted(path.stem for path in (ROOT / "recipes").glob("hub-*.yaml"))


@pytest.fixture
def rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Texts with targets and labels, in a new project."""
    monkeypatch.chdir(tmp_path)
    without_tracking(monkeypatch)
    (tmp_path / "recipes").mkdir()
    write_source(tmp_path / "all.jsonl")
    return [json.loads(line) for line in (tmp_path / "all.jsonl").read_text().splitlines()]


def publish(rows: list[dict[str, Any]], section: dict[str, Any]) -> str:
    """Write rows in the Hub's layout, with the splits and columns that a recipe reads; returns the folder."""
    from datasets import ClassLabel, Dataset

    wanted, folder = section.get("documents", {}), Path("published")
    splits = section["split"] if isinstance(section["split"], list) else [section["split"]]
    shaped = []
    for number, row in enumerate(rows):
        made: dict[str, Any] = {wanted["id_column"]: str(number)} if "id_column" in wanted else {}
        for key, value in {"text": row["text"], "target": row["target"], "label": row["label"]}.items():
            if (column := wanted.get(f"{key}_column", key if key == "text" else None)) is not None:
                outer, _, inner = column.partition(".")
                made[outer] = {**made.get(outer, {}), inner: value} if inner else value
        shaped.append(made)
    config, files = section.get("config", "default"), []
    for number, split in enumerate(splits):
        data = Dataset.from_list(shaped[number :: len(splits)])
        if "label_column" in wanted:
            data = data.cast_column(wanted["label_column"], ClassLabel(names=["even", "odd"]))
        place = folder / f"{split}.parquet"
        place.parent.mkdir(exist_ok=True)
        data.to_parquet(str(place))
        files.append({"split": split, "path": place.name})
    card = json.dumps({"configs": [{"config_name": config, "data_files": files}]})
    (folder / "README.md").write_text(f"---\n{card}\n---\n")
    return folder.as_posix()


def make_base(task: str, rows: list[dict[str, Any]], folder: Path) -> None:
    """Write a tiny base for a task, with the kind of tokenizer that such models have on the Hub."""
    import transformers

    texts = [text for row in rows for text in (row["text"], row["target"])]
    shape = MODELS[task][1]
    if task == "translation":
        size = sentencepieces(texts, folder)
        config = transformers.MarianConfig(vocab_size=size, pad_token_id=size - 1, eos_token_id=0, bos_token_id=0,
                                           decoder_start_token_id=size - 1, forced_eos_token_id=0, **shape)  # fmt: skip
        transformers.MarianMTModel(config).save_pretrained(folder)
        return
    from tasks.tokenize.settings import TokenizeSettings
    from tasks.tokenize.specials import specials_of
    from tasks.tokenize.vocabulary import save_vocabulary, train_vocabulary

    how = "unigram" if task == "summarization" else "wordpiece"
    specials = specials_of(task, TokenizeSettings())
    learned = train_vocabulary(
        lambda: [pa.array(texts, pa.large_string())],
        TokenizeSettings.model_validate({"kind": how, "vocab_size": 90}),
        specials,
    )
    save_vocabulary(learned, specials, folder)
    if task == "summarization":
        config = transformers.T5Config(vocab_size=90, **shape)
        transformers.T5ForConditionalGeneration(config).save_pretrained(folder)
    else:
        config = transformers.BertConfig(vocab_size=90, **shape)
        transformers.BertForMaskedLM(config).save_pretrained(folder)


def sentencepieces(texts: list[str], folder: Path) -> int:
    """Write a Marian tokenizer, two sentencepiece models and a shared vocabulary; returns its size."""
    import sentencepiece

    folder.mkdir()
    Path("texts.txt").write_text("\n".join(texts))
    for side in ("source", "target"):
        sentencepiece.SentencePieceTrainer.train(
            input="texts.txt", model_prefix=side, vocab_size=90, minloglevel=2, bos_id=-1, unk_id=0, eos_id=1
        )
        Path(f"{side}.model").rename(folder / f"{side}.spm")
    pieces = [line.split("\t")[0] for line in Path("source.vocab").read_text().splitlines()]
    names = ["</s>", "<unk>", *(piece for piece in pieces if piece not in ("</s>", "<unk>")), "<pad>"]
    (folder / "vocab.json").write_text(json.dumps({name: number for number, name in enumerate(names)}))
    languages = {"source_lang": "en", "target_lang": "fr", "tokenizer_class": "MarianTokenizer"}
    (folder / "tokenizer_config.json").write_text(json.dumps(languages))
    return len(names)


@pytest.mark.parametrize("name", NAMES)
def test_the_stages_of_a_hub_recipe_run_on_data_of_the_same_form(name: str, rows: list[dict[str, Any]]) -> None:
    recipe = read_yaml(ROOT / "recipes" / f"{name}.yaml")
    task = recipe["task"]
    recipe["ingest"]["dataset"] = publish(rows, recipe["ingest"])
    del recipe["ingest"]["revision"]
    recipe["clean"] |= {"min_characters": 1, "languages": None}
    splits, train = recipe["clean"]["splits"], recipe["train"]
    splits |= {key: 0.2 for key in ("validation", "test") if not splits.get(f"{key}_groups")}
    train |= {**TRAIN[task], "steps": 4, "evaluate_every": 2, "precision": "fp32"}
    for key in ("epochs", "evaluation_tokens"):
        train.pop(key, None)
    if recipe["model"]["init"] == "scratch":
        recipe["tokenize"]["vocab_size"] = 300
        recipe["model"]["config"] |= {"n_embd": 32, "n_layer": 1, "n_head": 2, "n_positions": 64}
        recipe["evaluate"] |= {"window": 32, "stride": 16, "precision": "fp32", "generation": {"max_new_tokens": 4}}
    else:
        make_base(task, rows, Path("model"))
        recipe["model"]["init"] = {"kind": "folder", "path": "model"}
        if "generation" in recipe["evaluate"]:
            recipe["evaluate"]["generation"]["max_new_tokens"] = 8
    Path("recipes/tiny.yaml").write_text(json.dumps(recipe))
    load("tiny")
    run_stages("tiny")
    metrics = json.loads(Path("data/tiny/evaluation/metrics.json").read_text())
    assert set(FAMILIES[task].metrics) <= set(metrics)
