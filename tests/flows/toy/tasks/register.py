"""`python -m tasks.register toy`: record the attempt, write registration.json, and note an event of the ledger."""

from tasks.behaviour import act
from tasks.stage.run import Job, Report, Stage, main, write_json

EVENT = {
    "time": "2026-11-27T21:23:51.123456Z", "event": "promoted", "version": 1, "before": None, "after": 1,
    "verdict": {"verdict": "better", "gain": 0.5}, "reason": "better", "run": "1a2b", "person": "a mill",
}  # fmt: skip


def work(job: Job) -> Report:
    act("register")
    write_json(
        job.folder / "registration.json", {"version": 1, "alias": "champion", "experiment_id": "7", "run_id": "1a2b"}
    )
    write_json(job.folder / "ledger.json", {"model": "toys", "appended": [EVENT]})
    job.output("none.json").write_text("{}")
    return Report()


STAGE = Stage("register", work, (), ("none.json",), "registered.json")

if __name__ == "__main__":
    main(STAGE)
