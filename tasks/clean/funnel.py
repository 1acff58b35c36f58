"""What is left of a corpus after each group of rules, in order: numbers for the report, and a plot.

In:  sizes before and after cleaning, bytes cut from documents, and drops by reason. Text cut from a document that is
later dropped counts as cut.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tasks.clean.documents import LINES, MASKED, REWRITTEN
from tasks.clean.rules.privacy.settings import KINDS
from tasks.clean.rules.quality.rules import FINEWEB, GOPHER_QUALITY, GOPHER_REPETITION
from tasks.formats.figures import FAINT, INK, TRAIN, bars_of_shares, dress, new_figure, save
from tasks.stage.run import Drop

GROUPS: dict[str, str] = {
    **dict.fromkeys(
        ["too_few_characters", "too_many_characters", "too_few_words", "too_many_words", "empty_turn"], "length"
    ),
    "rare_label": "rare labels",
    **dict.fromkeys(["length_ratio", "identical_sides", "same_answers"], "pairs"),
    "other_language": "language",
    **{rule.reason: "Gopher, repetition" for rule in GOPHER_REPETITION},
    **{rule.reason: "Gopher, quality" for rule in GOPHER_QUALITY},
    **dict.fromkeys(["c4_placeholder_phrase", "c4_code_phrase", "c4_too_few_sentences", "c4_no_line_left"], "C4"),
    **{rule.reason: "FineWeb" for rule in FINEWEB},
    "blocked_words": "blocked words",
    **{kind: "personal data" for kind in KINDS},
    "duplicate": "duplicates",
    "near_duplicate": "near-duplicates",
    "contaminated": "contamination",
    "duplicate_paragraphs": "repeated paragraphs",
}
"""Group of rules by drop reason, in the order in which the rules run."""

CUT = "repeated paragraphs cut"
CUTTING = {"C4": (LINES, "lines dropped"), "personal data": (MASKED, "personal data replaced")}
"""By the group of rules that follows a cut: the step that cuts text, and its label."""


@dataclass(frozen=True)
class Step:
    """What is left after one group of rules."""

    rules: str
    documents: int
    bytes: int


def funnel(documents: int, received: int, behind: Mapping[str, int], kept: int, dropped: Sequence[Drop]) -> list[Step]:
    """The input, then what is left after each step that cut text and each group of rules that dropped documents.

    `received`, `kept`: bytes before and after all rules. `behind`: bytes of all documents after each step that changes
    texts: REWRITTEN, LINES, MASKED.
    """
    gone: dict[str, tuple[int, int]] = {}
    for drop in dropped:
        group = GROUPS[drop.reason.removeprefix("target_")]
        others, size = gone.get(group, (0, 0))
        gone[group] = others + drop.documents, size + drop.bytes
    steps = [Step("received", documents, received)]

    def leave(name: str, documents: int, size: int) -> None:
        if documents or size:
            steps.append(Step(name, steps[-1].documents - documents, steps[-1].bytes - size))

    leave("rewritten", 0, received - behind[REWRITTEN])
    before = behind[REWRITTEN]
    for group in dict.fromkeys(GROUPS.values()):
        if group in CUTTING:
            step, name = CUTTING[group]
            leave(name, 0, before - behind[step])
            before = behind[step]
        leave(group, *gone.get(group, (0, 0)))
    leave(CUT, 0, steps[-1].bytes - kept)
    return steps


def draw_funnel(path: Path, steps: Sequence[Step], recipe: str) -> None:
    """One bar per step: its documents and bytes as fractions of the input."""
    figure = new_figure(8, 1 + 0.45 * len(steps))
    axes = figure.subplots()
    for kind, offset, colour in (("documents", -0.19, TRAIN), ("bytes", 0.19, FAINT)):
        first = max(getattr(steps[0], kind), 1)
        shares = [getattr(step, kind) / first for step in steps]
        places = [number + offset for number in range(len(steps))]
        axes.barh(places, shares, 0.36, color=colour, label=kind)
        for place, share, step in zip(places, shares, steps, strict=True):
            axes.text(share + 0.01, place, f"{getattr(step, kind):,}", va="center", fontsize=8, color=INK)
    bars_of_shares(axes, [step.rules for step in steps], 1.22)
    axes.legend(frameon=False, loc="lower right")
    dress(figure, f"{recipe}: what is left after each group of rules", grid=False)
    save(figure, path)
