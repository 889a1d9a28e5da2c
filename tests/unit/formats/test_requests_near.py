"""Plain requests of a HAR, or of mitmproxy flows, near its attempts: which are taken, whose, and how many."""

from __future__ import annotations

import io
import json
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from mitmproxy import flow as base
from mitmproxy import http
from mitmproxy.io import FlowReader, FlowWriter
from mitmproxy.test import tflow

from tests.support.har_check import problems
from wsinspect.capture.reader import Capture
from wsinspect.clients.nearby import MAX_URL, MOST_BEFORE
from wsinspect.formats.choice import EVERYTHING, Choice
from wsinspect.formats.exporting import EXPORTERS
from wsinspect.formats.flows_writer import write_flows
from wsinspect.formats.har_writer import write_har
from wsinspect.formats.importing import import_file
from wsinspect.formats.progress import nobody
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


# -- and out again


def out_and_in(tmp_path: Path, source: Path, kind: str, **options: Any) -> Path:
    """A capture, exported and imported again; the file stays next to it."""
    file = tmp_path / f"out.{kind}"
    with Capture.open(source) as capture, file.open("wb") as out:
        (write_har if kind == "har" else write_flows)(capture, out, **options)
    back = source.with_name(f"{source.stem}-{kind}.db")
    import_file(file, back)
    return back


def asked_in(path: Path) -> list[list[Asked]]:
    with Capture.open(path) as capture:
        return [asked_of(capture.events(one.id)) for one in capture.connections()]


def facts_of(asked: Sequence[Sequence[Asked]]) -> list[list[tuple[Any, ...]]]:
    """All of each request but its number; times to the microsecond, which flows have."""
    return [[(one.time_ns // 1000, replace(one.facts, number=0)) for one in each] for each in asked]


@pytest.fixture
def two_clients(tmp_path: Path) -> Path:
    """A capture as a proxy records it: two clients, requests near several attempts of one of them."""
    out = io.BytesIO()
    writer = FlowWriter(out)
    page = plain(-3, "/", "10.0.0.1")
    page.request.headers["accept"] = "text/html"
    for one in (
        page,
        plain(-2, "/token?access_token=s3cr3t", "10.0.0.1", 500),
        plain(-1, "/token?user=2", "10.0.0.2"),
        plain(-1, "/app.js", "10.0.0.1", 404),
        attempt(0, "10.0.0.1"),
        plain(0.5, "/refused", "10.0.0.1", None),
        attempt(1, "10.0.0.2"),
        attempt(2, "10.0.0.1"),
        plain(3, "/socket.io/?EIO=4&transport=polling", "10.0.0.2"),
    ):
        writer.add(one)
    (tmp_path / "in.flows").write_bytes(out.getvalue())
    import_file(tmp_path / "in.flows", tmp_path / "in.db")
    return tmp_path / "in.db"


@pytest.mark.parametrize("kind", ["har", "flows"])
def test_an_export_brings_each_attempt_its_own_requests_again(
    two_clients: Path, tmp_path: Path, kind: str
) -> None:
    first = facts_of(asked_in(two_clients))
    assert [len(each) for each in first] == [4, 2, 4]  # those of the other client are with it alone
    back = out_and_in(tmp_path, two_clients, kind, include_secrets=True)
    assert facts_of(asked_in(back)) == first
    assert facts_of(asked_in(out_and_in(tmp_path, back, kind, include_secrets=True))) == first


def test_a_har_has_each_request_once_before_the_attempt_that_it_led_to(
    two_clients: Path, tmp_path: Path
) -> None:
    out_and_in(tmp_path, two_clients, "har")
    har = json.loads((tmp_path / "out.har").read_text())
    assert list(problems(har)) == []
    entries = har["log"]["entries"]
    paths = ["/".join(one["request"]["url"].split("/")[3:]) for one in entries]
    assert paths[:4] == ["", "token?access_token=***", "app.js", "ws"]
    assert sorted(one for one in paths if one != "ws") == sorted({*paths} - {"ws"})
    assert paths.count("ws") == 3
    token = entries[1]
    assert (token["response"]["status"], token["timings"]["wait"]) == (500, 12.5)
    assert token["request"]["queryString"] == [{"name": "access_token", "value": "***"}]
    assert token["request"]["headers"] == []  # none are recorded, and none are made up
    assert "without headers" in token["comment"]
    [refused] = [one for one in entries if one["request"]["url"].endswith("/refused")]
    assert (refused["response"]["status"], refused["response"]["_error"]) == (0, "connection refused")


def test_flows_are_what_mitmproxy_reads(two_clients: Path, tmp_path: Path) -> None:
    out_and_in(tmp_path, two_clients, "flows")
    with (tmp_path / "out.flows").open("rb") as file:
        found = list(FlowReader(file).stream())
    assert b"s3cr3t" not in (tmp_path / "out.flows").read_bytes()
    token = found[1]
    assert isinstance(token, http.HTTPFlow)
    assert token.request.pretty_url == "https://app.example/token?access_token=***"
    assert token.response is not None
    assert (token.response.status_code, token.response.raw_content) == (500, None)
    assert token.client_conn.peername == ("10.0.0.1", 0)
    errors = [one.error.msg for one in found if one.error is not None]
    assert errors == ["connection refused"]


def test_an_export_of_one_connection_has_the_requests_near_it(two_clients: Path, tmp_path: Path) -> None:
    back = out_and_in(tmp_path, two_clients, "har", choice=Choice(frozenset({2})))
    assert words(asked_in(back)[0]) == [
        ("token?user=2", 200, None),
        ("?EIO=4&transport=polling", 200, "polling"),
    ]


@pytest.mark.parametrize(
    "url", ["", "nothing", "http://[::1/a", "http://a:99999/", "ftp://a/", "http://[::1]:81/?q=[", "//a/b"]
)
@pytest.mark.parametrize("kind", ["har", "flows"])
def test_a_url_that_is_none_is_no_trouble(two_clients: Path, tmp_path: Path, kind: str, url: str) -> None:
    with closing(sqlite3.connect(two_clients)) as database, database:
        database.execute("UPDATE event SET detail = json_set(detail, '$.url', ?) WHERE kind = 'http'", (url,))
    back = out_and_in(tmp_path, two_clients, kind)
    assert len(asked_in(back)) == 3


def test_the_summary_counts_them(two_clients: Path) -> None:
    with Capture.open(two_clients) as capture:
        for kind in ("har", "flows"):
            written = EXPORTERS[kind].write(
                capture, io.BytesIO(), choice=EVERYTHING, include_secrets=False, progress=nobody
            )
            assert written.summary == "3 connections, 0 messages, 6 HTTP requests near attempts"
