"""`python -m tasks.base bert-sections`: see `tasks.base`."""

from tasks.base.work import base
from tasks.stage.run import Stage, main

STAGE = Stage("base", base, inputs=(), outputs=("base",), report="base/report.json")

if __name__ == "__main__":
    main(STAGE)
