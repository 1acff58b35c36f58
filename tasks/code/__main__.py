"""`python -m tasks.code`: see `tasks.code`."""

import sys

from tasks.code.versions import write_versions
from tasks.stage.errors import GristmillError

if __name__ == "__main__":
    try:
        write_versions()
    except GristmillError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)
