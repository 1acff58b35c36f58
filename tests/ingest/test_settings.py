"""The section `ingest`: selected by kind, strict, cheap to import."""

import subprocess
import sys

import pytest

from tasks.stage.errors import RecipeError

GOOD = {"kind": "files", "files": ["a.txt"]}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "ftp"}, r"recipes/x\.yaml: ingest\.kind: expected one of files, package, url, hub, apt, not \"ftp\""),
        ({"fils": 1}, r"recipes/x\.yaml: ingest\.fils: unknown key; did you mean files\?"),
        ({"files": []}, r"recipes/x\.yaml: ingest\.files: .*at least 1"),
        ({"files": ["/etc/passwd"]}, r"recipes/x\.yaml: ingest\.files\.0: must be relative"),
        (
            {"files": ["*.txt", "gs://b/*.txt"]},
            r"recipes/x\.yaml: ingest\.files\.1: gs://b/\*\.txt is a URL, not a path; fetch",
        ),
        ({"licence": ""}, r"recipes/x\.yaml: ingest\.licence: "),
        (
            {"documents": {"label_column": "x", "label_pattern": "y"}},
            r".*ingest\.documents: label_column and label_pattern are mutually exclusive",
        ),
        (
            {"documents": {"group_column": "a", "group_pattern": "b"}},
            r".*ingest\.documents: group_column and group_pattern are mutually exclusive",
        ),
        ({"documents": {"split_at": "("}}, r".*ingest\.documents\.split_at: not a valid regular expression: "),
        ({"kind": "url", "url": "ftp://x/y.txt", "sha256": "0" * 64}, r".*ingest\.url: "),
        ({"kind": "package", "name": "a", "version": "1 --pre", "sha256": "0" * 64}, r".*ingest\.version: "),
        ({"kind": "package", "name": "-r", "version": "1", "sha256": "0" * 64}, r".*ingest\.name: "),
        ({"kind": "package", "name": "a", "version": "1", "sha256": "0"}, r".*ingest\.sha256: "),
    ],
)
def test_a_wrong_key_is_told(run, change, message):
    with pytest.raises(RecipeError, match=f"^{message}"):
        run(**{**GOOD, **change})


def test_settings_are_light_to_import():
    heavy = "{'pyarrow', 'numpy', 'datasets', 'markdown_it', 'httpx', 'zstandard'} & set(sys.modules)"
    code = f"import sys; import tasks.ingest.settings; import tasks.ingest.__main__; print({heavy})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
