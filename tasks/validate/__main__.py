"""`python -m tasks.validate <recipe>`."""

from tasks.contract.stage import Stage, main
from tasks.validate.stage import validate

STAGE = Stage(
    "validate",
    validate,
    inputs=("raw",),
    outputs=("valid", "validation", "quarantine.parquet"),
    report="valid/report.json",
)

if __name__ == "__main__":
    main(STAGE)
