"""Hugging Face's `Trainer` on a recipe's model and blocks: `python -m benchmarks.trainer RECIPE STEPS eager|compiled`.

Run in a project by `benchmarks.training`. The options are those that the documentation of `Trainer` gives for speed:
bf16 where the hardware has it, fused AdamW, torch.compile. It gets our OpenMP as well: with GNU's, whose threads spin,
it crawls as soon as another process wants a core. Prints the time at which each step ended, as JSON.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

from tasks.formats.precision import bf16_in_hardware
from tasks.stage.settings import read_yaml
from tasks.workers.system import prepare


def make_model(recipe: dict[str, Any]) -> Any:
    """The model of a recipe, from scratch."""
    from transformers import AutoConfig, AutoModelForCausalLM

    size = recipe["tokenize"]["vocab_size"]
    config = AutoConfig.for_model(recipe["model"]["architecture"], vocab_size=size, **recipe["model"]["config"])
    config.use_cache = False
    return AutoModelForCausalLM.from_config(config)


def train(name: str, steps: int, compiled: bool) -> list[float]:
    """Seconds since 1970 at the end of each step."""
    prepare()
    import numpy as np
    import torch
    from transformers import Trainer, TrainerCallback, TrainingArguments

    from tasks.formats.tokens import Tokens

    recipe = read_yaml(Path("recipes") / f"{name}.yaml")
    rows, length = recipe["train"]["batch_size"], recipe["train"]["context_length"]
    tokens = Tokens.open(Path("data") / name / "tokens" / "train")
    ids = np.asarray(tokens.slice(0, steps * rows * length), np.int64).reshape(-1, length)
    blocks = [{"input_ids": torch.from_numpy(row), "labels": torch.from_numpy(row)} for row in ids]
    times: list[float] = []

    class Clock(TrainerCallback):
        def on_step_end(self, *_: Any, **__: Any) -> None:
            times.append(time.time())

    arguments = TrainingArguments(
        output_dir="trainer", use_cpu=True, bf16=bf16_in_hardware("cpu"), optim="adamw_torch_fused",
        per_device_train_batch_size=rows, max_steps=steps, logging_steps=20, save_strategy="no", report_to="none",
        disable_tqdm=True, torch_compile=compiled,
    )  # fmt: skip
    Trainer(make_model(recipe), arguments, train_dataset=blocks, callbacks=[Clock()]).train()
    return times


if __name__ == "__main__":
    print(json.dumps(train(sys.argv[1], int(sys.argv[2]), sys.argv[3] == "compiled")))
