"""Servers in the foreground: until a signal ends them."""

from __future__ import annotations

import asyncio
import signal

_NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


async def until_signalled() -> None:
    """Wait for SIGINT, SIGTERM or SIGHUP."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in _NUMBERS:
        loop.add_signal_handler(number, stop.set)
    try:
        await stop.wait()
    finally:
        for number in _NUMBERS:
            loop.remove_signal_handler(number)
