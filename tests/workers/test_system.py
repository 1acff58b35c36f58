"""The memory and thread settings of a stage's process, seen from outside."""

import platform
import subprocess
import sys

import pytest

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
