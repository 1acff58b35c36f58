"""Run by `python -m tasks.tokenize <recipe>`."""

from tasks.stage.run import Stage, main
from tasks.tokenize.work import tokenize

STAGE = Stage("tokenize", tokenize, ("base", "clean"), ("tokenizer", "tokens"), "tokens/report.json")

if __name__ == "__main__":
    main(STAGE)
