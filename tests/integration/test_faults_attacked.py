"""Faults under attack: armed and disarmed all the time, endless senders, hostile files and requests."""

from __future__ import annotations

import asyncio
import contextlib
import random
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from websockets.asyncio.client import connect

from tests.support import warm
from tests.support.echo_engine import EchoEngine, echo_engine
from tests.support.engine import private_environment
from tests.support.processes import resident_bytes
from wsinspect.control.client import ControlClient, ControlError

pytestmark = pytest.mark.asyncio

#: Rules that hold, delay or cut, and lose nothing.
HARMLESS = (
    {"kind": "latency", "latency": "20ms", "jitter": "20ms"},
    {"kind": "hold", "count": 7, "time": "30ms"},
    {"kind": "bandwidth", "rate": "500KB/s"},
    {"kind": "slicer", "size": 50},
    {"kind": "fragment", "size": 30},
    {"kind": "blackhole", "for": "20ms"},
    {"kind": "drop", "match": "nothing says this"},
)


@pytest.mark.slow
@pytest.mark.parametrize("compression", ["deflate", None])
@pytest.mark.parametrize("way", ["splice", "layers"])
async def test_rules_armed_and_disarmed_under_traffic_lose_nothing(
    way: str, compression: str | None, tmp_path: Path
) -> None:
    messages = [f"message {number} " + "the quick brown fox " * (number % 40) for number in range(3000)]
    options = () if way == "splice" else ("--no-splice",)
    async with (
        echo_engine(tmp_path, *options, compression=compression) as lab,
        connect(lab.url(), compression=compression, ping_interval=None) as client,
    ):
        over = asyncio.Event()

        def arm() -> int:
            """As fast as the API answers."""
            chance = random.Random(1)
            turns = 0
            with ControlClient.open(lab.engine.ready["control"]) as control:
                while not over.is_set() or turns < 500:
                    made = control.post("/v1/faults", chance.choice(HARMLESS))
                    control.patch(f"/v1/faults/{made['name']}", {"armed": turns % 3 == 0})
                    control.delete(f"/v1/faults/{made['name']}")
                    turns += 1
            return turns

        arming = asyncio.create_task(asyncio.to_thread(arm))

        async def send() -> None:
            for number, message in enumerate(messages):
                await client.send(message)
                if number % 50 == 0:
                    await asyncio.sleep(0.01)

        sending = asyncio.create_task(send())
        try:
            got = [await asyncio.wait_for(client.recv(), 30) for _ in messages]
        finally:
            over.set()
            turns = await arming
        await sending
        assert got == messages
        assert turns >= 500


@pytest.mark.slow
@pytest.mark.parametrize("way", ["splice", "layers", "from the start"])
@pytest.mark.parametrize(
    "rule",
    [
        {"kind": "blackhole"},
        {"kind": "latency", "latency": "30s"},
        {"kind": "bandwidth", "rate": "10KB/s"},
        {"kind": "hold", "time": "30s"},
    ],
    ids=lambda rule: rule["kind"],
)
async def test_a_sender_that_never_stops_does_not_fill_the_memory(
    rule: dict[str, str], way: str, tmp_path: Path
) -> None:
    spec = ",".join(
        [rule["kind"] + ":c2s", *(f"{key}={value}" for key, value in rule.items() if key != "kind")]
    )
    options = {"splice": (), "layers": ("--no-splice",), "from the start": ("--fault", spec)}[way]
    async with (
        echo_engine(tmp_path, *options, compression=None) as lab,
        connect(lab.url(), compression=None, ping_interval=None, close_timeout=0) as client,
    ):
        if way != "from the start":
            await client.send(b"0123456789" * 10)
            await client.recv()
            await lab.control("POST", "/v1/faults", {**rule, "direction": "c2s"})
        before = resident_bytes(lab.engine.pid)
        sent = 0

        async def send() -> None:
            nonlocal sent
            while True:
                await client.send(b"0123456789" * 10)
                sent += 110

        with pytest.raises(TimeoutError):
            await asyncio.wait_for(send(), 2)
        # Backpressure reaches the sender, or, of a full buffer that is sent on, the server.
        assert resident_bytes(lab.engine.pid) - before < 60_000_000
        if rule["kind"] != "hold":
            assert sent < 30_000_000
        await lab.control("POST", "/v1/reset")
        assert await asyncio.wait_for(client.recv(), 20) == b"0123456789" * 10
        await lab.control("POST", "/v1/connections/1/abort", {"how": "rst"})


@pytest.mark.slow
async def test_injected_frames_do_not_pile_up_before_a_client_that_does_not_read(tmp_path: Path) -> None:
    async with (
        echo_engine(tmp_path, compression=None) as lab,
        connect(lab.url(), compression=None, ping_interval=None, close_timeout=0) as client,
    ):
        client.transport.pause_reading()
        before = resident_bytes(lab.engine.pid)
        rule = {"kind": "inject", "direction": "s2c", "payload": "x" * 60_000, "when": {"every": "1ms"}}
        await lab.control("POST", "/v1/faults", rule)
        counts = [-1, 0]
        while counts[-1] > counts[-2]:  # until it injects no more
            await asyncio.sleep(1)
            counts.append((await lab.control("GET", "/v1/faults"))["faults"][0]["hits"])
        assert counts[-1] > 10
        assert resident_bytes(lab.engine.pid) - before < 60_000_000
        await lab.control("POST", "/v1/connections/1/abort", {"how": "rst"})


