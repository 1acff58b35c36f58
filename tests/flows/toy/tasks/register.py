"""`python -m tasks.register toy`: record the attempt and write registration.json."""

from tasks.behaviour import act
from tasks.stage.run import Job, Report, Stage, main, write_json


def work(job: Job) -> Report:
    act("register")
    write_json(
        job.folder / "registration.json", {"version": 1, "alias": "champion", "experiment_id": "7", "run_id": "1a2b"}
    )
    job.output("none.json").write_text("{}")
    return Report()


STAGE = Stage("register", work, (), ("none.json",), "registered.json")

if __name__ == "__main__":
    main(STAGE)
