"""Which pattern a line matches; several lines of one program; hostile lines."""

import pytest

from wsinspect.explain.matching import match_all, match_line
from wsinspect.explain.reading import Line, read_lines


def names(text):
    return [seen.pattern.name for seen in match_all(read_lines(text.encode()).lines)]


def test_groups_of_the_pattern():
    seen = match_line(Line(1, "Error: Unexpected server response: 404", {}))
    assert seen is not None
    assert seen.groups == {"status": "404"}
    assert match_line(Line(1, "nothing of interest", {})) is None


CURL = """*   Trying 127.0.0.1:443...
* ALPN: server accepted h2
* using HTTP/2
> GET /ws HTTP/2
> Host: chat.example.com
> connection: Upgrade
> upgrade: websocket
>
< HTTP/2 400
< server: nginx
"""


def test_lines_of_one_program_are_one_case():
    assert names(CURL) == ["curl-h2"]
    assert names(CURL.replace("HTTP/2", "HTTP/1.1").replace("server accepted h2", "x")) == ["curl-status"]
    assert names("> HEAD /ws HTTP/1.1\n> Host: a\n>\n< HTTP/1.1 400 Bad Request") == ["curl-head"]


def test_a_pattern_over_several_lines_says_where_it_begins():
    [seen] = match_all(read_lines(CURL.encode()).lines)
    assert seen.line.number == 2


def test_nothing_in_no_lines():
    assert match_all([]) == []


@pytest.mark.parametrize(
    "piece",
    [
        "a",
        "WebSocket connection to '",
        "dial tcp ",
        '"GET /ws ',
        "close code ",
        "x/y 1/2/3 502 1 - - ",
        "WebSocket closed code: ",
        "> GET / HTTP/1.1\n",
        "\x1b[",
        '"status":',
    ],
)
@pytest.mark.timeout(60)
def test_a_hostile_line_of_ten_megabytes_ends(piece):
    """RE2's time is linear, and a line is cut before: this takes a second, and would take hours with `re`."""
    data = (piece * (10_000_000 // len(piece))).encode()
    assert len(match_all(read_lines(data).lines)) <= 100_001
