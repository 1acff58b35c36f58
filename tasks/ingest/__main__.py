"""`python -m tasks.ingest shakespeare`."""

from tasks.ingest.work import ingest
from tasks.stage.run import Stage, main

STAGE = Stage("ingest", ingest, inputs=(), outputs=("raw",), report="raw/report.json")

if __name__ == "__main__":
    main(STAGE)
