"""`python -m tasks.code`: see `tasks.code`."""

from tasks.code.versions import write_versions
from tasks.stage.inputs import Snapshot
from tasks.stage.run import end


def code() -> None:
    """Run the stage `code`."""
    before = Snapshot("code")
    write_versions()
    before.require_unchanged()


if __name__ == "__main__":
    end("code", code, "code")
