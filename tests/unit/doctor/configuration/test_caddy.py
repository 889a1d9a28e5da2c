"""Caddyfiles: which site and block a URL meets, in Caddy's own order, and what is done to a handshake
there.
"""

from __future__ import annotations

import pytest

from tests.support.configurations import (
    ends_in_an_answer,
    git_applies,
    judgement,
    kinds,
    mend,
    met_in,
    read_in,
)
from wsinspect.doctor.configuration.caddy.reader import seconds_of
from wsinspect.doctor.configuration.caddy.tree import tokens_of
from wsinspect.doctor.configuration.judging import with_configuration
from wsinspect.doctor.target import parse_target

SITES = """{
	email me@example.com
}
(upstream) {
	reverse_proxy {args[0]} {
		header_up -Upgrade
	}
}
app.example, *.app.example {
	@socket {
		header Connection *Upgrade*
		header Upgrade websocket
		path /socket*
	}
	@other not path /api/* /x*
	handle @socket {
		reverse_proxy app:3000
	}
	handle_path /api/* {
		reverse_proxy app:3001
	}
	handle /removed* {
		reverse_proxy app:3001 {
			header_up -Upgrade
			header_up Host inside
			header_up X-Real-IP {remote_host}
			header_up Host {host}
		}
	}
	handle /snippet* {
		import upstream app:3002
	}
	handle /second* {
		reverse_proxy h2c://app:3001
	}
	handle /third* {
		reverse_proxy app:3001 {
			transport http {
				versions h2c 2
				read_timeout 30s
			}
		}
	}
	handle /down* {
		reverse_proxy app:3001 {
			header_down -Upgrade
		}
	}
	handle /aged* {
		reverse_proxy app:3001 {
			stream_timeout 24h
			stream_close_delay 5m
		}
	}
	handle /answer* {
		respond "no" 403
	}
	handle /asked* {
		basic_auth {
			me hash
		}
		reverse_proxy app:3001
	}
	handle /files* {
		root * /srv
		file_server
	}
	route /route* {
		uri strip_prefix /route
		request_header -Sec-WebSocket-Version
		reverse_proxy app:3001
	}
	handle /unknown* {
		@in remote_ip 10.0.0.0/8
		respond @in 403
		@token expression `{query.token} == "x"`
		reverse_proxy app:3001
	}
}
trap.example {
	reverse_proxy /ws* app:3000
	handle {
		file_server
	}
}
http://old.example {
	redir https://app.example{uri} permanent
}
:8080 {
	reverse_proxy localhost:3000
}
"""
FILES = {"Caddyfile": SITES}


@pytest.mark.parametrize(
    ("url", "place", "expected"),
    [
        ("wss://app.example/socket/1", "handle @socket", []),
        ("wss://a.app.example/socket", "handle @socket", []),
        ("wss://app.example/api/x", "handle_path /api/*", ["path"]),
        ("wss://app.example/removed", "handle /removed*", ["upgrade", "host"]),
        ("wss://app.example/snippet", "handle /snippet*", ["upgrade"]),
        ("wss://app.example/second", "handle /second*", ["h2"]),
        ("wss://app.example/third", "handle /third*", ["h2"]),
        ("wss://app.example/down", "handle /down*", ["response"]),
        ("wss://app.example/answer", "handle /answer*", ["answer"]),
        ("wss://app.example/asked", "handle /asked*", ["answer"]),
        ("wss://app.example/files", "handle /files*", ["route"]),
        ("wss://app.example/route/x", "route /route*", ["path", "websocket"]),
        ("wss://app.example/nothing", "app.example, *.app.example", ["route"]),
        ("wss://app.example/unknown", "handle /unknown*", []),
        ("wss://trap.example/ws", "handle", ["route"]),  # `handle` comes before `reverse_proxy`
        ("ws://old.example/", "http://old.example", ["answer"]),
        ("ws://app.example/socket/1", "app.example, *.app.example", ["answer"]),
        ("ws://anything:8080/", ":8080", []),
    ],
)
def test_what_a_url_meets(tmp_path, url, place, expected) -> None:
    found = met_in(tmp_path, FILES, url)
    assert (found.words, kinds(found)) == (place, expected)


def test_what_is_not_known_is_said(tmp_path) -> None:
    found = met_in(tmp_path, FILES, "wss://app.example/unknown")
    assert any("'remote_ip' is not known here" in one for one in found.unsure)
    moved = met_in(tmp_path, FILES, "wss://app.example:8443/socket")
    assert any("port 8443" in one for one in moved.unsure)


