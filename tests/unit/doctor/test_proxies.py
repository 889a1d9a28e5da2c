"""The proxy that the environment names, as clients read it."""

from __future__ import annotations

import pytest

from wsinspect.doctor.proxies import Proxy, proxy_for
from wsinspect.doctor.target import Target
from wsinspect.net import Address

PLAIN, TLS = Target("ws", "example.org", 80, "/"), Target("wss", "example.org", 443, "/")
PROXY = "http://proxy:3128"
ADDRESS = Address("proxy", 3128)


@pytest.mark.parametrize(
    ("target", "environment", "expected"),
    [
        (PLAIN, {}, None),
        (PLAIN, {"http_proxy": PROXY}, ("http_proxy", ADDRESS)),
        (TLS, {"http_proxy": PROXY}, None),
        (TLS, {"HTTPS_PROXY": PROXY}, ("HTTPS_PROXY", ADDRESS)),
        (TLS, {"https_proxy": PROXY, "HTTPS_PROXY": "http://other"}, ("https_proxy", ADDRESS)),
        (TLS, {"wss_proxy": "http://other", "https_proxy": PROXY}, ("wss_proxy", Address("other", 80))),
        (PLAIN, {"ALL_PROXY": "proxy:3128"}, ("ALL_PROXY", ADDRESS)),
        (PLAIN, {"http_proxy": "", "all_proxy": PROXY}, ("all_proxy", ADDRESS)),
        (TLS, {"https_proxy": "socks5://proxy:1080"}, ("https_proxy", None)),
        (TLS, {"https_proxy": "https://proxy:443"}, ("https_proxy", None)),
        (TLS, {"https_proxy": "http://[::1"}, ("https_proxy", None)),
        (TLS, {"https_proxy": PROXY, "no_proxy": "example.org"}, None),
        (TLS, {"https_proxy": PROXY, "NO_PROXY": ".org"}, None),
        (TLS, {"https_proxy": PROXY, "NO_PROXY": "*"}, None),
        (TLS, {"https_proxy": PROXY, "NO_PROXY": "a.example, example.org:443"}, None),
        (TLS, {"https_proxy": PROXY, "NO_PROXY": "ample.org, example.org:80"}, ("https_proxy", ADDRESS)),
        (TLS, {"https_proxy": PROXY, "no_proxy": "other.org"}, ("https_proxy", ADDRESS)),
    ],
)
def test_which_proxy_a_client_takes(target, environment, expected) -> None:
    found = proxy_for(target, environment)
    assert (found and (found.variable, found.address)) == expected


def test_a_tunnel_is_asked_for_with_credentials() -> None:
    found = proxy_for(TLS, {"https_proxy": "http://me:p%40ss@proxy:3128"})
    assert found == Proxy("https_proxy", ADDRESS, "Basic bWU6cEBzcw==")
    assert found.connect(TLS) == (
        b"CONNECT example.org:443 HTTP/1.1\r\nHost: example.org:443\r\n"
        b"Proxy-Authorization: Basic bWU6cEBzcw==\r\n\r\n"
    )
    assert b"Proxy-Authorization" not in Proxy("x", ADDRESS).connect(PLAIN)
