"""`python -m tasks.clean <recipe>`."""

from tasks.clean.stage import clean
from tasks.contract.stage import Stage, main

STAGE = Stage("clean", clean, inputs=("valid",), outputs=("clean",), report="clean/report.json")

if __name__ == "__main__":
    main(STAGE)