@pytest.mark.parametrize("path", ["/api/x", "/removed", "/second", "/third", "/down"])
def test_the_diff_mends_it_and_applies(tmp_path, path) -> None:
    read = read_in(tmp_path, FILES)
    url = f"wss://app.example{path}"
    found = read.meets(parse_target(url)[0])
    assert found is not None
    first = found.defects[0]
    assert first.kind not in kinds(mend(read, first, url))
    git_applies(read, first)


@pytest.mark.parametrize(
    ("path", "rule", "seen", "words"),
    [
        ("/third", "WS-DROP-002", "silence 30.1 s", "'read_timeout 30s'"),
        ("/third", "WS-HS-108", "504 after 30.0 s", "'read_timeout 30s'"),
        ("/aged", "WS-DROP-003", "age 86401.0 s", "'stream_timeout 24h'"),
        ("/aged", "WS-DROP-004", "many", "'stream_close_delay 5m'"),
        ("/aged", "WS-DROP-002", "silence 60.0 s", None),
    ],
)
def test_the_limit_that_ended_it(tmp_path, path, rule, seen, words) -> None:
    read = read_in(tmp_path, FILES)
    better, explained = with_configuration(
        judgement(rule, seen), (read,), parse_target(f"wss://app.example{path}")[0]
    )
    assert (explained is not None) == (words is not None)
    assert words is None or words in better.headline


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a b", ["a", "b"]),
        ('a "b c" `d "e"`', ["a", "b c", 'd "e"']),
        ("a # b", ["a"]),
        ("a#b", ["a#b"]),
        ("a <<X\nb\nc\nX\nd", ["a", "b\nc", "d"]),
        ('"unclosed', ["unclosed"]),
    ],
)
def test_words(text, expected) -> None:
    assert [one.text for one in tokens_of(text)] == expected


def test_durations() -> None:
    assert [seconds_of(one) for one in ("90s", "1h30m", "1d", "5", "")] == [90, 5400, 86400, None, None]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{" * 3000,
        "a.example {\n" * 3000,
        "}\n" * 100 + "reverse_proxy\n",
        "(a) {\n import a\n import b\n}\n(b) {\n import a\n}\nx.example {\n import a\n}\n",
        "(a) {\n"
        + " import b\n" * 100
        + "}\n(b) {\n"
        + " import c\n" * 100
        + "}\n(c) {\n"
        + " respond 200\n" * 100
        + "}\nx {\n import a\n}\n",
        (
            "x.example {\n handle @nobody {\n respond\n }\n @m path_regexp ((a+)+)+\\1$\n "
            "respond @m\n rewrite\n uri\n header\n}\n"
        ),
        "import Caddyfile\nx.example {\n import /dev/zero\n reverse_proxy {\n transport\n }\n}\n",
        "localhost\n\nreverse_proxy app:3000\n",
    ],
)
def test_odd_files_end_in_an_answer(tmp_path, text) -> None:
    ends_in_an_answer(tmp_path / "Caddyfile", text, "wss://x.example/" + "a" * 40)


def test_files_are_tried_before_anything_is_passed_on(tmp_path) -> None:
    text = "a.example {\n\ttry_files {path} /index.html\n\treverse_proxy /ws* app:3000\n\tfile_server\n}\n"
    read = read_in(tmp_path, {"Caddyfile": text})
    url = "wss://a.example/ws"
    found = read.meets(parse_target(url)[0])
    assert found is not None
    assert kinds(found) == ["path", "route"]
    assert any("without a file" in one for one in found.unsure)
    assert kinds(mend(read, found.defects[0], url)) == []
    git_applies(read, found.defects[0])


@pytest.mark.parametrize("files", ["{path} =404", "{path} {path}.html"])
def test_files_that_are_tried_and_change_nothing(tmp_path, files) -> None:
    text = f"a.example {{\n\ttry_files {files}\n\treverse_proxy app:3000\n}}\n"
    assert kinds(met_in(tmp_path, {"Caddyfile": text}, "wss://a.example/ws")) == []


def test_a_connection_that_is_ended_without_an_answer(tmp_path) -> None:
    text = "a.example {\n\tabort /ws*\n\treverse_proxy app:3000\n}\n"
    found = met_in(tmp_path, {"Caddyfile": text}, "wss://a.example/ws")
    assert kinds(found) == ["silent"]
