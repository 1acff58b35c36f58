"""`python -m tasks.export minilm-sections`: see `tasks.export`."""

from tasks.export.work import export
from tasks.stage.run import Stage, main

STAGE = Stage(
    "export",
    export,
    inputs=("model", "tokens/validation"),
    outputs=("exported",),
    report="exported/report.json",
)

if __name__ == "__main__":
    main(STAGE)
