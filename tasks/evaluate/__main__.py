"""`python -m tasks.evaluate shakespeare`: see `tasks.evaluate`."""

from tasks.evaluate.work import evaluate
from tasks.stage.run import Stage, main

STAGE = Stage(
    "evaluate",
    evaluate,
    inputs=("base", "model", "training/history.csv", "tokens/train", "clean/train", "clean/test"),
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
