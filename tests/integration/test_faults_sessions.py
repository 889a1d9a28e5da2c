"""Clients that name no User-Agent, or that the user tells apart, are sessions of their own."""

from __future__ import annotations

from pathlib import Path

import pytest
from websockets.asyncio.client import connect

from tests.support.echo_engine import echo_engine

pytestmark = pytest.mark.asyncio


@pytest.mark.parametrize(
    ("options", "requests", "sessions"),
    [
        ((), [{"Cookie": "sid=a"}, {"Cookie": "sid=b"}, {"Cookie": "sid=a"}], [1, 2, 1]),
        ((), [{}, {}], [1, 1]),
        (("--session-by", "header:X-User"), [{"X-User": "a"}, {"X-User": "b"}, {"X-User": "a"}], [1, 2, 1]),
    ],
)
async def test_sessions_are_distinguished(
    options: tuple[str, ...], requests: list[dict[str, str]], sessions: list[int], tmp_path: Path
) -> None:
    async with echo_engine(tmp_path, *options) as lab:
        for headers in requests:
            async with connect(lab.url(), user_agent_header=None, additional_headers=headers):
                pass
        with await lab.stop() as capture:
            found = capture.query("SELECT client_session FROM connection ORDER BY id")
            assert [row[0] for row in found] == sessions
