"""The outputs of a validation: result.json and the Data Docs, byte-identical for the same data.

The library's own renderers make the page from a result without times, run ids and batch ids. Links to the network
(style sheets, scripts, a logo with the time in its URL, a newsletter) are removed: the page must be readable offline
and must not track its readers. A small style sheet replaces the linked ones. Values of the corpus and the recipe go
through the renderers, which do not escape all of them, without any character that means something to HTML.
"""

import re
from html import escape
from itertools import count
from pathlib import Path
from typing import Any

from tasks.formats.pages import POLICY
from tasks.stage.run import write_json
from tasks.validate.checks import Outcome

STYLE = """<style>
body { font: 15px/1.45 system-ui, sans-serif; margin: 0; color: #222; background: #fff; }
nav.navbar ol { list-style: none; display: flex; gap: 1em; padding: 1em 2em; margin: 0; }
.container-fluid.pt-4 { padding: 1em 2em; max-width: 75em; }
table { border-collapse: collapse; margin: .5em 0 1em; } td, th { border: 1px solid #ccc; padding: .35em .7em; }
td, th { text-align: left; vertical-align: top; } .ge-section { border-top: 1px solid #ddd; margin-top: 1em; }
.badge { background: #eee; border-radius: .3em; padding: 0 .35em; } code { font-size: 13px; }
.text-success::before { content: "\\2713 met"; color: #17712f; } .text-danger::before { content: "\\2717 not met"; }
.card:has(input[type=radio]) { display: none; } /* a filter that is a script's */
.text-danger, .alert-danger { color: #b3261e; } .text-warning::before { content: "\\26a0 not met"; color: #8a5a00; }
</style>
"""

NETWORK = re.compile(r"<(?:link|img)\b[^>]*>|<script\b.*?</script>|<footer\b.*?</footer>", re.DOTALL)
NETWORK_IMAGE = re.compile(r"url\(['\"]?https?:[^)]*\)")
OTHER_PAGES = re.compile(r'<a\b[^>]*href="\.\./[^"]*"[^>]*>(.*?)</a>', re.DOTALL)
HANDLERS = re.compile(r"""\son[a-z]+=(?:"[^"]*"|'[^']*')""")
"""Of the removed scripts."""
DISARMED = {character: chr(0xFDD0 + number) for number, character in enumerate("<>&\"'$`{}")}
"""Special characters of HTML and of the renderers' templates → characters that Unicode keeps out of texts."""
UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def write_validation(folder: Path, outcomes: list[Outcome], result: Any, documents: int) -> None:
    """Write `result.json` and `docs/index.html` into a new folder."""
    folder.mkdir(parents=True)
    write_json(folder / "result.json", _summary(outcomes, documents))
    (folder / "docs").mkdir()
    (folder / "docs" / "index.html").write_text(render_page(result), encoding="utf-8")


def render_page(result: Any) -> str:
    """The Data Docs page of a validation result."""
    from great_expectations.render.renderer.page_renderer import ValidationResultsPageRenderer
    from great_expectations.render.view.view import DefaultJinjaPageView

    result.meta = {"batch_kwargs": {"data_asset_name": "raw"}}
    for one in result.results:
        config: Any = one.expectation_config
        config.kwargs.pop("batch_id", None)
        config.kwargs, config.meta, config.notes = (_disarm(x) for x in (config.kwargs, config.meta, config.notes))
        one.result = _disarm(one.result)
        one.exception_info = _disarm(one.exception_info)
    page = DefaultJinjaPageView().render(ValidationResultsPageRenderer(run_info_at_end=True).render(result))
    page = NETWORK_IMAGE.sub("none", NETWORK.sub("", page))
    page = HANDLERS.sub("", OTHER_PAGES.sub(r"\1", page))
    numbers = count(1)
    names: dict[str, str] = {}
    page = UUID.sub(lambda found: names.setdefault(found.group(), f"part-{next(numbers)}"), page)
    page = "\n".join(line.rstrip() for line in page.splitlines() if line.strip()) + "\n"
    for character, place in DISARMED.items():
        for written in (place, f"\\u{ord(place):x}"):  # as JSON spells it
            page = page.replace(written, escape(character))
    return page.replace("<head>", f"<head>\n{POLICY}", 1).replace("</head>", f"{STYLE}</head>", 1)


def _disarm(value: Any) -> Any:
    if isinstance(value, dict):
        return {_disarm(key): _disarm(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set):
        return type(value)(map(_disarm, value))
    return (
        value.translate({ord(character): place for character, place in DISARMED.items()})
        if isinstance(value, str)
        else value
    )


def _summary(outcomes: list[Outcome], documents: int) -> dict[str, Any]:
    return {
        "success": all(outcome.success for outcome in outcomes),
        "documents": documents,
        "expectations": [
            {
                "expectation": outcome.settings.name,
                "arguments": outcome.settings.arguments,
                "severity": outcome.settings.severity,
                "success": outcome.success,
                "expected": outcome.expected,
                "observed": outcome.observed,
                "result": outcome.result,
            }
            for outcome in outcomes
        ],
    }
