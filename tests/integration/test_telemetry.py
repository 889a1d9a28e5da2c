"""`run --otlp`: a real engine, its traffic, and a receiver that decodes what arrives."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from tests.support.browser_run import wait_for
from tests.support.echo_engine import echo_engine
from tests.support.engine import Engine
from tests.support.otlp import Receiver, receiving, receiving_grpc
from tests.support.processes import children, command_line, wait_until_gone
from tests.support.small_servers import free_port
from wsinspect.telemetry.process import source_of

TEXT = {"websocket.direction": "c2s", "websocket.opcode": "TEXT"}


@pytest.fixture(autouse=True)
def variables(monkeypatch) -> None:
    """The user's are not ours; metrics come often."""
    for name in [name for name in os.environ if name.startswith("OTEL_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("OTEL_METRIC_EXPORT_INTERVAL", "100")


def telemetry_of(engine: Engine) -> int:
    """Its process that sends; between fork and exec it still has the engine's command line."""
    return wait_for(
        lambda: next(
            (one for one in children(engine.pid) if "wsinspect.telemetry.process" in command_line(one)), None
        )
    )


@pytest.mark.slow
@pytest.mark.parametrize("receiving", [receiving, receiving_grpc], ids=["http", "grpc"])
def test_a_session_arrives_while_the_proxy_runs(tmp_path, monkeypatch, receiving) -> None:
    async def talk(receiver: Receiver) -> None:
        if "grpc" in receiving.__name__:
            monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
        fault = "latency,direction=s2c,latency=1ms,name=slow"
        async with echo_engine(tmp_path, "--otlp", receiver.url, "--fault", fault) as echo:
            url = echo.url("/room?token=s3cr3t")
            async with connect(url, additional_headers={"User-Agent": "probe/1"}) as client:
                for number in range(3):
                    await client.send(f"secret payload {number}")
                    await client.recv()
                await (await client.ping())
                await asyncio.to_thread(
                    receiver.wait_for,
                    lambda it: (
                        it.total("websocket.frames", TEXT) == 3
                        and it.total("websocket.ping.rtt") == 1
                        and it.total("websocket.connection.active") == 1  # may come last of one export
                    ),
                )
                assert receiver.spans == []
            await asyncio.to_thread(receiver.wait_for, lambda it: it.spans)
            await asyncio.to_thread(
                receiver.wait_for, lambda it: it.total("websocket.connection.duration") == 1
            )

    with receiving() as receiver:
        asyncio.run(talk(receiver))
    (span,) = receiver.spans
    attributes = span.attributes
    assert (attributes["url.path"], attributes["url.query"]) == ("/room", "token=***")
    assert (attributes["websocket.close.code"], attributes["user_agent.original"]) == (1000, "probe/1")
    assert attributes["websocket.ping.server.count"] == 1
    assert attributes["websocket.ping.server.rtt.mean"] > 0
    assert span.event("fault")[2]["wsinspect.fault.rule"] == "slow"
    assert receiver.total("wsinspect.faults", {"wsinspect.fault.kind": "latency"}) >= 3
    assert receiver.total("websocket.connection.active") == 0
    assert not any(b"secret payload" in body or b"s3cr3t" in body for body in receiver.raw)


async def refused(url: str) -> None:
    with pytest.raises(InvalidStatus):
        await connect(url)


def test_a_failure_is_a_span_with_its_finding_and_survives_the_engine(tmp_path, monkeypatch) -> None:
    """The variable alone names the collector; the engine is killed before anything was sent of it."""
    with receiving() as receiver:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url)
        target = f"http://127.0.0.1:{free_port()}"
        engine = Engine.start("--listen", "127.0.0.1:0", "--reverse", target, folder=tmp_path / "engine")
        try:
            engine.wait_for_stderr(
                f"sending spans and metrics to {receiver.url} (OTEL_EXPORTER_OTLP_ENDPOINT)"
            )
            sender = telemetry_of(engine)
            asyncio.run(refused(f"ws://127.0.0.1:{engine.port('reverse')}/"))
            engine.wait_for_event("finding")
        finally:
            engine.kill()
        receiver.wait_for(lambda it: it.spans)
        wait_until_gone(sender, 20)
    (span,) = receiver.spans
    assert span.is_error
    assert span.attributes["error.type"] == "failed"
    assert span.event("finding")[2]["wsinspect.finding.severity"] == "error"
    assert receiver.total("wsinspect.findings") >= 1


def test_a_sender_that_is_killed_changes_nothing_else(tmp_path) -> None:
    async def talk() -> None:
        with receiving() as receiver:
            async with echo_engine(tmp_path, "--otlp", receiver.url) as echo:
                await asyncio.to_thread(echo.engine.wait_for_stderr, "sending spans")
                os.kill(telemetry_of(echo.engine), signal.SIGKILL)
                await asyncio.to_thread(
                    echo.engine.wait_for_stderr, "nothing more is sent to the collector (signal 9)"
                )
                async with connect(echo.url()) as client:
                    await client.send("still here")
                    assert await client.recv() == "still here"

    asyncio.run(talk())


@pytest.fixture
def silent() -> Iterator[str]:
    """A collector that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


@pytest.mark.slow
def test_a_collector_that_never_answers_holds_up_neither_traffic_nor_the_end(tmp_path, silent) -> None:
    async def talk() -> Path:
        async with echo_engine(tmp_path, "--otlp", silent) as echo:
            async with connect(echo.url()) as client:
                for number in range(50):
                    await client.send(str(number))
                    assert await client.recv() == str(number)
            await echo.event("close")
            with await echo.stop() as capture:
                assert capture.meta["closed_cleanly"] is True
                assert source_of(capture).startswith("echo-")
            return echo.engine.stderr_path

    said = asyncio.run(talk()).read_text()
    assert "the collector did not take everything in time" in said
    assert "1 span not sent to the collector" in said


def test_a_wrong_url_is_one_line_before_anything_starts(tmp_path) -> None:
    from tests.support.engine import EngineFailedError

    with pytest.raises(
        EngineFailedError, match=r"exit code 2: .*not the URL of a collector: 'collector:4318'"
    ):
        Engine.start("--otlp", "collector:4318", folder=tmp_path / "engine")
