"""The doctor's ways to a server: each address of the name, IPv6, the proxy of the environment."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import Any

import pytest

from tests.support.certs import make_certificates
from tests.support.doctor_lab import (
    LOOPBACK,
    echo,
    examine_server,
    examined,
    ids,
    pongs,
    replies,
    serving,
    unless,
)
from tests.support.small_servers import free_port
from wsinspect.doctor.examination import Examination
from wsinspect.doctor.target import Extras
from wsinspect.handshake.heads import RawHead


def resolving(monkeypatch, addresses: dict[str, list[str]]) -> None:
    """Names that this machine need not know; one without addresses does not exist."""
    resolve = asyncio.base_events.BaseEventLoop.getaddrinfo

    async def told(loop, name, port, **options):
        if name not in addresses:
            return await resolve(loop, name, port, **options)
        if not addresses[name]:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        kinds = [socket.AF_INET6 if ":" in one else socket.AF_INET for one in addresses[name]]
        return [
            (kind, socket.SOCK_STREAM, 6, "", (one, port))
            for kind, one in zip(kinds, addresses[name], strict=True)
        ]

    monkeypatch.setattr(asyncio.base_events.BaseEventLoop, "getaddrinfo", told)


def test_each_address_of_a_name_is_tried_and_the_first_that_works_is_asked(monkeypatch) -> None:
    """IPv6 first, as resolvers put it, and nobody listens there; twice the same is one."""
    names = ["::1", "127.0.0.2", LOOPBACK, LOOPBACK]
    resolving(monkeypatch, {"many.invalid": names})
    found = examine_server(replies(echo), host="many.invalid")
    tried = found.reached[0].addresses
    assert [one.address.host for one in tried] == names[:3]
    assert [one.error is None for one in tried] == [False, False, True]
    assert found.answers[0].facts.status == 101
    assert {str(one.facts.server_address).rpartition(":")[0] for one in found.answers} == {LOOPBACK}
    assert ("WS-HS-058", "note") in [(one.id, one.severity) for one in found.judgement.findings]
    assert found.judgement.verdict == "healthy"


@pytest.mark.parametrize(
    ("origin", "page", "first", "verdict"),
    [
        ("https://app.invalid", "93.184.215.14", ("WS-PAGE-009", "warning"), "degraded"),
        ("http://app.invalid", "93.184.215.14", ("WS-PAGE-009", "error"), "failing"),
        ("https://app.invalid", "10.0.0.1", ("WS-HS-055", "note"), "healthy"),
        ("https://nowhere.invalid", None, ("WS-HS-055", "note"), "healthy"),
        ("null", None, ("WS-HS-055", "note"), "healthy"),
    ],
)
def test_a_page_at_a_public_address_needs_a_permission(monkeypatch, origin, page, first, verdict) -> None:
    """The page's name is resolved; nothing connects to it."""
    resolving(monkeypatch, {"app.invalid": [page] if page else [], "nowhere.invalid": []})
    found = examine_server(replies(echo), "/", Extras(origin=origin))
    one = found.judgement.findings[0]
    assert ((one.id, one.severity), found.judgement.verdict) == (first, verdict)
    assert {one.facts.server_address for one in found.answers} == {str(found.target.address)}


def test_a_server_on_ipv6_alone() -> None:
    async def run() -> Examination:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            # The first connection only asks whether there is a server.
            with contextlib.suppress(asyncio.IncompleteReadError):
                head = RawHead.parse(await reader.readuntil(b"\r\n\r\n"))
                hosts.add(head.get("host"))
                writer.write(echo(head))
                await pongs(reader, writer)
            writer.close()

        server = await asyncio.start_server(handle, "::1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            found = await examined(f"ws://[::1]:{port}/")
            assert hosts == {f"[::1]:{port}".encode()}
            return found

    hosts: set[bytes | None] = set()
    if not socket.has_ipv6:
        pytest.skip("no IPv6 on this machine")
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("no IPv6 on this machine")
    assert asyncio.run(run()).judgement.verdict == "healthy"


def test_a_port_where_nothing_listens_is_unreachable() -> None:
    found = asyncio.run(examined(f"ws://127.0.0.1:{free_port()}/"))
    assert (found.judgement.verdict, found.exit_code) == ("unreachable", 1)
    assert ids(found) == ["WS-HS-032"]
    assert "502" not in found.judgement.findings[0].meaning


def tunnel(to_port: int, status: str = "200 OK"):
    """A forward proxy that sends every CONNECT to one port, or refuses it."""

    async def play(head: RawHead, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(f"HTTP/1.1 {status}\r\n\r\n".encode())
        await writer.drain()
        if not status.startswith("200"):
            return
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", to_port)

        async def copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            while data := await source.read(65536):
                sink.write(data)
            sink.close()

        await asyncio.gather(copy(reader, inner_writer), copy(inner_reader, writer))

    return play


@pytest.mark.parametrize(
    ("host", "status", "expected", "verdict"),
    [
        ("127.0.0.1", "200 OK", [], "healthy"),
        ("127.0.0.1", "403 Forbidden", ["WS-HS-061"], "degraded"),
        ("elsewhere.invalid", "200 OK", ["WS-HS-060"], "unreachable"),
        ("elsewhere.invalid", "407 Proxy Authentication Required", ["WS-HS-033"], "unreachable"),
    ],
)
def test_the_proxy_of_the_environment_is_tried_too(monkeypatch, host, status, expected, verdict) -> None:
    checked = unless(lambda head: head.get("origin") == b"https://wsinspect.invalid", "403 Forbidden")
    resolving(monkeypatch, {"elsewhere.invalid": []})

    async def run() -> Examination:
        async with serving(checked) as port, serving(tunnel(port, status)) as proxy:
            environment = {"http_proxy": f"http://127.0.0.1:{proxy}"}
            return await examined(f"ws://{host}:{port}/", environment=environment)

    found = asyncio.run(run())
    assert (ids(found), found.judgement.verdict) == (expected, verdict)
    assert [one.question.kind for one in found.answers][1] == "proxy"


def test_a_tls_server_behind_a_proxy_that_no_proxy_exempts(tmp_path) -> None:
    """Through the proxy TLS is with the server; a host in NO_PROXY is asked without."""
    tls = make_certificates(tmp_path)
    asked: list[bytes] = []

    async def run(**more: str) -> Examination:
        async with serving(replies(echo), tls.server_context()) as port:
            copy = tunnel(port)

            async def noting(head: RawHead, reader: Any, writer: Any) -> None:
                asked.append(head.start_line)
                await copy(head, reader, writer)

            async with serving(noting) as proxy:
                environment = {"HTTPS_PROXY": f"http://127.0.0.1:{proxy}", **more}
                url = f"wss://localhost:{port}/"
                return await examined(url, trusted=(tls.ca,), environment=environment)

    found = asyncio.run(run())
    assert [one.facts.status for one in found.answers if one.question.kind == "proxy"] == [101]
    assert asked == [f"CONNECT localhost:{found.target.port} HTTP/1.1".encode()]
    asked.clear()
    found = asyncio.run(run(NO_PROXY="localhost"))
    assert "proxy" not in [one.question.kind for one in found.answers]
    assert asked == []
