"""`python -m tasks.second toy`: reads first/, writes second/ and the metrics."""

from pydantic import BaseModel

from tasks.behaviour import act
from tasks.stage.run import Drop, Job, Report, Stage, main, write_json
from tasks.stage.settings import read_section


class Settings(BaseModel):
    text: str


def work(job: Job) -> Report:
    act("second")
    text = (job.input("first") / "text.txt").read_text()
    folder = job.output("second")
    folder.mkdir()
    (folder / "text.txt").write_text(f"{text} {read_section(job.recipe, 'second', Settings).text}")
    write_json(job.output("evaluation/metrics.json"), {"bits_per_byte": 1.5, "signature": "a:1|b:2"})
    return Report({"documents": 1}, {"documents": 1}, [Drop("too_short", 2, ["a (3 words)"])])


STAGE = Stage(
    "second",
    work,
    ("first",),
    ("second", "evaluation/metrics.json", "evaluation/report.json"),
    "evaluation/report.json",
)

if __name__ == "__main__":
    main(STAGE)
