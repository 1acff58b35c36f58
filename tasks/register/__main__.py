"""`python -m tasks.register RECIPE`."""

from tasks.register.registration import run
from tasks.stage.run import command_line

if __name__ == "__main__":
    command_line("register", run)
