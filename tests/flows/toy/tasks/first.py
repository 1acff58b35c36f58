"""`python -m tasks.first toy`: reads the recipe, writes first/text.txt."""

from pydantic import BaseModel

from tasks.behaviour import act
from tasks.stage.run import Job, Report, Stage, main
from tasks.stage.settings import read_section


class Settings(BaseModel):
    text: str


def work(job: Job) -> Report:
    act("first")
    job.say("a line for the log")
    folder = job.output("first")
    folder.mkdir()
    (folder / "text.txt").write_text(read_section(job.recipe, "first", Settings).text)
    return Report(produced={"documents": 1})


STAGE = Stage("first", work, inputs=(), outputs=("first",), report="first/report.json")

if __name__ == "__main__":
    main(STAGE)
