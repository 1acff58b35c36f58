"""`python -m tasks.measure smollm2-debian`: see `tasks.measure`."""

from tasks.measure.work import measure
from tasks.stage.run import Stage, main

STAGE = Stage(
    "measure",
    measure,
    inputs=("base", "model", "variants", "evaluation/scores.parquet", "evaluation/metrics.json", "clean/test"),
    outputs=("measured", "measured.json"),
    report="measured/report.json",
)

if __name__ == "__main__":
    main(STAGE)
