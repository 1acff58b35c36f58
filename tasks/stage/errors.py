"""Errors as one sentence that names the file and the key. Only bugs print a traceback."""

from tasks.stage.redact import redact

EXIT_USER = 2
"""The user can fix it: a recipe, a file, a disk, a permission."""

EXIT_TRANSIENT = 75
"""It may pass by itself (EX_TEMPFAIL of sysexits.h): a network, a busy server. Only these errors are retried."""

EXIT_STOPPED = 130
"""Ctrl-C, as shells report it."""


class GristmillError(Exception):
    """An error that the user can fix; its text is one sentence for them, without secrets."""

    exit_code = EXIT_USER

    def __init__(self, *arguments: object) -> None:
        super().__init__(*(redact(each) if isinstance(each, str) else each for each in arguments))


class RecipeError(GristmillError):
    """One or more bad keys in a recipe, one line per key: `recipes/x.yaml: clean.min_words: …`."""


class DataError(GristmillError):
    """An unusable file or row; the text says which: `data/x/raw/part-00003.parquet row 17: …`."""


class TransientError(GristmillError):
    """An external failure; a retry may succeed."""

    exit_code = EXIT_TRANSIENT


def one_line(text: object) -> str:
    """An error's text, or any other, on one line."""
    return " ".join(str(text).split())
