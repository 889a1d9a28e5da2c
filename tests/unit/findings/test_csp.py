"""Which Content-Security-Policies forbid which WebSockets."""

import pytest

from wsinspect.findings.csp import blocks_websocket

PAGE = "https://app.test/"


@pytest.mark.parametrize(
    ("policy", "url", "is_blocked"),
    [
        ("default-src 'self'", "wss://app.test/ws", False),
        ("default-src 'self'", "wss://api.app.test/ws", True),
        ("connect-src 'none'", "wss://app.test/ws", True),
        ("connect-src https://api.test", "wss://api.test/ws", False),
        ("connect-src wss:", "wss://anything.test/ws", False),
        ("connect-src wss:", "ws://anything.test/ws", True),
        ("connect-src ws:", "wss://anything.test/ws", False),
        ("connect-src *", "wss://anything.test/ws", False),
        ("connect-src *.app.test", "wss://a.app.test/ws", False),
        ("connect-src *.app.test", "wss://app.test/ws", True),
        ("connect-src app.test:8443", "wss://app.test:8443/ws", False),
        ("connect-src app.test:*", "wss://app.test:9/ws", False),
        ("connect-src app.test", "wss://app.test:9/ws", True),
        ("default-src 'none'; connect-src 'self'", "wss://app.test/ws", False),
        ("script-src 'self'", "wss://other.test/ws", False),
        ("connect-src", "wss://app.test/ws", True),
        ("", "wss://app.test/ws", False),
        ("connect-src [::bad", "wss://app.test/ws", True),
    ],
)
def test_a_policy_decides(policy, url, is_blocked):
    assert blocks_websocket(policy, PAGE, url) is is_blocked


def test_an_unreadable_address_is_not_judged():
    assert not blocks_websocket("connect-src 'self'", PAGE, "wss://[bad")


def test_self_of_a_plain_page_covers_its_plain_socket():
    assert not blocks_websocket("connect-src 'self'", "http://app.test:3000/", "ws://app.test:3000/ws")
    assert blocks_websocket("connect-src 'self'", "http://app.test:3000/", "ws://app.test:3001/ws")
