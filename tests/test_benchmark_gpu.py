"""`benchmarks/gpu.py` runs here in small, and a part that fails leaves the others."""

from pathlib import Path

import pytest

from benchmarks import gpu

HERE = gpu.Place("cpu", small=True)


def test_parts_measure_on_a_cpu_in_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRISTMILL_COMPILE", "off")  # set by each part
    found = {
        part: gpu.measure(part, HERE) for part in ("peak", "gpt2-eager", "llama-eager", "generation", "same-eager")
    }
    assert found["same-eager"]["twice"] and found["same-eager"]["resumed"]
    lines = gpu.table(found)
    assert [line.split(" | ")[:2] for line in lines if "| eager" in line] == [
        ["| GPT-2 124M", "eager"], ["| Llama 341M", "eager"],
    ]  # fmt: skip
    assert "- GPT-2 eager, twice: the same bytes, resumed: the same bytes" in lines


def test_a_part_that_fails_is_told_and_the_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OUT", str(tmp_path))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setattr(gpu, "PARTS", ("peak",))
    assert gpu.main(["--small"]) == 1  # no GPU here
    assert "- peak: failed: " in (tmp_path / "gpu.md").read_text()
    assert gpu.main(["--small", "--cpu"]) == 0
    assert "a bf16 matrix product reaches" in (tmp_path / "gpu.md").read_text()
    monkeypatch.setattr(gpu, "SECONDS", -1)
    assert gpu.main(["--small", "--cpu"]) == 1
    assert "- peak: failed: not begun: out of time" in capsys.readouterr().out


def test_operations_are_those_of_the_products() -> None:
    assert gpu.flops(gpu._model(gpu.SMALL["gpt2"]), 32) == 6 * (2 * 12 * 32 * 32 + 500 * 32) + 12 * 2 * 32 * 32
