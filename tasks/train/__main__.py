"""`python -m tasks.train shakespeare`: see `tasks.train`."""

from tasks.stage.run import Job, Report, Stage, command_line, run
from tasks.train.launch import launched, read_launch, take_part
from tasks.train.work import INPUTS, OUTPUTS, train


def work(job: Job) -> Report:
    """Train in this process, or in those of GRISTMILL_LAUNCH."""
    launch = read_launch()
    return train(job) if launch is None else launched(job, launch)


STAGE = Stage("train", work, inputs=INPUTS, outputs=OUTPUTS, report="training/report.json")


def start(recipe: str) -> None:
    """Run the stage, or this machine's part in that of another one."""
    launch = read_launch()
    if launch is not None and launch.number > 0:
        take_part(recipe, launch)
    else:
        run(STAGE, recipe)


if __name__ == "__main__":
    command_line(STAGE.name, start)
