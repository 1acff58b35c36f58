"""US social security numbers: area, group and serial number, separated by two hyphens or spaces.

Areas are 001 to 899 except 666, groups 01 to 99, serial numbers 0001 to 9999 (Social Security Administration, "Social
Security Number Randomization", https://www.ssa.gov/employer/randomization.html). Nine digits in a row are ignored.
"""

from tasks.clean.compiled import helper
from tasks.clean.rules.privacy.characters import (
    BLANK,
    HYPHEN,
    Text,
    begins,
    beside_number,
    digits_from,
    number_at,
    separator,
    stops,
)

NOBODYS = (78_05_1120, 219_09_9999, 123_45_6789)
"""Printed in wallets and advertisements, or typed as a dummy."""


@helper
def us_ssn(text: Text, at: int, begin: int, end: int) -> int:
    """End of the number with its first digit at `at`; -1 if none."""
    if digits_from(text, at, end) != 3 or not begins(text, at, begin):
        return -1
    kind, width = separator(text, at + 3, end)
    if kind != HYPHEN and kind != BLANK:
        return -1
    group = at + 3 + width
    second, second_width = separator(text, group + 2, end)
    serial = group + 2 + second_width
    if digits_from(text, group, end) != 2 or second != kind or digits_from(text, serial, end) != 4:
        return -1
    if not stops(text, serial + 4, end) or (kind == BLANK and beside_number(text, at, serial + 4, begin, end)):
        return -1
    area, middle, last = number_at(text, at, 3, 0), number_at(text, group, 2, 0), number_at(text, serial, 4, 0)
    if area == 0 or area == 666 or area >= 900 or middle == 0 or last == 0:
        return -1
    return -1 if (area * 100 + middle) * 10000 + last in NOBODYS else serial + 4
