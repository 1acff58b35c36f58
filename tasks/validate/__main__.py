"""`python -m tasks.validate <recipe>`."""

from tasks.stage.run import Stage, main
from tasks.validate.work import validate

STAGE = Stage(
    "validate",
    validate,
    inputs=("raw",),
    outputs=("valid", "validation", "quarantine.parquet"),
    report="valid/report.json",
)

if __name__ == "__main__":
    main(STAGE)
