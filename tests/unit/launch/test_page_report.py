"""What a page's examination prints: all of it in a pipe, the essentials on a screen of 24 lines."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.doctor_lab import examine_server, http, is_upgrade, replies, switching
from wsinspect.doctor.target import parse_target
from wsinspect.findings.facts import CaptureFacts, EngineEvent
from wsinspect.findings.registry import diagnose_capture
from wsinspect.launch.browser.devtools import ConsoleLine, Socket
from wsinspect.launch.browser.visiting import Visited
from wsinspect.launch.page import PageExamination, Tried
from wsinspect.launch.page_report import page_lines
from wsinspect.present.examination import rows_of
from wsinspect.present.terminal import Palette

TARGET = parse_target("ws://app.test/ws")[0]
LINES = tuple(ConsoleLine("error", "javascript", f"WebSocket error {n} " + "word " * 30) for n in range(30))


@pytest.fixture(scope="module")
def works():
    return examine_server(
        replies(lambda head: switching(head) if is_upgrade(head) else http("404 Not Found")), "/"
    )


@pytest.fixture(scope="module")
def fails():
    return examine_server(replies(lambda head: http("403 Forbidden", b"origin not allowed")), "/")


def page(**more: Any) -> PageExamination:
    sockets = tuple(Socket(url=f"ws://app.test/{n}", status=403, error=None) for n in range(3))
    values: dict[str, Any] = {
        "url": "http://app.test/",
        "browser": "chromium",
        "visited": Visited(lines=LINES, sockets=sockets),
        "findings": (),
    }
    return PageExamination(**{**values, **more})


def printed(
    found: PageExamination, rows: int | None = 24, columns: int | None = 80, **more: Any
) -> list[str]:
    return list(page_lines(found, Palette(), rows=rows, columns=columns, **more))


def blocked() -> Any:
    detail = {
        "url": "https://app.test/",
        "attempts": 0,
        "csp": ["connect-src 'self' https://api.test"],
        "ws_urls": ["wss://chat.test/ws"],
        "waited_ms": 10_000,
    }
    return tuple(diagnose_capture(CaptureFacts(events=(EngineEvent(0, "page", detail),))))


def test_a_screen_has_the_essentials_first(works, fails):
    tried = Tried(target=TARGET, was_open=False)
    cases = {
        "nothing": page(),
        "a policy": page(findings=blocked()),
        "one fails": page(examined=((tried, works), (tried, fails))),
        "all": page(findings=blocked(), examined=((tried, fails),) * 3),
    }
    for name, found in cases.items():
        lines = printed(found)
        assert rows_of(lines, 80) < 24, name
        assert lines[0][:40] == found.headline[:40], name
        assert any("-v shows" in line for line in lines), name
    text = "\n".join(printed(cases["one fails"]))
    assert "WS-HS-010" in text
    assert "  fix  " in text
    assert "ws://app.test/0: status 403" in text
    assert "Content-Security-Policy" in "\n".join(printed(cases["a policy"]))


def test_a_pipe_a_large_screen_and_verbose_have_all_of_it(works, fails):
    tried = Tried(target=TARGET, was_open=False)
    found = page(findings=blocked(), examined=((tried, works), (tried, fails)))
    for lines in (printed(found, None, None), printed(found, 500), printed(found, is_verbose=True)):
        text = "\n".join(lines)
        assert "WebSocket error 11" in text
        assert text.count("As curl") == 2
