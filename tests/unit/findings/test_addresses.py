"""Address spaces as browsers see them, and origins that are certainly public."""

import pytest

from wsinspect.findings.addresses import address_space, is_public_origin, more_private, permission_of


@pytest.mark.parametrize(
    ("host", "space"),
    [
        *(("localhost", "loopback"), ("app.localhost.", "loopback"), ("127.0.0.53", "loopback")),
        *(("[::1]", "loopback"), ("192.168.1.5", "local"), ("fe80::1%eth0", "local"), ("10.0.0.1", "local")),
        *(("printer.local", "local"), ("example.org", "public"), ("8.8.8.8", "public")),
        *(("localhost.example.org", "public"), ("100.64.0.1", "local"), ("[fd00::1]", "local")),
    ],
)
def test_a_host_is_in_the_space_that_it_is_written_in(host, space):
    assert address_space(host) == space


@pytest.mark.parametrize(
    ("origin", "is_public"),
    [
        *(("https://example.org", True), ("http://8.8.8.8:8080", True), ("https://example.org.", True)),
        *(("https://app.internal", False), ("http://intranet", False), ("http://192.168.1.5", False)),
        *(("null", False), ("file://example.org", False), ("http://[::1", False), ("", False)),
        *(("http://localhost:3000", False), ("https://x.test", False)),
    ],
)
def test_an_origin_is_public_only_where_it_certainly_is(origin, is_public):
    assert is_public_origin(origin) is is_public


@pytest.mark.parametrize(
    ("page", "server", "permission"),
    [
        (("8.8.8.8",), "127.0.0.1", "loopback-network"),
        (("8.8.8.8", "2001:4860:4860::8888"), "[::1]", "loopback-network"),
        (("8.8.8.8",), "100.64.0.1", "local-network"),
        (("8.8.8.8",), "1.1.1.1", None),
        (("10.0.0.1",), "127.0.0.1", None),
        (("8.8.8.8", "10.0.0.1"), "127.0.0.1", None),
        ((), "127.0.0.1", None),
    ],
)
def test_a_public_page_needs_a_permission_for_what_is_not(page, server, permission):
    space = more_private(page, server)
    assert (None if space is None else permission_of(space)) == permission
