"""Plain requests of a HAR, or of mitmproxy flows, near its attempts: which are taken, whose, and how many."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from mitmproxy import flow as base
from mitmproxy import http
from mitmproxy.io import FlowWriter
from mitmproxy.test import tflow

from wsinspect.capture.reader import Capture
from wsinspect.clients.nearby import MAX_URL, MOST_BEFORE
from wsinspect.formats.importing import import_file
from wsinspect.present.requests import Asked, asked_of

START_S = 1_700_000_000
BROWSER = "Mozilla/5.0 (X11) Chrome/156"


def date(second: float) -> str:
    return f"2023-11-14T22:{13 + int(20 + second) // 60:02d}:{(20 + second) % 60:06.3f}Z"


def entry(second: float, url: str, status: int = 200, method: str = "GET", **more: Any) -> dict[str, Any]:
    """An entry of a HAR; `fields` of its request, `answer` those of its response."""
    headers = [{"name": name, "value": value} for name, value in more.pop("fields", {}).items()]
    answer = [{"name": name, "value": value} for name, value in more.pop("answer", {}).items()]
    return {
        "startedDateTime": date(second),
        "time": 30,
        "request": {"method": method, "url": url, "httpVersion": "HTTP/1.1", "headers": headers},
        "response": {"status": status, "statusText": "", "httpVersion": "HTTP/1.1", "headers": answer},
        "timings": {"send": 0, "wait": 20, "receive": 10},
        **more,
    }


def socket(second: float, status: int = 101) -> dict[str, Any]:
    return entry(second, "wss://app.example/ws", status, _resourceType="websocket", _webSocketMessages=[])


def near(tmp_path: Path, entries: Sequence[Any]) -> list[list[Asked]]:
    """The requests of each connection of a HAR."""
    source = tmp_path / "a.har"
    source.write_text(json.dumps({"log": {"version": "1.2", "entries": entries}}))
    return read(tmp_path, source)


def read(tmp_path: Path, source: Path) -> list[list[Asked]]:
    target = tmp_path / "a.db"
    import_file(source, target)
    with Capture.open(target) as capture:
        return [asked_of(capture.events(one.id)) for one in capture.connections()]


def words(asked: Sequence[Asked]) -> list[tuple[str | None, int | None, str | None]]:
    return [((one.facts.url or "").rpartition("/")[2], one.facts.status, one.facts.what) for one in asked]


def test_har_what_came_just_before_and_soon_after(tmp_path: Path) -> None:
    [first, second] = near(
        tmp_path,
        [
            entry(-40, "https://app.example/long-ago"),
            entry(-3, "https://app.example/", fields={"Accept": "text/html"}),
            entry(-2, "https://app.example/app.js", _resourceType="script"),
            entry(-1.5, "https://app.example/gone.js", 404, _resourceType="script"),
            entry(
                -1, "https://app.example/token", 401, "POST", answer={"Content-Type": "application/json; a=b"}
            ),
            socket(0, 401),
            entry(1, "https://app.example/negotiate?v=1", method="POST"),
            entry(2, "https://app.example/x.css", fields={"Sec-Fetch-Dest": "style"}),
            socket(5),
            entry(30, "https://app.example/later"),
        ],
    )
    before = [("", 200, "page"), ("gone.js", 404, None), ("token", 401, None)]
    assert words(first) == [*before, ("negotiate?v=1", 200, "negotiation")]
    assert words(second) == [*before, ("negotiate?v=1", 200, "negotiation")]
    token = first[2].facts
    assert (token.method, token.ms, token.media_type) == ("POST", 20, "application/json")
    assert (first[2].time_ns - START_S * 10**9) == -(10**9)
    assert [one.facts.number for one in first] == [2, 3, 4, 5]


def test_har_a_request_without_an_answer_says_why(tmp_path: Path) -> None:
    failed = entry(-1, "https://api.example/token", 0)
    failed["response"]["_error"] = "net::ERR_CERT_AUTHORITY_INVALID"
    [[one]] = near(tmp_path, [failed, socket(0)])
    assert (one.facts.status, one.facts.error) == (None, "net::ERR_CERT_AUTHORITY_INVALID")


def test_har_as_many_and_as_long_as_a_proxy_keeps(tmp_path: Path) -> None:
    many = [entry(-20 + number / 10, f"https://app.example/{number}?{'x' * 3000}") for number in range(100)]
    [asked] = near(tmp_path, [*many, socket(0)])
    assert len(asked) == MOST_BEFORE
    assert {len(one.facts.url or "") for one in asked} == {MAX_URL}
    assert asked[-1].facts.number == 100


@pytest.mark.parametrize(
    "odd",
    [
        {"request": {"method": 5, "url": "https://a/"}, "startedDateTime": date(-1)},
        {"request": {"method": "GET", "url": None}, "startedDateTime": date(-1)},
        {"request": {"method": "GET", "url": "https://a/"}, "startedDateTime": "yesterday"},
        {"request": {"method": "GET", "url": "https://a/"}, "startedDateTime": date(-1), "time": "nan"},
        {"request": {"method": "GET", "url": "nothing"}, "startedDateTime": date(-1), "response": []},
        {
            "request": {"method": "GET", "url": "https://a/", "headers": {}},
            "startedDateTime": date(-1),
            "time": -5,
        },
    ],
)
def test_har_odd_entries_are_no_trouble(odd: Any, tmp_path: Path) -> None:
    [asked] = near(tmp_path, [odd, socket(0)])
    assert len(asked) <= 1
    assert all(one.facts.ms is None for one in asked)


# -- mitmproxy's flows


def plain(
    second: float, path: str, peer: str, status: int | None = 200, agent: str = BROWSER
) -> http.HTTPFlow:
    made = tflow.tflow(resp=status is not None, err=status is None)
    made.client_conn.peername = (peer, 50_000)
    fields = http.Headers(user_agent=agent)
    made.request = http.Request.make("GET", f"https://app.example{path}", headers=fields)
    made.request.timestamp_start = START_S + second
    if made.response is not None:
        made.response.status_code = status or 0
        made.response.timestamp_start = START_S + second + 0.0125
        made.response.headers["content-length"] = "7"
    else:
        made.error = base.Error("connection refused")
    return made


def attempt(second: float, peer: str, agent: str = BROWSER) -> http.HTTPFlow:
    made = tflow.twebsocketflow()
    made.client_conn.peername = (peer, 50_001)
    made.request.headers["User-Agent"] = agent
    made.request.timestamp_start = START_S + second
    assert made.websocket is not None
    made.websocket.messages = []
    made.websocket.timestamp_end = START_S + second + 60
    return made


def test_flows_each_attempt_has_those_of_its_own_client(tmp_path: Path) -> None:
    out = io.BytesIO()
    writer = FlowWriter(out)
    for one in (
        plain(-2, "/token?user=1", "10.0.0.1", 500),
        plain(-1, "/token?user=2", "10.0.0.2"),
        plain(-0.5, "/other-browser", "10.0.0.1", agent="Mozilla/5.0 Firefox/140"),
        attempt(0, "10.0.0.1"),
        plain(0.5, "/refused", "10.0.0.1", None),
        plain(0.5, "/logo.png", "10.0.0.1"),
        attempt(1, "10.0.0.2"),
    ):
        writer.add(one)
    source = tmp_path / "a.flows"
    source.write_bytes(out.getvalue())
    [first, second] = read(tmp_path, source)
    assert words(first) == [("token?user=1", 500, None), ("refused", None, None)]
    assert words(second) == [("token?user=2", 200, None)]
    assert (first[0].facts.ms, first[0].facts.length) == (12.5, 7)
    assert first[0].facts.url == "https://app.example/token?user=1"
    assert first[1].facts.error == "connection refused"


@pytest.mark.parametrize(
    ("host", "port", "url"),
    [
        ("localhost", 8080, "http://localhost:8080/a"),
        ("localhost:8080", 8080, "http://localhost:8080/a"),
        ("[::1]:8080", 8080, "http://[::1]:8080/a"),
        ("app.example", 80, "http://app.example/a"),
        (None, 8080, "http://10.0.0.9:8080/a"),
        ("", 8080, "http://10.0.0.9:8080/a"),
    ],
)
def test_flows_the_url_is_what_the_client_asked_for(
    host: str | None, port: int, url: str, tmp_path: Path
) -> None:
    """A reverse proxy's flow has the server's address, and the client's Host."""
    made = plain(-1, "/a", "10.0.0.1")
    made.request.scheme, made.request.host, made.request.port = "http", "10.0.0.9", port
    made.request.authority = ""
    made.request.headers.pop("host", None)
    if host is not None:
        made.request.headers["Host"] = host
    out = io.BytesIO()
    writer = FlowWriter(out)
    for one in (made, attempt(0, "10.0.0.1")):
        writer.add(one)
    source = tmp_path / "a.flows"
    source.write_bytes(out.getvalue())
    [[asked]] = read(tmp_path, source)
    assert asked.facts.url == url
