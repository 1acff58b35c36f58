"""What a training imports; see `tests.kills`."""

from importlib import import_module

import torch

MODELS = ("bert", "gpt2", "gpt_neox", "llama", "marian", "t5")
for name in (
    "accelerate", "mlflow", "peft", "torch.optim.swa_utils", "tasks.tracking.record", "tasks.train.__main__",
    *(f"transformers.models.{model}.modeling_{model}" for model in MODELS),
):  # fmt: skip
    import_module(name)
torch.set_num_threads(1)  # a process with a pool of threads cannot be forked
