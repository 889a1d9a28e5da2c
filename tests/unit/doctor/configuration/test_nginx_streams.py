"""nginx's `stream` blocks: the server on a URL's port, and a PROXY header that it sends or asks for."""

from __future__ import annotations

import pytest

from tests.support.configurations import git_applies, judgement, kinds, met_in, read_in
from wsinspect.doctor.configuration.judging import with_configuration
from wsinspect.doctor.target import parse_target

STREAM = """events {}
stream {
    proxy_timeout 2m;
    server {
        listen 8443;
        proxy_pass 127.0.0.1:3000;
        MORE
    }
    server { listen 9443; proxy_pass 127.0.0.1:3000; }
}
http { server { listen 80; location / { proxy_pass http://127.0.0.1:3000; } } }
"""
URL = "ws://app.example:8443/ws"
SENDS = "proxy_protocol on;"
REFUSED = ("WS-HS-012", "HTTP/1.1 400 Bad Request")
HUNG_UP = ("WS-HS-035", "no valid answer after 2 ms: closed")


def explained_by(folder, more, finding, url=URL):
    read = read_in(folder, {"nginx.conf": STREAM.replace("MORE", more)}, "nginx.conf")
    return read, with_configuration(judgement(*finding), (read,), parse_target(url)[0])[1]


@pytest.mark.parametrize("finding", [REFUSED, HUNG_UP])
def test_a_proxy_header_that_a_stream_sends_is_named_with_its_line_and_taken_out(tmp_path, finding):
    read, explained = explained_by(tmp_path, SENDS, finding)
    assert explained is not None
    assert (explained.defect.kind, explained.defect.at.line) == ("preamble", 7)
    assert explained.line.startswith(f"server of stream, port 8443 in {tmp_path / 'nginx.conf'}:4")
    git_applies(read, explained.defect)
    assert "proxy_protocol" not in (tmp_path / "nginx.conf").read_text()


@pytest.mark.parametrize(
    ("more", "finding", "url"),
    [
        ("proxy_protocol off;", REFUSED, URL),
        ("", REFUSED, URL),
        (SENDS, REFUSED, "ws://app.example:9443/ws"),  # another server of the stream
        (SENDS, (*REFUSED, "the answer says: missing Sec-WebSocket-Key header"), URL),  # it read the request
        (SENDS, ("WS-HS-032", "nothing listens"), URL),
    ],
)
def test_a_stream_is_not_blamed_where_it_cannot_be_why(tmp_path, more, finding, url):
    assert explained_by(tmp_path, more, finding, url)[1] is None


def test_a_stream_that_asks_for_a_proxy_header_hangs_up_on_others(tmp_path):
    text = STREAM.replace("MORE", "").replace("listen 8443;", "listen 8443 proxy_protocol;")
    met = met_in(tmp_path, {"nginx.conf": text}, URL, "nginx.conf")
    assert kinds(met) == ["silent"]
    assert met.defects[0].at.line == 5


def test_the_silence_that_a_stream_bears_and_where_it_goes(tmp_path):
    met = met_in(tmp_path, {"nginx.conf": STREAM.replace("MORE", "")}, URL, "nginx.conf")
    assert [(one.kind, one.seconds, one.at.line) for one in met.limits] == [("idle", 120.0, 3)]
    assert [(one.kind, one.at.line) for one in met.possible] == [("silent", 6)]
    _, explained = explained_by(tmp_path, "", HUNG_UP)
    assert explained is not None
    assert "nginx hangs up where that takes no connection" in explained.line


def test_another_port_is_the_http_servers(tmp_path):
    met = met_in(tmp_path, {"nginx.conf": STREAM.replace("MORE", "")}, "ws://app.example/ws", "nginx.conf")
    assert met.words == "location /"
    assert "upgrade" in kinds(met)
