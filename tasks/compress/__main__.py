"""`python -m tasks.compress smollm2-debian`: see `tasks.compress`."""

from tasks.compress.work import compress
from tasks.stage.run import Stage, main

STAGE = Stage(
    "compress",
    compress,
    inputs=("model", "tokens/train"),
    outputs=("variants",),
    report="variants/report.json",
)

if __name__ == "__main__":
    main(STAGE)
