"""A real engine for the demo, with one tap before each of its servers."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

from wsinspect.demo.listener import LOOPBACK
from wsinspect.errors import LocalError, WsinspectError
from wsinspect.launch.child import EngineChild

STOP_SECONDS = 10.0


@contextlib.asynccontextmanager
async def running_engine(capture: Path, targets: Mapping[str, int]) -> AsyncIterator[dict[str, Any]]:
    """An engine with one tap for each target; after the context it has ended and its capture is whole.

    Args:
        capture: the file to record into.
        targets: tap name to the loopback port behind it.

    Yields:
        Its `ready` event.

    Raises:
        LocalError: it did not start.
    """
    taps = [f"--tap={name}={LOOPBACK}:0=http://{LOOPBACK}:{port}" for name, port in targets.items()]
    engine = EngineChild(taps, capture, can_restart=False)
    try:
        try:
            engine.spawn()
            await asyncio.to_thread(engine.wait_ready)
        except WsinspectError as error:
            raise LocalError(f"the demo's engine did not start: {error}") from None
        yield engine.ready
    finally:
        await asyncio.to_thread(engine.stop, STOP_SECONDS, kill=True)


def ports(ready: Mapping[str, Any]) -> dict[str, int]:
    """Tap name to the port where the proxy listens."""
    return {one["tap"]: one["port"] for one in ready["listeners"]}
