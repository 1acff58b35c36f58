"""Scores of made-up models: tables as the stage evaluate writes them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tasks.compare.documents import Documents

WORDS = [f"word{number}" for number in range(60)]


def documents(task: str, groups: Sequence[str], path: Path = Path("scores.parquet"), **columns: Any) -> Documents:
    """Documents d0, d1, … in these groups."""
    ids = [f"d{number}" for number in range(len(groups))]
    return Documents(task, pa.table({"id": ids, "group": list(groups), **columns}), path)


def alone(count: int) -> list[str]:
    """Every document its own group."""
    return [f"g{number}" for number in range(count)]


def write(scores: Documents, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(scores.table, path)
    return path


def pair(task: str, groups: Sequence[str], seed: int = 0, classes: int = 4) -> tuple[Documents, Documents]:
    """Two models that differ by chance."""
    random, count = np.random.default_rng(seed), len(groups)
    sizes, references = random.integers(20, 900, count), []
    labels, masked = random.integers(0, classes, count), random.integers(0, 20, count)
    for _ in range(count):
        references.append(" ".join(random.choice(WORDS, random.integers(3, 15))))
    models = []
    for number in range(2):
        columns: dict[str, Any]
        if task == "causal-lm":
            columns = {"bytes": sizes, "tokens": sizes // 3, "loss": sizes * random.uniform(0.5, 0.9, count)}
        elif task == "masked-lm":
            right = random.binomial(masked, 0.4)
            columns = {"masked": masked, "right": right, "loss": masked * random.uniform(2, 5, count)}
        elif task == "classification":
            guesses = np.where(random.random(count) < 0.7, labels, random.integers(0, classes + 1, count))
            columns = {"label": [f"c{k}" for k in labels], "predicted": [f"c{k}" for k in guesses]}
        elif task == "preference":
            margins = random.normal(0.3, 2, count)
            columns = {"correct": (margins > 0).astype(float), "margin": margins, "length_difference": sizes - 400}
            columns |= {"bytes": sizes, "loss": sizes * random.uniform(0.5, 0.9, count)}
        elif task == "chat":
            columns = {"bytes": sizes, "loss": sizes * random.uniform(0.5, 0.9, count), "reference": references}
            columns |= {"turns": 1 + sizes % 3, "tokens": sizes // 3}
            for name, most in (("chrf", 100), ("rougeL", 100), ("exact_match", 1), ("ended", 1)):
                values = random.integers(0, most + 1, count).astype(float)
                columns[name] = [None if place % 4 == 3 else value for place, value in enumerate(values.tolist())]
        else:
            columns = {"prediction": [spoilt(text, random) for text in references], "reference": references}
        if task == "summarization":
            columns |= {name: random.uniform(0, 100, count).round(6) for name in ("rouge1", "rouge2", "rougeLsum")}
        models.append(documents(task, groups, Path(f"model{number}/scores.parquet"), **columns))
    return models[0], models[1]


def spoilt(text: str, random: np.random.Generator) -> str:
    """A text with some words replaced and some left out."""
    words = [word if random.random() < 0.75 else str(random.choice(WORDS)) for word in text.split()]
    return " ".join(word for word in words if random.random() < 0.9)
