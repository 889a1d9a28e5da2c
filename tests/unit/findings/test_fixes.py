"""What to write where: what stands in the lines for something of the reader's own."""

from __future__ import annotations

import pytest

from wsinspect.findings.fixes import FIXES, examples_in
from wsinspect.findings.model import Fix


def all_examples(text: str, path: str | None = None) -> str:
    return ", ".join(examples_in(Fix("nginx", text), path))


@pytest.mark.parametrize(
    ("text", "path", "words"),
    [
        ("location /ws {", None, "/ws for the path of your WebSocket"),
        ("location /ws {", "/chat", "/ws for /chat"),
        ("location /ws {", "/ws", ""),
        ("handle /ws* {\n reverse_proxy app:3000", "/a", "/ws for /a, app:3000 for your application"),
        ('ProxyPass "/" "http://127.0.0.1:3000/ws"', None, "127.0.0.1:3000 for your application"),
        ("route: { cluster: app }", None, "app for your application"),
        ("use wss:// or ws://your.site/ws-x, /wsx, /a/ws", None, ""),
        ("app.UseWebSockets();", None, ""),
    ],
)
def test_what_stands_for_something_of_the_reader_is_said(text, path, words):
    assert all_examples(text, path) == words


def test_lines_of_the_readers_own_file_have_no_examples():
    assert examples_in(Fix("nginx", "location /ws { proxy_pass http://app; }", file="app.conf", line=3)) == []


def test_every_fix_of_a_path_names_it():
    for topic, known in FIXES.items():
        for software, text in known.items():
            if "location /ws" in text or "path_beg /ws" in text or 'ProxyPass "/ws' in text:
                assert "/ws for" in all_examples(text), (topic, software)
