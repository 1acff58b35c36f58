"""`python -m tasks.evaluate <recipe>`."""

from tasks.contract.errors import RecipeError
from tasks.contract.settings import read_section, read_yaml, recipe_path
from tasks.contract.stage import Job, Report, Stage, main
from tasks.evaluate.causal_lm import evaluate_causal_lm
from tasks.evaluate.settings import EvaluateSettings

EVALUATIONS = {"causal-lm": evaluate_causal_lm}
"""`task` of a recipe → its evaluation. A new task is a module beside `causal_lm` and a line here."""


def evaluate(job: Job) -> Report:
    """Evaluate as the recipe's task asks. Raises RecipeError for a task that has no evaluation."""
    path = recipe_path(job.recipe)
    task = read_yaml(path).get("task", "causal-lm")
    if task not in EVALUATIONS:
        raise RecipeError(f"{path}: task: {task!r} is not one of {', '.join(EVALUATIONS)}")
    return EVALUATIONS[task](job, read_section(job.recipe, "evaluate", EvaluateSettings))


STAGE = Stage(
    "evaluate",
    evaluate,
    inputs=("model", "training/history.csv", "tokens/train", "clean/test"),
    outputs=(
        "evaluation/report.json",
        "evaluation/metrics.json",
        "evaluation/samples.json",
        "evaluation/scores.parquet",
        "evaluation/curves.png",
        "evaluation/scores.png",
    ),
    report="evaluation/report.json",
)

if __name__ == "__main__":
    main(STAGE)
