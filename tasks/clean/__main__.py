"""`python -m tasks.clean <recipe>`."""

from tasks.clean.work import clean
from tasks.stage.run import Stage, main

STAGE = Stage("clean", clean, inputs=("valid",), outputs=("clean",), report="clean/report.json")

if __name__ == "__main__":
    main(STAGE)
