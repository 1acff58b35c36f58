"""Score any model of a recipe's task as the recipe's own: `python -m tasks.evaluate.rescore RECIPE MODEL OUT`.

in    MODEL/, a model folder as `train` writes it: a registered champion, a model of another seed; its tokenizer,
      architecture and length may differ from those of the recipe's model;
      data/<recipe>/clean/test/, the recipe's `task` and section `evaluate`
out   OUT/scores.parquet   as the stage `evaluate` writes it
      OUT/metrics.json     the model's own metrics and the signature, without baselines; written last

The recipe's own model gets the same bytes in scores.parquet as in the stage. A model that cannot be scored as the
recipe says (too few positions for `evaluate.window`) is refused: with other settings its score would not be
comparable. A classifier is wrong about documents of a class that it does not know.

Not a stage: DVC knows nothing of it. Ends like one: exit code 0, or one sentence on stderr and 2 or 75.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tasks.evaluate.causal_lm import CausalScorer
from tasks.evaluate.chat.scorer import ChatScorer
from tasks.evaluate.classification import ClassScorer
from tasks.evaluate.exam import Exam, Scorer
from tasks.evaluate.loading import check_usage
from tasks.evaluate.masked_lm import MaskedScorer
from tasks.evaluate.pairs import ROW_GROUP as ROWS_WITH_TEXTS
from tasks.evaluate.parts import columns_with_part, read_parts, rows_with_part
from tasks.evaluate.preference.scorer import READS, PreferenceScorer
from tasks.evaluate.scores import ROW_GROUP, write_scores
from tasks.evaluate.settings import SETTINGS
from tasks.evaluate.split import measure_split
from tasks.evaluate.summarization import summarization_scorer
from tasks.evaluate.translation import translation_scorer
from tasks.stage.errors import EXIT_USER, DataError
from tasks.stage.run import DATA, end, write_json
from tasks.stage.settings import read_section, recipe_path
from tasks.stage.task import FAMILIES, PAIRS, read_task
from tasks.workers.system import MODELS, prepare

SCORERS: dict[str, Callable[[Exam, Any], Scorer]] = {
    "causal-lm": CausalScorer,
    "translation": translation_scorer,
    "summarization": summarization_scorer,
    "masked-lm": MaskedScorer,
    "classification": ClassScorer,
    "chat": ChatScorer,
    "preference": PreferenceScorer,
}
"""Scorer by task."""

WITH_TEXTS = (*PAIRS, "chat")
"""Tasks whose rows of scores.parquet hold texts."""

OUTPUTS = ("scores.parquet", "metrics.json")


def rescore(recipe: str, model: Path, out: Path) -> dict[str, Any]:
    """Score a model folder; returns what is in metrics.json. Raises RecipeError and DataError."""
    recipe_path(recipe)
    task = read_task(recipe)
    settings = read_section(recipe, "evaluate", SETTINGS[task])
    test = DATA / recipe / "clean" / "test"
    if not test.is_dir():
        raise DataError(f"{test}: not found; run the earlier stages: dvc repro clean@{recipe}")
    if not model.is_dir():
        raise DataError(f"{model}: not a folder with a model")
    if out.resolve().is_relative_to(DATA.resolve()):
        raise DataError(f"{out}: {DATA} holds outputs that DVC tracks; write the scores to a folder outside of it")
    if out.exists() and not out.is_dir():
        raise DataError(f"{out}: not a folder")
    check_usage(model, task)
    prepare(*MODELS)
    scorer = scorer_of(recipe, task, settings, model, test)
    out.mkdir(parents=True, exist_ok=True)
    partial = {name: out / f".partial-{name}" for name in OUTPUTS}
    for name in OUTPUTS:
        (out / name).unlink(missing_ok=True)
    try:
        parts = read_parts(test)
        rows = rows_with_part((row for row, _ in scorer.score()), parts)
        columns = columns_with_part(scorer.columns, parts)
        write_scores(partial["scores.parquet"], rows, columns, ROWS_WITH_TEXTS if task in WITH_TEXTS else ROW_GROUP)
        metrics = scorer.metrics()
        write_json(partial["metrics.json"], metrics)
        for name, path in partial.items():
            path.replace(out / name)
    finally:
        for path in partial.values():
            path.unlink(missing_ok=True)
    return metrics


def scorer_of(recipe: str, task: str, settings: Any, model: Path, test: Path) -> Scorer:
    """Scores a model folder on a test split as the recipe says."""
    needs = FAMILIES[task].needs
    read = READS if task == "preference" else (needs,) if needs else ()
    return SCORERS[task](Exam(recipe, model, test, measure_split(test, ("text", *read))), settings)


def main() -> None:
    """The command line."""
    if len(sys.argv) != 4 or any(argument.startswith("-") for argument in sys.argv[1:]):
        print("usage: python -m tasks.evaluate.rescore RECIPE MODEL_FOLDER OUT_FOLDER", file=sys.stderr)
        sys.exit(EXIT_USER)
    recipe, model, out = sys.argv[1:]
    end("rescore", lambda: rescore(recipe, Path(model), Path(out)), recipe)


if __name__ == "__main__":
    main()
