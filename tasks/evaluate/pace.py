"""How fast a model folder is scored: `python -m tasks.evaluate.pace RECIPE MODEL TEST`, which takes turns with others.

in    MODEL/, a model folder; TEST/, some documents of a test split; the recipe's `task` and section `evaluate`
      lines on stdin: for each of them the documents are scored once
out   lines on stdout: {"seconds": …, "memory": bytes of this process}; the first, before any input, when the model is
      loaded: {"memory": …}

Not a stage: DVC knows nothing of it.
"""

import json
import sys
import time
from pathlib import Path

from tasks.evaluate.rescore import scorer_of
from tasks.evaluate.settings import SETTINGS
from tasks.stage.errors import EXIT_USER
from tasks.stage.run import end
from tasks.stage.settings import read_section
from tasks.stage.task import read_task
from tasks.workers.system import MODELS, prepare


def pace(recipe: str, model: Path, test: Path) -> None:
    """Score the documents once for each line of stdin. Raises GristmillError for a model that cannot be scored."""
    task = read_task(recipe)
    prepare(*MODELS)
    scorer = scorer_of(recipe, task, read_section(recipe, "evaluate", SETTINGS[task]), model, test)
    _tell(memory=_memory())
    for _ in sys.stdin:
        began = time.perf_counter()
        for _row in scorer.score():
            pass
        _tell(seconds=time.perf_counter() - began, memory=_memory())


def _tell(**found: float) -> None:
    print(json.dumps(found), flush=True)


def _memory() -> int:
    """The memory of this process in bytes; what it has freed counts, since it keeps that (`tasks.workers.system`)."""
    import psutil

    return int(psutil.Process().memory_info().rss)


def main() -> None:
    """The command line."""
    if len(sys.argv) != 4:
        print("usage: python -m tasks.evaluate.pace RECIPE MODEL_FOLDER TEST_FOLDER", file=sys.stderr)
        sys.exit(EXIT_USER)
    recipe, model, test = sys.argv[1:]
    end("pace", lambda: pace(recipe, Path(model), Path(test)), recipe)


if __name__ == "__main__":
    main()
