"""`python -m tasks.ingest shakespeare`."""

from tasks.contract.stage import Stage, main
from tasks.ingest.work import ingest

STAGE = Stage("ingest", ingest, inputs=(), outputs=("raw",), report="raw/report.json")

if __name__ == "__main__":
    main(STAGE)
