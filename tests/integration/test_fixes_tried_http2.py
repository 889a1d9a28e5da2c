"""The lines that a finding prints about WebSockets over HTTP/2 (RFC 8441), applied on the real program.

Each program is asked as a client would ask before and after: by extended CONNECT where it allows that, else
over HTTP/1.1, or by extended CONNECT all the same.
"""

import contextlib
import os

import pytest
from ruamel.yaml import YAML

from tests.support.certs import make_certificates
from tests.support.h2_asked import SAID, Place, ask, offers_connect, over_http1, over_http2
from tests.support.h2_servers import (
    application,
    caddy_program,
    hypercorn,
    is_missing,
    node,
    tls_apache,
    tls_caddy,
    tls_envoy,
)
from tests.support.hops import LOOPBACK
from wsinspect.findings.fixes import FIXES

pytestmark = [pytest.mark.lab, pytest.mark.slow]


def as_browsers(port):
    """Over HTTP/2 where it is allowed, else over a connection of HTTP/1.1."""
    if ask(offers_connect, Place(port), "/ws"):
        return unasked(port)
    second = ask(over_http1, Place(port), "/ws")
    return second.answer == 101 and second.said == SAID


def unasked(port):
    """By extended CONNECT, whatever the server's SETTINGS are."""
    first = ask(over_http2, Place(port), "/ws")
    return first.answer == 200 and first.said == SAID


@contextlib.contextmanager
def running(hop):
    with hop:
        yield hop.port


# -- each takes a folder, certificates, and the printed lines, or None for what is wrong


@contextlib.contextmanager
def envoy_key(folder, certificates, fix):
    """A hop that makes an upgrade without a key of an extended CONNECT."""
    options = None if fix is None else YAML(typ="safe").load(fix.partition("# or speak")[0])
    with (
        application() as app,
        running(tls_envoy(folder, certificates, app, allowed=options)) as port,
    ):
        yield port


@contextlib.contextmanager
def envoy_to_http2(folder, certificates, fix):
    """The other way that the same lines name: a server that carries WebSockets over HTTP/2."""
    assert fix is None or "allow_connect: true in the cluster's options, too" in fix, fix
    if fix is None:
        with application() as app, running(tls_envoy(folder, certificates, app)) as port:
            yield port
        return
    with (
        hypercorn(folder / "app", certificates) as server,
        running(tls_envoy(folder, certificates, server.port, is_http2_behind=True)) as port,
    ):
        yield port


@contextlib.contextmanager
def apache_to_http2(folder, certificates, fix):
    """mod_proxy_http2 makes a GET of a WebSocket."""
    with hypercorn(folder / "app", certificates) as server:
        line = "" if fix is None else fix.replace("https://backend/", f"https://{LOOPBACK}:{server.port}/")
        more = "H2WebSockets on\n"
        hop = tls_apache(folder, certificates, server.port, more, is_http2_behind=True, proxy_pass=line)
        with running(hop) as port:
            yield port


@contextlib.contextmanager
def apache_unasked(folder, certificates, fix):
    with application() as app, running(tls_apache(folder, certificates, app, fix or "")) as port:
        yield port


@contextlib.contextmanager
def caddy_unasked(folder, certificates, fix):
    program, variables = caddy_program(), {}
    if fix is not None:
        setting, _, rest = fix.partition(" ")
        assert rest.startswith("caddy run "), fix
        variables = dict([setting.split("=", 1)])
    with (
        application() as app,
        running(tls_caddy(folder, certificates, app, str(program), environment=variables)) as port,
    ):
        yield port


@contextlib.contextmanager
def node_unasked(folder, certificates, fix):
    """The lab's server has the printed setting, or does not have it."""
    assert fix is None or "settings: { enableConnectProtocol: true }" in fix, fix
    with node(certificates, "off" if fix is None else "on", "426") as port:
        yield port


CELLS = [
    ("h2-key", "envoy", envoy_key, as_browsers, "Envoy"),
    ("h2-key", "envoy", envoy_to_http2, as_browsers, "Envoy"),
    ("h2-behind", "apache", apache_to_http2, as_browsers, ""),
    ("h2-unasked", "apache", apache_unasked, unasked, ""),
    ("h2-unasked", "caddy", caddy_unasked, unasked, "Caddy"),
    ("h2-unasked", "node-ws", node_unasked, unasked, ""),
]


@pytest.mark.parametrize(
    ("topic", "software", "start", "works", "needs"),
    [pytest.param(*cell, id=f"{cell[0]}-{cell[2].__name__}") for cell in CELLS],
)
def test_the_printed_lines_make_websockets_over_http2_work(topic, software, start, works, needs, tmp_path):
    if needs and is_missing(needs):
        pytest.skip(f"there is no {needs} for this machine")
    assert "GODEBUG" not in os.environ
    certificates = make_certificates(tmp_path / "certificates")
    worked = []
    for number, fix in enumerate((None, FIXES[topic][software])):
        with start(tmp_path / str(number), certificates, fix) as port:
            worked.append(works(port))
    assert worked == [False, True], FIXES[topic][software]
