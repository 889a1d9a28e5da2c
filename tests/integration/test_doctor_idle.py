"""`doctor --idle` against servers and real hops with short limits: which limit it is, and whose."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import signal
import struct
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support import warm_command
from tests.support.doctor_lab import LOOPBACK, examined, http, ids, is_upgrade, pongs, serving, switching
from tests.support.hops import NGINX_GOOD, apache, caddy, envoy, envoy_program, haproxy, nginx
from tests.support.terminal import Terminal
from wsinspect.doctor.examination import Examination
from wsinspect.doctor.hold import Trial
from wsinspect.doctor.holder import Watched

SECOND = 10**9
LIMIT_IDS = (
    "WS-DROP-009",
    "WS-DROP-010",
    "WS-DROP-011",
    "WS-DROP-012",
    "WS-DROP-013",
    "WS-DROP-014",
    "WS-KA-009",
)


def limit_ids(found: Examination) -> list[str]:
    return [one for one in ids(found) if one in LIMIT_IDS]


async def held(url: str, seconds: float, message: bytes = b"", **options: Any) -> Examination:
    trial = Trial(duration_ns=round(seconds * SECOND), message=message)
    return await examined(url, idle=Watched(trial=trial), **options)


def hold_server(play, seconds: float = 5.0, message: bytes = b"", path: str = "/chat") -> Examination:
    async def run() -> Examination:
        async with serving(play) as port:
            return await held(f"ws://{LOOPBACK}:{port}{path}", seconds, message)

    return asyncio.run(run())


def server(
    *,
    idle: float | None = None,
    lifetime: float | None = None,
    pings: float | None = None,
    wants_pongs: float | None = None,
    code: int | None = None,
    counts_messages: bool = False,
):
    """A server with these limits, in seconds; it answers pings."""

    async def play(head, reader, writer) -> None:
        if not is_upgrade(head):
            writer.write(http("200 OK", b"hello"))
            return
        writer.write(switching(head))
        loop = asyncio.get_running_loop()
        begin = last = loop.time()
        unanswered: float | None = None
        next_ping = begin + (pings or 1e9)
        reading = asyncio.create_task(frame(reader))
        try:
            while True:
                ends = [
                    begin + (lifetime or 1e9),
                    last + (idle or 1e9),
                    (unanswered or 1e9) + (wants_pongs or 1e9),
                ]
                now = loop.time()
                if now >= min(ends):
                    break
                if now >= next_ping:
                    next_ping += pings or 1e9
                    unanswered = unanswered or now
                    writer.write(b"\x89\x01b")
                await asyncio.wait({reading}, timeout=min(*ends, next_ping) - now)
                if reading.done():
                    opcode, payload = reading.result()
                    if opcode == 9:
                        writer.write(bytes((0x8A, len(payload))) + payload)
                    if opcode == 10 and payload == b"b":
                        unanswered = None
                    if opcode == 8:
                        writer.write(bytes((0x88, len(payload))) + payload)
                        return
                    if opcode == 1 or not counts_messages:
                        last = loop.time()
                    reading = asyncio.create_task(frame(reader))
        finally:
            reading.cancel()
            with contextlib.suppress(asyncio.CancelledError, asyncio.IncompleteReadError, OSError):
                await reading
        if code is not None:
            writer.write(b"\x88\x06" + struct.pack("!H", code) + b"idle")

    return play


async def frame(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    first, second = await reader.readexactly(2)
    key = await reader.readexactly(4)
    payload = await reader.readexactly(second & 127)
    return first & 15, bytes(byte ^ key[at % 4] for at, byte in enumerate(payload))


SERVERS: list[tuple[str, dict[str, Any], bytes, list[str], str]] = [
    ("idle", dict(idle=1.5), b"", ["WS-DROP-009"], "1.5 s of silence"),
    ("idle with 1001", dict(idle=1.5, code=1001), b"", ["WS-DROP-009"], "1.5 s of silence"),
    ("lifetime", dict(lifetime=3), b"hi", ["WS-DROP-010"], "age of 3 s, busy or idle"),
    (
        "idle and lifetime",
        dict(idle=1.2, lifetime=3.5),
        b"hi",
        ["WS-DROP-009", "WS-DROP-010"],
        "1.2 s of silence",
    ),
    (
        "messages",
        dict(idle=2.5, counts_messages=True),
        b"hi",
        ["WS-DROP-010"],
        "after the client's last message",
    ),
    ("heartbeat", dict(pings=1, wants_pongs=1, code=1011), b"", ["WS-KA-009"], "pings are ended after 2 s"),
    ("healthy", {}, b"hi", [], ""),
    ("healthy, pings", dict(pings=1), b"", [], ""),
]


@pytest.mark.slow  # five seconds of silence; unit/doctor/test_hold.py has every limit on a clock of its own
def test_the_limits_of_servers():
    """All at once, because each trial takes its time."""

    async def one(limits: dict[str, Any], message: bytes) -> Examination:
        async with serving(server(**limits)) as port:
            return await held(f"ws://{LOOPBACK}:{port}/chat", 5.0, message)

    async def run() -> list[Examination]:
        return await asyncio.gather(*(one(limits, message) for _, limits, message, _, _ in SERVERS))

    for (name, _, _, wanted, words), found in zip(SERVERS, asyncio.run(run()), strict=True):
        said = [(one.title, one.evidence) for one in found.judgement.findings]
        assert limit_ids(found) == wanted, (name, said)
        assert not wanted or words in next(o.title for o in found.judgement.findings if o.id == wanted[0])
        is_limit = any(one.startswith("WS-DROP") for one in wanted)
        assert found.judgement.verdict == ("degraded" if is_limit else "healthy"), name
        assert found.exit_code == 0
        assert any(line.startswith("limits: ") for line in found.judgement.ruled_out) != is_limit, name


@pytest.mark.slow
def test_a_black_hole_is_found_and_bounded():
    """A hop that forgets a connection after a silence: nobody answers any more, and nobody ends it."""

    async def play(head, reader, writer) -> None:
        if not is_upgrade(head):
            writer.write(http("200 OK"))
            return
        writer.write(switching(head))
        while True:
            try:
                async with asyncio.timeout(1.8):
                    opcode, payload = await frame(reader)
            except TimeoutError:
                await reader.read()
                return
            if opcode == 9:
                writer.write(bytes((0x8A, len(payload))) + payload)
            if opcode == 8:
                writer.write(bytes((0x88, len(payload))) + payload)
                return

    found = hold_server(play, 4.0)
    assert limit_ids(found) == ["WS-DROP-011"], [(o.title, o.evidence) for o in found.judgement.findings]


def test_a_server_that_goes_away_is_no_limit():
    async def run() -> Examination:
        end = asyncio.Event()
        count = 0

        async def play(head, reader, writer) -> None:
            nonlocal count
            if not is_upgrade(head):
                writer.write(http("200 OK"))
                return
            writer.write(switching(head))
            count += 1
            if count == 4 + 6:  # four questions, six connections that are held
                end.set()
            talking = asyncio.create_task(pongs(reader, writer))
            ending = asyncio.create_task(end.wait())
            await asyncio.wait({talking, ending}, return_when=asyncio.FIRST_COMPLETED)
            talking.cancel()
            ending.cancel()
            await asyncio.gather(talking, ending, return_exceptions=True)

        async with serving(play) as port:
            return await held(f"ws://{LOOPBACK}:{port}/", 6.0)

    assert limit_ids(asyncio.run(run())) == ["WS-DROP-012"]


@pytest.mark.slow
def test_a_server_that_keeps_one_connection_for_each_client():
    current: list[asyncio.StreamWriter] = []

    async def play(head, reader, writer) -> None:
        if not is_upgrade(head):
            writer.write(http("200 OK"))
            return
        for one in current:
            one.write(b"\x88\x06\x0f\xa1next")
        current[:] = [writer]
        writer.write(switching(head))
        await pongs(reader, writer)

    found = hold_server(play, 8.0)
    assert limit_ids(found) == ["WS-DROP-014"], [(o.title, o.evidence) for o in found.judgement.findings]


@pytest.mark.slow
def test_a_server_that_floods_is_let_go():
    async def play(head, reader, writer) -> None:
        if not is_upgrade(head):
            writer.write(http("200 OK"))
            return
        writer.write(switching(head))
        noise = b"\x82\x7e\xff\xff" + b"x" * 0xFFFF
        for _ in range(1000):
            writer.write(noise)
            await writer.drain()

    found = hold_server(play, 60.0)
    assert limit_ids(found) == []
    assert all("let go" in (one.error or "") for one in found.held)


def test_refused_connections_are_said_and_blame_nobody():
    """A server that allows one connection at a time."""
    count = 0

    async def play(head, reader, writer) -> None:
        nonlocal count
        count += 1
        try:
            if is_upgrade(head) and count > 1:
                writer.write(http("429 Too Many Requests"))
            elif is_upgrade(head):
                writer.write(switching(head))
                await pongs(reader, writer)
            else:
                writer.write(http("200 OK"))
        finally:
            count -= 1

    found = hold_server(play, 2.0)
    assert limit_ids(found) == []
    assert sum("429" in (one.error or "") for one in found.held) >= 4
    assert found.exit_code == 0


@contextlib.contextmanager
def command(url: str, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    words = [str(warm_command.program()), "doctor", url, *options]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@pytest.mark.slow  # silences of seconds
def test_ctrl_c_says_what_is_known_by_then():
    async def run() -> tuple[int, dict[str, Any]]:
        has_outlived = asyncio.Event()
        idle = server(idle=1.2)

        async def play(head, reader, writer) -> None:
            begin = asyncio.get_running_loop().time()
            # Whoever lives twice as long as the limit sends something.
            alarm = asyncio.get_running_loop().call_at(begin + 2.4, has_outlived.set)
            try:
                await idle(head, reader, writer)
            finally:
                alarm.cancel()

        async with serving(play) as port:
            with command(f"ws://{LOOPBACK}:{port}/chat", "--idle", "20s", "--json") as process:
                await has_outlived.wait()
                process.send_signal(signal.SIGINT)
                out, _ = await asyncio.to_thread(process.communicate)
                return process.returncode, json.loads(out)

    code, told = asyncio.run(run())
    assert code == 130
    assert [one["way"] for one in told["held"]][:2] == ["silent", "pings"]
    assert "WS-DROP-009" in [one["id"] for one in told["findings"]]


@pytest.mark.slow
def test_a_terminal_has_a_bar_that_fills_until_ctrl_c():
    """80 columns and 24 rows: the bar moves, Ctrl-C takes it away, and what is known by then fits."""

    async def run() -> tuple[int, str]:
        async with serving(server()) as port:
            url = f"ws://{LOOPBACK}:{port}/chat"
            words = [str(warm_command.program()), "doctor", url, "--idle", "20s"]
            terminal = Terminal(words, size=(80, 24))
            try:
                await asyncio.to_thread(terminal.wait_for, "holding connections")
                await asyncio.to_thread(terminal.wait_for, "1%")
                terminal.press(b"\x03")
                await asyncio.to_thread(terminal.wait_for, "Ruled out")
            finally:
                code = await asyncio.to_thread(terminal.end)
            return code, terminal.drawn()

    code, drawn = asyncio.run(run())
    assert code == 130
    percents = [int(one) for one in re.findall(r"(\d+)%", drawn)]
    assert percents == sorted(percents)
    assert 0 < percents[-1] < 100
    bar, _, said = drawn.rpartition("%")
    assert "holding connections  [" in bar
    assert "\x1b[K" in said
    lines = re.sub(r"\x1b\[[0-9;]*[a-zA-Z]", "", said).replace("\r", "").strip("\n").split("\n")
    assert any(line.startswith("The WebSocket works: ") for line in lines)
    assert any("limits: " in line for line in lines)
    assert sum(-(-max(len(line), 1) // 80) for line in lines) <= 24
    assert all(len(line) <= 80 for line in lines if not line.startswith("  curl "))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--idle", "10ms"], "--idle has to be 1s or longer"),
        (["--message", "hi"], "--message goes with --idle"),
        (["--idle", "soon"], "duration"),
    ],
)
def test_bad_input_is_one_line(options, words):
    with command("ws://127.0.0.1:1/", *options) as process:
        out, err = process.communicate()
    assert process.returncode == 2
    assert not out
    assert words in err.decode()
    assert "Traceback" not in err.decode()


# -- real hops in front of a server without limits

HOPS = [
    (
        "nginx proxy_read_timeout",
        lambda folder, port: nginx(
            folder,
            f"location / {{ {NGINX_GOOD} proxy_read_timeout 2s; proxy_pass http://{LOOPBACK}:{port}; }}",
        ),
        "WS-DROP-009",
        "2 s of silence",
    ),
    (
        "HAProxy timeout tunnel",
        lambda folder, port: haproxy(folder, f"server a {LOOPBACK}:{port}", timeouts="timeout tunnel 2s"),
        "WS-DROP-009",
        "2 s of silence",
    ),
    (
        "HAProxy timeout client",
        lambda folder, port: haproxy(folder, f"server a {LOOPBACK}:{port}", timeouts="timeout client 2s"),
        "WS-DROP-009",
        "2 s of silence",
    ),
    (
        "HAProxy timeout server",
        lambda folder, port: haproxy(folder, f"server a {LOOPBACK}:{port}", timeouts="timeout server 2s"),
        "WS-DROP-009",
        "2 s of silence",
    ),
    (
        "Apache ProxyTimeout",
        lambda folder, port: apache(
            folder, f'Timeout 2\nProxyTimeout 2\nProxyPass "/" "ws://{LOOPBACK}:{port}/"'
        ),
        "WS-DROP-009",
        "2 s of silence",
    ),
    (
        "Caddy, without a limit",  # `stream_timeout` came with 2.7; Debian has 2.6
        lambda folder, port: caddy(folder, f"reverse_proxy {LOOPBACK}:{port}"),
        None,
        "",
    ),
    (
        "nginx, without a limit that short",
        lambda folder, port: nginx(
            folder, f"location / {{ {NGINX_GOOD} proxy_pass http://{LOOPBACK}:{port}; }}"
        ),
        None,
        "",
    ),
    (
        "Envoy stream_idle_timeout",
        lambda folder, port: of_envoy(folder, port, stream_idle_timeout="2s"),
        "WS-DROP-009",
        "3 s of silence",
    ),
    (
        "Envoy max_stream_duration",
        lambda folder, port: of_envoy(
            folder, port, common_http_protocol_options={"max_stream_duration": "2s"}
        ),
        "WS-DROP-010",
        "age of 3 s",
    ),
]


def of_envoy(folder, port: int, **manager: Any):
    """An Envoy; it sends FIN a second after its limit (delayed_close_timeout)."""
    routes = [{"match": {"prefix": "/"}, "route": {"cluster": "app", "timeout": "0s"}}]
    upgrades = {"upgrade_configs": [{"upgrade_type": "websocket"}]}
    return envoy(folder, routes, {"app": port}, manager={**upgrades, **manager})


@pytest.mark.lab
def test_the_limits_of_real_hops(tmp_path):
    """Each alone, and with the server behind it asked as well; all at once."""
    hops = [one for one in HOPS if not one[0].startswith("Envoy") or envoy_program() is not None]

    async def one(number: int, start, port: int, *, is_direct: bool) -> Examination:
        hop = await asyncio.to_thread(start, tmp_path / f"{number}-{is_direct}", port)
        try:
            behind = [f"http://{LOOPBACK}:{port}"] if is_direct else []
            return await held(f"ws://{LOOPBACK}:{hop.port}/chat", 5.0, b"hi", behind=behind)
        finally:
            await asyncio.to_thread(hop.stop)

    async def run() -> list[Examination]:
        async with serving(server()) as port:
            return await asyncio.gather(
                *(
                    one(number, start, port, is_direct=is_direct)
                    for is_direct in (False, True)
                    for number, (_, start, _, _) in enumerate(hops)
                )
            )

    for number, found in enumerate(asyncio.run(run())):
        is_direct, (name, _, wanted, words) = number >= len(hops), hops[number % len(hops)]
        assert limit_ids(found)[:1] == ([wanted] if wanted else []), (name, found.judgement.findings)
        if not wanted:
            assert found.judgement.verdict == "healthy"
            continue
        first = next(one for one in found.judgement.findings if one.id == wanted)
        # A busy machine notes a frame a moment late.
        said, meant = (re.search(r"(age of )?([\d.]+) s( of silence)?", one) for one in (first.title, words))
        assert said is not None, first
        assert meant is not None
        assert (said[1], said[3]) == (meant[1], meant[3]), (name, first)
        assert abs(float(said[2]) - float(meant[2])) < 0.6, (name, first)
        assert first.fault_of == "hop"
        if is_direct:
            assert any("keeps it open longer" in line for line in first.evidence), (name, first)
