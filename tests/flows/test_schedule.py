"""A schedule on a real server, and the errors if it cannot be created."""

import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tasks.stage.errors import GristmillError, TransientError
from tasks.stage.runtime import keep_loopback_direct
from tests.scratch import ROOT


def test_a_recipe_has_one_deployment_with_its_last_schedule(prefect_api, monkeypatch) -> None:
    from prefect.client.orchestration import get_client

    from flows.schedule import pause, schedule, unschedule

    monkeypatch.chdir(ROOT)
    assert "worker start --pool mill" in schedule("toy", "0 2 * * *", pool="mill")
    schedule("toy", "0 3 * * *", "Europe/Berlin", pool="mill")
    with get_client(sync_client=True) as client:
        found = client.read_deployments()
    (mine,) = (deployment for deployment in found if deployment.name == "toy")
    assert [(one.schedule.cron, one.schedule.timezone) for one in mine.schedules] == [("0 3 * * *", "Europe/Berlin")]
    assert (mine.parameters, mine.work_pool_name) == ({"recipe": "toy"}, "mill")
    assert mine.global_concurrency_limit is None  # a killed run would keep its slot
    assert pause("toy") == "gristmill/toy: paused; gristmill pause toy --resume"
    with get_client(sync_client=True) as client:
        assert client.read_deployment(mine.id).paused
        assert pause("toy", resume=True).endswith("runs again as scheduled")
        assert not client.read_deployment(mine.id).paused
    assert unschedule("toy") == "gristmill/toy: no longer scheduled"
    for work in (unschedule, pause):
        with pytest.raises(GristmillError, match="gristmill/toy: not scheduled on this Prefect server"):
            work("toy")


@pytest.mark.parametrize(("cron", "timezone"), [("at noon", "UTC"), ("0 2 * * *", "Mars"), ("0 2 * * *", "")])
def test_what_is_no_schedule_is_told(prefect_api, cron: str, timezone: str) -> None:
    from flows.schedule import schedule

    with pytest.raises(GristmillError, match=f"--cron '.*', --timezone '{timezone}': not a valid schedule"):
        schedule("toy", cron, timezone)


class Gateway(BaseHTTPRequestHandler):
    """A server that stands before Prefect's and wants a header."""

    def do_GET(self) -> None:
        if self.path.startswith("/moved"):
            self.send_response(301)
            self.send_header("Location", self.path.removeprefix("/moved"))
            self.end_headers()
            return
        known = self.headers.get("X-Key") == "open"
        body = {"/api/hello": b'"hello"', "/api/admin/version": b'"3.8.8"'}.get(self.path) if known else b"{}"
        self.send_response((200 if body else 404) if known else 401)
        self.end_headers()
        self.wfile.write(body or b"<html>")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def gateway() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Gateway) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/api"
        server.shutdown()


