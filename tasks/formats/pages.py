"""HTML pages that may be mailed around and that show texts of strangers."""

POLICY = (
    '<meta http-equiv="Content-Security-Policy" '
    "content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'none'; base-uri 'none'\">"
)
"""Goes first into the head of every page: no script runs, and nothing is loaded or sent."""
