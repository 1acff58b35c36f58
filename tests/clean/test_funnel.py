from pathlib import Path
from typing import get_args

from tasks.clean.documents import LINES, MASKED, REWRITTEN
from tasks.clean.funnel import GROUPS, Step, draw_funnel, funnel
from tasks.clean.rules.privacy.settings import Kind
from tasks.clean.rules.quality.rules import FINEWEB, GOPHER_QUALITY, GOPHER_REPETITION
from tasks.stage.run import Drop

DROPPED = [
    Drop("near_duplicate", 3, bytes=300),
    Drop("too_few_words", 5, bytes=50),
    Drop("target_too_few_words", 1, bytes=10),
    Drop("email", 1, bytes=40),
]


def test_what_is_left_is_told_in_the_order_of_the_rules(tmp_path: Path) -> None:
    behind = {REWRITTEN: 2000, LINES: 1990, MASKED: 1910}
    steps = funnel(20, 2100, behind, 1500, DROPPED)
    assert steps == [
        Step("received", 20, 2100),
        Step("rewritten", 20, 2000),
        Step("length", 14, 1940),
        Step("lines dropped", 14, 1930),
        Step("personal data replaced", 14, 1850),
        Step("personal data", 13, 1810),
        Step("near-duplicates", 10, 1510),
        Step("repeated paragraphs cut", 10, 1500),
    ]
    nothing_cut = dict.fromkeys(behind, 1900)
    assert [step.rules for step in funnel(20, 1900, nothing_cut, 1500, DROPPED)] == [
        "received", "length", "personal data", "near-duplicates"
    ]  # fmt: skip
    assert funnel(0, 0, dict.fromkeys(behind, 0), 0, []) == [Step("received", 0, 0)]
    for name in ("one.png", "two.png"):
        draw_funnel(tmp_path / name, steps, "a $recipe$")
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()


def test_every_reason_belongs_to_a_group() -> None:
    rules = {rule.reason for rule in (*GOPHER_REPETITION, *GOPHER_QUALITY, *FINEWEB)}
    assert rules | set(get_args(Kind)) <= GROUPS.keys()
