"""Count personal data and secrets in a column of texts, and replace them with placeholders."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tasks.clean.rules.privacy.settings import KINDS, SPECIAL, PrivacySettings
from tasks.clean.spans import replace_all
from tasks.clean.verdict import Verdict

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Masked:
    """A column after masking. Holds counts of the findings, never their values."""

    column: "pa.LargeStringArray"
    """The texts with placeholders; the input column itself if nothing was replaced."""
    counts: "NDArray[np.int32]"
    """Matches per text and kind [texts, len(KINDS)]."""

    def totals(self) -> dict[str, dict[str, int]]:
        """Per kind that was found: the number of matches, and of texts with one."""
        found = zip(KINDS, self.counts.sum(axis=0).tolist(), (self.counts > 0).sum(axis=0).tolist(), strict=True)
        return {kind: {"found": total, "documents": documents} for kind, total, documents in found if total}


def mask(column: "pa.Array", settings: PrivacySettings) -> Masked:
    """Find personal data and secrets in a column of strings (nulls stay null) and treat them as the settings say.

    Each text is masked independently of all others, and masking twice changes nothing. Costs one search of all texts;
    texts with a replacement are searched again, and the column is then copied once. The first call in a process loads
    the compiled search, or compiles it.
    """
    import numpy as np

    from tasks.clean.rules.privacy.search import search

    ranges = np.array([name in settings.special_addresses for name in SPECIAL] + [True])
    placeholders = [settings.placeholder(kind) for kind in KINDS]
    return Masked(*replace_all(column, lambda data, offsets, _: search(data, offsets, ranges), placeholders))


def dropped(counts: "NDArray[np.int32]", settings: PrivacySettings) -> Mapping[int, Verdict]:
    """The texts to drop, by row; the reason is the first kind with more matches than its threshold."""
    found: dict[int, Verdict] = {}
    for place, kind in enumerate(KINDS):
        treatment = settings.treatment(kind)
        if treatment.action == "drop":
            for row in (counts[:, place] > treatment.threshold).nonzero()[0].tolist():
                found.setdefault(row, Verdict(kind, str(counts[row, place]), str(treatment.threshold)))
    return found
