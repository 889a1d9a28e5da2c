"""What a test's proxy takes for a server; the rest needs engines (tests/integration/test_testing.py)."""

from __future__ import annotations

import pytest

from wsinspect.errors import UsageError
from wsinspect.testing.proxy import _base_and_path


@pytest.mark.parametrize(
    ("url", "base", "path"),
    [
        ("ws://127.0.0.1:3000", "http://127.0.0.1:3000", ""),
        ("ws://127.0.0.1:3000/", "http://127.0.0.1:3000", "/"),
        ("wss://[::1]:8443/chat?room=1&a=/b", "https://[::1]:8443", "/chat?room=1&a=/b"),
        ("http://app.test?x=1", "http://app.test", "?x=1"),
        ("https://app.test/a/b", "https://app.test", "/a/b"),
    ],
)
def test_a_servers_url_is_split(url, base, path):
    assert _base_and_path(url) == (base, path)


@pytest.mark.parametrize("url", ["", "example.org", "ftp://example.org/", "ws//x", "ws:/x"])
def test_what_is_no_servers_url_is_refused(url):
    with pytest.raises(UsageError, match="not a server URL"):
        _base_and_path(url)