BOMB = "version: 1\nexpect:\n  - {a: &a [x, x, x, x, x, x, x, x, x]}\n" + "".join(
    f"  - {{b: &{new} [*{old}, *{old}, *{old}, *{old}, *{old}, *{old}, *{old}, *{old}]}}\n"
    for old, new in zip("abcdefghijk", "bcdefghijkl", strict=True)
)
HOSTILE = {
    "a bomb of aliases": BOMB,
    "itself": "version: 1\nrules: &a\n  - *a\n",
    "depth": "version: 1\nexpect: [{a: " + "[" * 5000 + "]" * 5000 + "}]\n",
    "braces": "{" * 100_000,
    "many rules": "version: 1\nrules:\n" + "  - {kind: drop}\n" * 10_000,
    "many phases": "version: 1\nphases:\n" + "  - {for: 1s}\n" * 10_000,
    "a number of 5000 digits": "version: 1\nseed: " + "9" * 5000,
    "a number that is none": "version: 1\nrules:\n  - {kind: drop, probability: .nan}\n",
    "a huge time": "version: 1\nrules:\n  - {kind: latency, latency: 99999999999999999s}\n",
    "a huge name": "version: 1\nrules:\n  - {kind: " + "x" * 200_000 + "}\n",
    "a tag": "version: 1\nrules: !!python/object/apply:os.system [id]\n",
    "a date": "version: 1\nrules:\n  - {kind: drop, match: 2026-01-01}\n",
    "a set": "version: 1\nrules: !!set {a, b}\n",
    "keys that are none": "version: 1\nrules:\n  - {[a, b]: 1}\n",
    "large": "version: 1\nname: " + "x" * 1_000_000,
    "merged": "version: 1\nrules:\n  - &x {<<: *x, kind: drop}\n",
    "control characters": "version: 1\nname: \x07\n",
}


@pytest.mark.slow
@pytest.mark.parametrize("name", HOSTILE)
async def test_a_hostile_file_is_refused_in_one_line(name: str, tmp_path: Path) -> None:
    path = tmp_path / "hostile.yaml"
    path.write_text(HOSTILE[name])
    words = ["faults", "validate", str(path)]
    done = warm.run(words, folder=tmp_path, environment=private_environment(tmp_path), timeout=60)
    assert done.returncode == 2, done.stdout + done.stderr
    *excerpt, line = done.stderr.strip().splitlines()
    assert line.startswith("wsinspect: ")
    assert len(excerpt) in (0, 2)  # a wrong quantity is shown, with a caret
    assert excerpt == [] or excerpt[1].strip() == "^"
    assert len(done.stderr) < 2000
    assert "Traceback" not in done.stderr


async def post(lab: EchoEngine, body: bytes, *, is_chunked: bool) -> tuple[int, bytes]:
    """POST something large, reading the answer also where the engine does not want to hear the end."""
    control = lab.engine.ready["control"]
    place = urlsplit(control["url"])
    token = Path(control["token_file"]).read_text().strip()
    size = b"Transfer-Encoding: chunked" if is_chunked else b"Content-Length: %d" % len(body)
    head = (
        f"POST /v1/faults HTTP/1.1\r\nHost: {place.netloc}\r\nAuthorization: Bearer {token}\r\n"
        "Content-Type: application/json\r\n"
    ).encode()
    reader, writer = await asyncio.open_connection(place.hostname, place.port)
    writer.write(head + size + b"\r\n\r\n")
    step = 1 << 20
    with contextlib.suppress(OSError):
        for start in range(0, len(body), step):
            part = body[start : start + step]
            writer.write(b"%x\r\n%s\r\n" % (len(part), part) if is_chunked else part)
            await writer.drain()
        writer.write(b"0\r\n\r\n" if is_chunked else b"")
    answer = b""
    with contextlib.suppress(OSError, TimeoutError):
        answer = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 20)
    writer.close()
    return (int(answer.split(b" ")[1]) if answer else 0), answer


async def test_the_api_does_not_swallow_what_is_too_large(tmp_path: Path) -> None:
    async with echo_engine(tmp_path) as lab:
        before = resident_bytes(lab.engine.pid)
        for is_chunked in (False, True):
            status, _ = await post(lab, b" " * 100_000_000, is_chunked=is_chunked)
            assert status in (0, 413)  # a socket that still gets bytes when it is closed is reset
            assert (await post(lab, b" " * 2_100_000, is_chunked=is_chunked))[0] in (0, 413)
        assert (await post(lab, b" " * 2_000_000, is_chunked=False))[0] == 400
        assert resident_bytes(lab.engine.pid) - before < 60_000_000
        rules = [{"kind": "drop", "name": f"r{number}"} for number in range(10_000)]
        with pytest.raises(ControlError, match="at most"):
            await lab.control("PUT", "/v1/scenario", {"version": 1, "rules": rules})
        for number in range(200):
            await lab.control("POST", "/v1/faults", {"kind": "drop", "match": f"text {number}"})
        with pytest.raises(ControlError, match="200 rules already"):
            await lab.control("POST", "/v1/faults", {"kind": "drop"})
        async with connect(lab.url()) as client:
            await client.send("through two hundred rules")
            assert await client.recv() == "through two hundred rules"
        with pytest.raises(ControlError):
            await lab.control("POST", "/v1/faults", {"kind": "x" * 1_000_000})
        with pytest.raises(ControlError):
            await lab.control("POST", "/v1/faults", {"kind": "drop", "y" * 1_000_000: 1})
        assert "Traceback" not in lab.engine.stderr
