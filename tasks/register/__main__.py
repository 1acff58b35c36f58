"""`python -m tasks.register RECIPE`."""

from tasks.contract.stage import command_line
from tasks.register.registration import run

if __name__ == "__main__":
    command_line("register", run)
