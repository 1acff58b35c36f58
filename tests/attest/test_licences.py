"""The licences of several sources in the bill of materials."""

import json

from tasks.attest.bom import _licences


def test_licences_of_several_sources_are_each_told_once() -> None:
    from cyclonedx.model.bom import Bom
    from cyclonedx.model.component import Component, ComponentType
    from cyclonedx.output.json import JsonV1Dot6

    def told(*texts: str | None) -> list[dict[str, object]]:
        component = Component(name="raw", type=ComponentType.DATA, licenses=_licences(*texts))
        return list(json.loads(JsonV1Dot6(Bom(components=[component])).output_as_string())["components"][0]["licenses"])

    assert told("MIT OR Apache-2.0") == [{"expression": "MIT OR Apache-2.0"}]
    found = told("MIT", "MIT OR Apache-2.0", "MIT", None, "my own")
    assert sorted(str(each["license"]) for each in found) == [
        "{'id': 'MIT'}", "{'name': 'MIT OR Apache-2.0'}", "{'name': 'my own'}"
    ]  # fmt: skip
