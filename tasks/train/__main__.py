"""`python -m tasks.train shakespeare`: see `tasks.train`."""

from tasks.stage.run import Stage, main
from tasks.train.work import train

STAGE = Stage(
    "train",
    train,
    inputs=("base", "tokenizer", "tokens/train", "tokens/validation"),
    outputs=("model", "training/history.csv", "training/report.json"),
    report="training/report.json",
)

if __name__ == "__main__":
    main(STAGE)
