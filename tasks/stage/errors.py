"""What goes wrong, told in one sentence that names the file and the key. A traceback is for bugs only."""

EXIT_USER = 2
"""The user can mend it: a recipe, a file, a disk, a permission."""

EXIT_TRANSIENT = 75
"""It may pass by itself (EX_TEMPFAIL of sysexits.h): a network, a busy server. Only this one is worth a retry."""


class GristmillError(Exception):
    """A mistake that the user can mend; its text is one sentence for them."""

    exit_code = EXIT_USER


class RecipeError(GristmillError):
    """One or more keys of a recipe are wrong; the text has a line per key, `recipes/x.yaml: clean.min_words: …`."""


class DataError(GristmillError):
    """A file or row cannot be used; the text says which, `data/x/raw/part-00003.parquet row 17: …`."""


class TransientError(GristmillError):
    """Something outside failed that may work the next time."""

    exit_code = EXIT_TRANSIENT
