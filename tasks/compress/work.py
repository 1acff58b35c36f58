"""The stage `compress`: variant by variant."""

from pathlib import Path
from typing import Any

from tasks.compress.quantize import Quantizer
from tasks.compress.settings import CompressSettings
from tasks.stage.run import Job, Report
from tasks.stage.runtime import workers
from tasks.stage.settings import read_section
from tasks.stage.task import read_task
from tasks.workers.system import MODELS, prepare


def compress(job: Job) -> Report:
    """Write all variants. Raises RecipeError and DataError for errors the user can fix."""
    task, settings = read_task(job.recipe), read_section(job.recipe, "compress", CompressSettings)
    prepare(*MODELS)
    import torch

    torch.set_num_threads(workers())  # sums are rounded differently with another number
    folder = job.output("variants")
    folder.mkdir()
    before = _bytes(job.input("model"))
    made: dict[str, Any] = {}
    quantizer = Quantizer(job, task)
    for name, variant in settings.root.items():
        facts = quantizer.write(variant, name, folder / name)
        made[name] = {**variant.model_dump(mode="json", exclude={"margin"}), "bytes": _bytes(folder / name), **facts}
        share = made[name]["bytes"] / before
        job.say(f"{name}: {made[name]['bytes']:,} bytes, {share:.0%} of the model's {before:,}")
    return Report(produced={"variants": len(made)}, details={"bytes": before, "variants": made})


def _bytes(folder: Path) -> int:
    """The size of a model folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
