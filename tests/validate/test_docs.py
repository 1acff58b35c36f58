"""The Data Docs of a corpus that wants to run a script in its reader's browser."""

from html.parser import HTMLParser
from pathlib import Path

import pytest

from tasks.stage.errors import GristmillError
from tasks.stage.run import run
from tasks.validate.__main__ import STAGE
from tests.validate.test_stage import DATA, project

HOSTILE = (
    "<svg onload=alert(1)>",
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</td></table><iframe src=javascript:alert(1)>",
    "&lt;svg onload=alert(1)&gt; &amp;",
    "$column ${v__0} {{ 7 * 7 }} {% raw %}",
    "<a href='javascript:alert(1)'>x</a>",
)
EXPECTATIONS = """
  expectations:
    - {expectation: expect_column_values_to_be_in_set, column: text, value_set: ["<b onclick=1>"], severity: critical}
    - {expectation: expect_column_distinct_values_to_be_in_set, column: label, value_set: [a], severity: critical}
    - {expectation: expect_column_most_common_value_to_be_in_set, column: label, value_set: [a], severity: critical}
    - {expectation: expect_column_values_to_match_regex, column: target, regex: "^<u onfocus=1>$", severity: critical}
    - {expectation: expect_column_values_to_not_be_null, column: label, notes: "<u onload=1>", severity: critical}
    - {expectation: expect_column_min_to_be_between, column: words, min_value: 99, severity: critical}
    - {expectation: expect_column_pair_values_to_be_equal, column_A: text, column_B: target, severity: critical}
    - {expectation: expect_column_values_to_be_unique, column: label, severity: critical}"""


class Tags(HTMLParser):
    """The elements with their attributes, and the text a reader sees."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.seen = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.seen += data


def test_what_a_corpus_says_is_shown_and_never_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    project(EXPECTATIONS, [*HOSTILE], target=[f"t {text}" for text in HOSTILE], label=[*HOSTILE])
    with pytest.raises(GristmillError, match="critical expectations not met"):
        run(STAGE, "small")
    assert "Traceback" not in caplog.text  # of a renderer that fails
    page = Tags((DATA / "validation-failed/docs/index.html").read_text(encoding="utf-8"))
    for tag, attributes in page.elements:
        assert tag not in ("svg", "script", "iframe", "img", "b", "u", "object"), tag
        assert not [name for name in attributes if name.startswith("on")], attributes
        assert not (attributes.get("href") or "").startswith("javascript"), attributes
    for text in (*HOSTILE, "<b onclick=1>", "^<u onfocus=1>$"):
        assert text in page.seen, text
    (policy,) = [attributes for _, attributes in page.elements if attributes.get("http-equiv")]
    assert policy["http-equiv"] == "Content-Security-Policy" and "default-src 'none'" in str(policy["content"])
