"""`python -m tasks.code`: see `tasks.code`."""

import sys

from tasks.code.versions import write_versions
from tasks.stage.errors import GristmillError
from tasks.stage.inputs import Snapshot

if __name__ == "__main__":
    try:
        before = Snapshot("code")
        write_versions()
        before.require_unchanged()
    except GristmillError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)
