"""TLS of each kind behind the proxy, by nginx: the exact findings."""

import asyncio

import pytest

from tests.support.certs import DAY, dated_certificate, make_certificates
from tests.support.engine import Engine
from tests.support.hops import LOOPBACK, NGINX_GOOD, nginx
from tests.support.sandwich_lab import echo_server, look, talk
from tests.support.small_servers import free_port

pytestmark = pytest.mark.lab


async def run(folder, server, target, *options):
    """One attempt through a tap that leads to an nginx with these `ssl` lines, and a second tap behind it.

    Returns (id, severity) of what the first tap alone shows, which has to be all that both show together
    beside the note that the hop did not ask the server.
    """
    async with echo_server() as (_, app):
        behind = free_port()
        location = f"location / {{ {NGINX_GOOD} proxy_pass http://{LOOPBACK}:{behind}; }}"
        hop = await asyncio.to_thread(
            lambda: nginx(folder / "hop", location, server=server, listen=" ssl" if server else "")
        )
        with hop:
            taps = (
                f"edge=127.0.0.1:0={target % hop.port}",
                f"origin=127.0.0.1:{behind}=http://{LOOPBACK}:{app}",
            )
            engine = await asyncio.to_thread(
                lambda: Engine.start("--tap", taps[0], "--tap", taps[1], *options, folder=folder / "e")
            )
            await talk(f"ws://{LOOPBACK}:{engine.port('edge')}/ws")
            await asyncio.to_thread(engine.stop)
    (seen,) = look(engine.capture).values()
    both = {one.id for one in seen.sandwich} - {"WS-HS-103"}
    # Of a hop that is not there two taps say more.
    assert both == ({"WS-HS-109"} if seen.edge_ids == ["WS-HS-032"] else set(seen.edge_ids))
    return [(one.id, one.severity) for one in seen.edge]


def ssl_lines(chain, key, more=""):
    return f"ssl_certificate {chain}; ssl_certificate_key {key}; {more}"


@pytest.mark.parametrize(
    ("begin", "end", "expected"), [(-9 * DAY, -DAY, "WS-TLS-010"), (DAY, 9 * DAY, "WS-TLS-011")]
)
def test_a_certificate_out_of_its_time(tmp_path, begin, end, expected):
    chain, key, ca = dated_certificate(tmp_path, "leaf", begin=begin, end=end)
    trust = f"ssl_verify_upstream_trusted_ca={ca}"
    found = asyncio.run(run(tmp_path, ssl_lines(chain, key), "https://127.0.0.1:%d", "--set", trust))
    assert found == [(expected, "error")]


@pytest.mark.parametrize(
    ("options", "expected"), [((), ("WS-TLS-012", "error")), (("--insecure",), ("WS-TLS-020", "warning"))]
)
def test_a_self_signed_certificate(tmp_path, options, expected):
    chain, key, _ = dated_certificate(tmp_path, "alone", is_signed=False)
    assert asyncio.run(run(tmp_path, ssl_lines(chain, key), "https://127.0.0.1:%d", *options)) == [expected]


def test_an_unknown_issuer_and_another_name(tmp_path):
    lab = make_certificates(tmp_path / "ca", ("other.test",))
    target = "https://127.0.0.1:%d"
    found = asyncio.run(run(tmp_path / "a", ssl_lines(lab.chain, lab.key), target))
    assert found == [("WS-TLS-014", "error")]
    trusted = f"ssl_verify_upstream_trusted_ca={lab.ca}"
    found = asyncio.run(run(tmp_path / "b", ssl_lines(lab.chain, lab.key), target, "--set", trusted))
    assert found == [("WS-TLS-013", "error")]


def test_a_client_certificate_is_wanted(tmp_path):
    lab = make_certificates(tmp_path / "ca")
    more = f"ssl_verify_client on; ssl_client_certificate {lab.ca};"
    found = asyncio.run(
        run(tmp_path, ssl_lines(lab.chain, lab.key, more), "https://127.0.0.1:%d", "--insecure")
    )
    # nginx takes the connection and says it in its page.
    assert found == [("WS-TLS-015", "error"), ("WS-TLS-020", "warning")]


def test_the_wrong_scheme_for_the_port(tmp_path):
    found = asyncio.run(run(tmp_path / "a", "", "https://127.0.0.1:%d"))
    assert found == [("WS-TLS-017", "error")]
    lab = make_certificates(tmp_path / "ca")
    found = asyncio.run(run(tmp_path / "b", ssl_lines(lab.chain, lab.key), "http://127.0.0.1:%d"))
    assert found == [("WS-TLS-018", "error")]


def test_no_version_or_cipher_in_common(tmp_path):
    lab = make_certificates(tmp_path / "ca")
    more = "ssl_protocols TLSv1.2; ssl_ciphers NULL-SHA256:@SECLEVEL=0;"
    server = ssl_lines(lab.chain, lab.key, more)
    found = asyncio.run(run(tmp_path, server, "https://127.0.0.1:%d", "--insecure"))
    assert found == [("WS-TLS-016", "error")]


def test_a_certificate_that_is_right_has_no_finding(tmp_path):
    lab = make_certificates(tmp_path / "ca")
    trusted = f"ssl_verify_upstream_trusted_ca={lab.ca}"
    server = ssl_lines(lab.chain, lab.key)
    assert asyncio.run(run(tmp_path, server, "https://127.0.0.1:%d", "--set", trusted)) == []


def test_nothing_listens_there(tmp_path):
    found = asyncio.run(run(tmp_path, "", f"http://127.0.0.1:{free_port()}#%d".partition("#")[0] + "%.0s"))
    assert found == [("WS-HS-032", "error")]
