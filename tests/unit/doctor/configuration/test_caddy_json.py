"""Caddy's configuration in JSON: the server of a port, its routes in order, and diffs in one line or many."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support.configurations import ends_in_an_answer, git_applies, judgement, kinds, mend, read_in
from wsinspect.doctor.configuration.judging import with_configuration
from wsinspect.doctor.configuration.model import Met
from wsinspect.doctor.target import parse_target


def proxy(**more: Any) -> dict[str, Any]:
    return {"handler": "reverse_proxy", "upstreams": [{"dial": "app:3000"}], **more}


def route(path: str, *handle: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"match": [{"path": [path]}], "handle": list(handle), **more}


def respond(status: Any) -> dict[str, Any]:
    return {"handler": "static_response", "status_code": status}


def without(*names: str) -> dict[str, Any]:
    return {"headers": {"request": {"delete": list(names)}}}


ROUTES: list[dict[str, Any]] = [
    {"match": [{"host": ["other.example"]}], "handle": [respond(404)], "terminal": True},
    {
        "match": [{"host": ["app.example", "*.app.example"]}],
        "handle": [
            {
                "handler": "subroute",
                "routes": [
                    {"handle": [{"handler": "encode"}, {"handler": "vars", "root": "/srv"}]},
                    {"group": "g", **route("/first*", proxy())},
                    {"group": "g", **route("/first*", respond(403))},
                    route("/good*", proxy(headers={"request": {"set": {"Host": ["{http.request.host}"]}}})),
                    route("/removed*", proxy(**without("Upgrade"))),
                    route("/wild*", proxy(**without("Sec-Websocket-*", "X-Other"))),
                    route("/host*", proxy(headers={"request": {"set": {"Host": ["inside"]}}})),
                    route("/second*", proxy(transport={"protocol": "http", "versions": ["h2c", "2"]})),
                    route("/php*", proxy(transport={"protocol": "fastcgi"})),
                    route("/down*", proxy(headers={"response": {"delete": ["Upgrade"]}})),
                    route("/strip/*", {"handler": "rewrite", "strip_path_prefix": "/strip"}, proxy()),
                    route("/uri*", {"handler": "rewrite", "uri": "/elsewhere"}, proxy()),
                    route("/same*", {"handler": "rewrite", "uri": "{http.request.uri}"}, proxy()),
                    route("/part*", proxy(rewrite={"uri_substring": [{"find": "part", "replace": "x"}]})),
                    route("/answer*", respond("410")),
                    route("/abort*", {"handler": "static_response", "abort": True}),
                    route("/error*", {"handler": "error", "status_code": 421}),
                    route("/auth*", {"handler": "authentication"}, proxy()),
                    route("/files*", {"handler": "file_server"}),
                    route("/ended*", {"handler": "headers"}, terminal=True),
                    route("/aged*", proxy(stream_timeout=3_600_000_000_000)),
                    route("/timed*", proxy(transport={"protocol": "http", "read_timeout": "30s"})),
                    {
                        "match": [{"path": ["/upgraded*"], "header": {"Upgrade": ["websocket"]}}],
                        "handle": [proxy(**without("Connection"))],
                    },
                    {"match": [{"path": ["/not*"], "not": [{"method": ["GET"]}]}], "handle": [respond(403)]},
                    {"match": [{"remote_ip": {"ranges": ["10.0.0.0/8"]}}], "handle": [respond(429)]},
                    route(
                        "/asked*",
                        proxy(handle_response=[{"match": {"status_code": [2]}}], rewrite={"uri": "/check"}),
                    ),
                ],
            },
            proxy(),
        ],
        "terminal": True,
    },
]
WHOLE = {"apps": {"http": {"servers": {"srv0": {"listen": [":443"], "routes": ROUTES}}}}}
HOST = "wss://app.example"


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/first", []),
        ("/good", []),
        ("/removed", ["upgrade"]),
        ("/wild", ["websocket"]),
        ("/host", ["host"]),
        ("/second", ["h2"]),
        ("/php", ["upgrade"]),
        ("/down", ["response"]),
        ("/strip/x", ["path"]),
        ("/uri", ["path"]),
        ("/same", []),
        ("/part", ["path"]),
        ("/answer", ["answer"]),
        ("/abort", ["silent"]),
        ("/error", ["answer"]),
        ("/auth", ["answer"]),
        ("/files", ["route"]),
        ("/ended", []),
        ("/upgraded", ["upgrade"]),
        ("/not", []),
        ("/asked", []),
        ("/else", []),
    ],
)
def test_what_a_url_meets(read, path, expected) -> None:
    met = read.meets(parse_target(HOST + path)[0])
    assert met is not None
    assert kinds(met) == expected


@pytest.fixture(scope="module")
def read(tmp_path_factory):
    """The whole of it: reading takes longer than asking."""
    return read_in(tmp_path_factory.mktemp("caddy"), {"caddy.json": json.dumps(WHOLE, indent=1)})


@pytest.mark.parametrize(
    ("routes", "path"),
    [
        (ROUTES[1]["handle"][0]["routes"][4:6], "/removed"),
        (ROUTES[1]["handle"][0]["routes"][10:11], "/strip/x"),
        ([route("/host*", proxy(headers={"request": {"set": {"Host": ["inside"]}}}))], "/host"),
    ],
)
@pytest.mark.parametrize("indent", [None, "\t"])
def test_the_diff_mends_it_in_one_line_and_in_many(tmp_path, routes, path, indent) -> None:
    whole = {"apps": {"http": {"servers": {"srv0": {"listen": [":443"], "routes": routes}}}}}
    read = read_in(tmp_path, {"caddy.json": json.dumps(whole, indent=indent) + "\n"})
    met = read.meets(parse_target(HOST + path)[0])
    assert met is not None
    assert len(met.defects) == 1
    for defect in met.defects:
        if defect.edits:
            assert kinds(mend(read, defect, HOST + path)) == []
            git_applies(read, defect)
            json.loads((tmp_path / "caddy.json").read_text())


def test_other_hosts_ports_and_what_is_not_known(read) -> None:
    def met(url: str) -> Met:
        found = read.meets(parse_target(url)[0])
        assert found is not None
        return found

    assert kinds(met("wss://x.app.example/removed")) == ["upgrade"]
    assert [one.status for one in met("wss://other.example/").defects] == [404]
    assert kinds(met("wss://nowhere.example/")) == ["route"]
    assert [one.status for one in met("ws://app.example/good").defects] == [308]
    assert any("remote_ip" in one for one in met(f"{HOST}/else").unsure)


@pytest.mark.parametrize(
    ("path", "rule", "evidence", "words"),
    [
        ("/else", "WS-HS-016", "HTTP/1.1 429 Too Many Requests", None),
        ("/else", "WS-HS-010", "HTTP/1.1 403 Forbidden", None),
        ("/asked", "WS-HS-009", "HTTP/1.1 401 Unauthorized", "asks another server first"),
        ("/good", "WS-HS-020", "HTTP/1.1 502 Bad Gateway", "dial: app:3000"),
        ("/aged", "WS-DROP-003", "age 3600.2 s at the end", "stream_timeout: 3600000000000"),
        ("/timed", "WS-DROP-002", "silence s>c before the end: 30.1 s", "read_timeout: 30s"),
        ("/timed", "WS-DROP-002", "silence s>c before the end: 60.1 s", None),
    ],
)
def test_the_line_that_explains_it(read, path, rule, evidence, words) -> None:
    found, explained = with_configuration(judgement(rule, evidence), (read,), parse_target(HOST + path)[0])
    assert (explained is not None) == (words is not None)
    assert (words or "") in found.headline


@pytest.mark.parametrize(
    "text",
    [
        '{"apps": {"http": {"servers": {"s": {"listen": 1, "routes": {"a": []}}}}}}',
        '{"apps": {"http": {"servers": {"s": [1, 2, null]}}}}',
        '{"apps": {"http": {"servers": {}}}}',
        '{"apps": {"http": {"servers": {"s": {"routes": ' + "[" * 300 + "]" * 300 + "}}}}}",
        '{"apps": {"http": {"servers": {"s": {"routes": [{"handle": ['
        + '{"handler": "subroute", "routes": [{"handle": [' * 60
        + "]}]}" * 60
        + "]}]}}}}}",
        '{"apps": {"http": {"servers": {"s": {"listen": [":80"], "routes": [{"match": [{"path_regexp": '
        '{"pattern": "((a+)+)+$"}}], "handle": [{"handler": "error"}]}]}}}}}',
        '{"apps": {"http": {"servers"',
    ],
)
def test_odd_files_end_in_an_answer(tmp_path, text) -> None:
    ends_in_an_answer(tmp_path / "caddy.json", text, "ws://h/" + "a" * 40)
