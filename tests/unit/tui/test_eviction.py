"""Payloads deleted to make room: said in words wherever they would be looked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.tui_captures import CaptureBuilder
from tests.support.tui_pilot import opened


@pytest.fixture
def evicted(tmp_path: Path) -> Path:
    path = tmp_path / "evicted.db"
    with CaptureBuilder(path) as builder:
        builder.connection(1, c2s_frames=2)
        builder.handshake(1)
        gone = builder.frame(1, 10, 1, b"gone")
        builder.database.execute("UPDATE frame SET payload = NULL WHERE id = ?", (gone,))
        builder.frame(1, 20, 1, b"still here")
        builder.insert("evicted", connection_id=1, payloads=12, bytes=4096, frames=0)
    return path


@pytest.mark.asyncio
async def test_list_lane_inspector_and_handshake_say_it(evicted):
    async with opened(evicted, size=(160, 40)) as screen:
        connections = screen.pane("connections")
        assert "12 payloads deleted (size limit)" in connections[0]
        assert "12 payloads deleted" in connections[3]
        await screen.press("3", "g")
        frames = screen.pane("frames")
        assert "payload deleted to make room (size limit)" in frames[2]
        assert "still here" in frames[3]
        assert "payload of frame 1: deleted to make room (--max-capture-size)" in screen.pane("inspector")[1]
        await screen.press("1", "down", "h")
        assert "12 payloads (4.0 KiB) deleted to make room" in "\n".join(screen.pane("handshake"))


@pytest.mark.asyncio
async def test_where_nothing_was_deleted_nothing_is_said(tmp_path):
    path = tmp_path / "whole.db"
    with CaptureBuilder(path) as builder:
        builder.connection(1)
        builder.frame(1, 10, 1, b"")
    async with opened(path, size=(160, 40)) as screen:
        await screen.press("3", "g")
        assert "deleted to make room" not in screen.text()
        assert "0 bytes" in "\n".join(screen.pane("inspector"))
