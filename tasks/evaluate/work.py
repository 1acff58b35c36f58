"""The stage `evaluate`: dispatch by task."""

from collections.abc import Callable
from typing import Any

from tasks.evaluate.causal_lm import evaluate_causal_lm
from tasks.evaluate.chat.work import evaluate_chat
from tasks.evaluate.classification import evaluate_classification
from tasks.evaluate.masked_lm import evaluate_masked_lm
from tasks.evaluate.preference.work import evaluate_preference
from tasks.evaluate.settings import SETTINGS
from tasks.evaluate.summarization import evaluate_summarization
from tasks.evaluate.translation import evaluate_translation
from tasks.stage.run import Job, Report
from tasks.stage.settings import read_section
from tasks.stage.task import read_task
from tasks.workers.system import MODELS, prepare

EVALUATIONS: dict[str, Callable[[Job, Any], Report]] = {
    "causal-lm": evaluate_causal_lm,
    "translation": evaluate_translation,
    "summarization": evaluate_summarization,
    "masked-lm": evaluate_masked_lm,
    "classification": evaluate_classification,
    "chat": evaluate_chat,
    "preference": evaluate_preference,
}
"""Evaluation by task. To add a task, add a module next to `causal_lm` and a line here."""


def evaluate(job: Job) -> Report:
    """Run the recipe's evaluation. Raises RecipeError for an unknown task."""
    task = read_task(job.recipe)
    prepare(*MODELS)
    return EVALUATIONS[task](job, read_section(job.recipe, "evaluate", SETTINGS[task]))
