"""The memory and thread settings of a stage's process, seen from outside."""

import platform
import subprocess
import sys

import pytest

UNUSED = ("peft", "bitsandbytes", "mlflow", "sklearn", "pandas", "pyarrow", "matplotlib", "datasets")
"""Not imported for a training's first step, because no stage's model needs them; each takes up to two seconds."""
FIRST = f"""
import gc, sys
from tasks.workers.system import MODELS, prepare
prepare(*MODELS)
import torch
from tasks.train.loop import make_accelerator
from tasks.train.precision import Machine
from tasks.train.work import make_deterministic
from transformers import AutoConfig, AutoModelForCausalLM
from tasks.tracking import record
machine = Machine("cpu", "fp32", "eager")
make_deterministic(1, machine)
size = dict(hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1, num_key_value_heads=1)
model = AutoModelForCausalLM.from_config(AutoConfig.for_model("qwen3", vocab_size=9, head_dim=8, **size))
net, optimizer = make_accelerator(machine).prepare(model, torch.optim.AdamW(model.parameters()))
net(torch.zeros(1, 4, dtype=torch.long)).logits.sum().backward()
optimizer.step()
print([name for name in {UNUSED} if name in sys.modules], gc.isenabled(), gc.get_freeze_count() > 100_000)
"""
WORK = """
from tasks.workers.system import prepare
prepare()
import torch
torch.set_num_threads(2)
print(torch.ones(1 << 22).sin().sum().item() > 0)
"""


@pytest.mark.skipif(
    (sys.platform, platform.machine()) != ("linux", "x86_64"), reason="Intel's OpenMP is for these only"
)
def test_torch_works_with_the_openmp_that_shares_cores():
    ran = subprocess.run(
        [sys.executable, "-c", WORK], env={"KMP_VERSION": "1"}, capture_output=True, text=True, check=True
    )
    assert ran.stdout == "True\n"
    assert "Intel(R) OMP version" in ran.stderr  # printed when it starts its first threads


def test_a_first_step_imports_only_what_it_needs():
    ran = subprocess.run([sys.executable, "-c", FIRST], capture_output=True, text=True, check=True)
    assert ran.stdout == "[] True True\n"