@pytest.mark.parametrize("end", ["", "/"])
def test_a_server_behind_a_gateway_is_asked_as_prefect_asks_it(gateway: str, end: str) -> None:
    from prefect.settings import PREFECT_API_URL, PREFECT_CLIENT_CUSTOM_HEADERS, temporary_settings

    from flows.api import reachable_api

    with temporary_settings({PREFECT_API_URL: gateway + end}):
        with pytest.raises(GristmillError, match=r"answers with HTTP 401; set PREFECT_API_AUTH"), reachable_api():
            pass
        with temporary_settings({PREFECT_CLIENT_CUSTOM_HEADERS: {"X-Key": "open"}}), reachable_api():
            pass


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda url: url.replace("/api", "/moved/api"), r"redirects to http://\S+/api; set it to that"),
        (lambda url: url.replace("/api", ""), "HTTP 404; Prefect's API usually ends with /api"),
        (lambda url: url.replace("http:", "https:"), "does not speak https; set it to http"),
    ],
)
def test_a_url_that_is_almost_right_names_the_right_one(gateway: str, change, sentence: str) -> None:
    from prefect.settings import PREFECT_API_URL, PREFECT_CLIENT_CUSTOM_HEADERS, temporary_settings

    from flows.api import reachable_api

    changes = {PREFECT_API_URL: change(gateway), PREFECT_CLIENT_CUSTOM_HEADERS: {"X-Key": "open"}}
    with temporary_settings(changes), pytest.raises(GristmillError, match=sentence) as told, reachable_api():
        pass
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("file", ["absent.pem", __file__])
def test_a_file_without_certificates_is_named(gateway: str, file: str) -> None:
    from prefect.settings import PREFECT_API_SSL_CERT_FILE, PREFECT_API_URL, temporary_settings

    from flows.api import reachable_api

    changes = {PREFECT_API_URL: gateway.replace("http:", "https:"), PREFECT_API_SSL_CERT_FILE: file}
    sentence = f"PREFECT_API_SSL_CERT_FILE: {file}: not a file of certificates"
    with temporary_settings(changes), pytest.raises(GristmillError, match=sentence), reachable_api():
        pass


@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:9", "socks://127.0.0.1:9"])
def test_a_proxy_that_httpx_cannot_use_is_named_but_for_a_server_on_this_machine(
    gateway: str, monkeypatch, tmp_path, proxy: str
) -> None:
    from prefect.settings import PREFECT_API_URL, PREFECT_CLIENT_CUSTOM_HEADERS, temporary_settings

    from flows.api import reachable_api
    from flows.launch import launch

    monkeypatch.setenv("ALL_PROXY", proxy)
    monkeypatch.setenv("no_proxy", "a.example")
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}{os.pathsep}{tmp_path}")
    (tmp_path / "says_no_proxy.py").write_text("import os; print(os.environ['no_proxy'])")
    changes = {PREFECT_API_URL: gateway, PREFECT_CLIENT_CUSTOM_HEADERS: {"X-Key": "open"}}
    lines: list[str] = []
    with temporary_settings(changes), reachable_api():
        launch("says_no_proxy", [], lines.append)
    assert (lines, os.environ["no_proxy"]) == (["a.example,127.0.0.1,localhost,::1"], "a.example")
    elsewhere = temporary_settings({PREFECT_API_URL: "http://example.test/api"})
    with elsewhere, pytest.raises(GristmillError, match="the proxy in ALL_PROXY cannot be used"), reachable_api():
        pass


def test_a_server_on_this_machine_is_not_asked_through_a_proxy(gateway: str, monkeypatch) -> None:
    from prefect.settings import PREFECT_API_URL, PREFECT_CLIENT_CUSTOM_HEADERS, temporary_settings

    from flows.api import reachable_api

    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "example.com")
    keep_loopback_direct()
    assert os.environ["no_proxy"] == "example.com,127.0.0.1,localhost,::1"
    for place in (gateway, gateway.replace("127.0.0.1", "localhost")):
        changes = {PREFECT_API_URL: place, PREFECT_CLIENT_CUSTOM_HEADERS: {"X-Key": "open"}}
        with temporary_settings(changes), reachable_api():
            pass


@pytest.mark.parametrize(
    ("url", "error", "sentence"),
    [
        ("", GristmillError, "PREFECT_API_URL: not set"),
        ("http://host:port/api", GristmillError, "is not a valid URL"),
        ("nowhere", GristmillError, "is not a valid URL"),
        ("http://127.0.0.1:9/api", TransientError, "no Prefect server answers"),
    ],
)
def test_a_server_that_is_none_is_told(url: str, error: type[GristmillError], sentence: str) -> None:
    from prefect.settings import PREFECT_API_URL, temporary_settings

    from flows.schedule import schedule

    with temporary_settings({PREFECT_API_URL: url}), pytest.raises(error, match=sentence) as told:
        schedule("toy", "0 2 * * *")
    assert type(told.value) is error
