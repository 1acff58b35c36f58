"""Markdown becomes the text that a reader sees."""

import pytest

from tasks.ingest.markdown import markdown_to_text


@pytest.mark.parametrize(
    ("markdown", "text"),
    [
        ("**ROMEO**  \nBut, soft! what _light_  \nthrough yonder", "ROMEO\nBut, soft! what light\nthrough yonder"),
        ("# Title    \nSoft\nbreak\n\n\n\nNext", "Title\n\nSoft\nbreak\n\nNext"),
        ("_Enter SAMPSON, armed with\nbucklers_\n\n**SAMPSON**", "Enter SAMPSON, armed with\nbucklers\n\nSAMPSON"),
        ("Tom &amp; Jerry &mdash; 5 &lt; 6 \\* \\[x] a\\--b", "Tom & Jerry — 5 < 6 * [x] a--b"),
        ("a [link](http://x.y/ 'title') and ![an *image*](z.png)", "a link and an image"),
        ("a <b>bold</b> word<br>\n\n<div>in <i>a</i> &amp; block</div>", "a bold word\n\nin a & block"),
        ("<!-- nothing -->\n\ntext", "text"),
        ("- one\n- two\n  - three\n\n3. c\n4. d", "- one\n- two\n  - three\n\n3. c\n4. d"),
        ("> quoted\n> twice\n\n---\n\nend", "quoted\ntwice\n\nend"),
        ("```python\nx = 1\n\n# y\n```\n\n    indented", "x = 1\n\n# y\n\nindented"),
        ("| a | b |\n|---|---|\n| 1 | *2* |", "a\tb\n1\t2"),
        ("`code *here*`", "code *here*"),
        ("a\0b", "a\0b"),
        ("", ""),
    ],
)
def test_marks_vanish_and_line_breaks_stay(markdown, text):
    assert markdown_to_text(markdown) == text
