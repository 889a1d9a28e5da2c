"""The screens on a capture whose disk is really full: said at once, and counted once there is room again."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.full_disk import CHUNK, SIZE_MIB, binary, disk, echo
from tests.support.socket_echo import EchoServer, server
from tests.support.tui_pilot import opened
from wsinspect.launch.child import EngineChild

__all__ = ["disk", "server"]

#: What the banner may say first.
AT_ONCE = ("The proxy reports: cannot", "could not be stored (disk full?)")
pytestmark = [pytest.mark.asyncio, pytest.mark.slow]


@pytest.fixture
def engine(
    disk: Path, server: EchoServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[EngineChild]:
    """An engine as the screens start it, its capture on the small disk."""
    for name in ("HOME", "XDG_STATE_HOME", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR", "XDG_DATA_HOME"):
        (tmp_path / name).mkdir(mode=0o700)
        monkeypatch.setenv(name, str(tmp_path / name))
    target = f"http://127.0.0.1:{server.port}"
    child = EngineChild(["--reverse", target, "--listen", "0"], disk / "x.db")
    child.start()
    yield child
    child.stop()


async def test_a_full_disk_is_reported_at_once_and_what_is_missing_afterwards(
    disk: Path, engine: EngineChild
) -> None:
    ballast = disk / "ballast"
    ballast.write_bytes(bytes((SIZE_MIB - 12) << 20))
    port = int(engine.ready["listeners"][0]["port"])
    async with opened(engine.capture, engine=engine) as screen:
        traffic = asyncio.create_task(asyncio.to_thread(echo, port, binary(CHUNK), 1_500))
        # The engine cannot store, its recorder cannot write: whichever said so last is shown. Where the
        # recorder made room for the engine's own note before the screen was drawn, how much is missing is.
        await screen.until(lambda: any(words in screen.line("banner") for words in AT_ONCE))
        await traffic
        # An engine that has just written as fast as it can may have been slow to answer.
        await screen.until(lambda: screen.line("header").startswith(" LIVE "))
        ballast.unlink()
        await asyncio.to_thread(echo, port, binary(b"after"), 10)
        await screen.until(lambda: "could not be stored (disk full?)" in screen.line("banner"))
        await screen.until(lambda: "MiB" in screen.line("banner"))
        await screen.until(lambda: "61 66 74 65 72" in "".join(screen.pane("frames")))
        assert screen.model.unstored_bytes > SIZE_MIB << 20
