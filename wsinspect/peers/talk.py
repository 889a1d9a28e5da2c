"""What is done on an open WebSocket, command by command, and how it ended."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import stat
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from wsinspect.errors import UsageError
from wsinspect.faults.frames import WireFrame
from wsinspect.filters import Filter
from wsinspect.peers.socket import Socket
from wsinspect.peers.templates import TemplateError, Values, render
from wsinspect.peers.typed import (
    MAX_CONTROL,
    Abort,
    Close,
    Command,
    Expect,
    Help,
    Say,
    SayFile,
    Wait,
    check_json,
)
from wsinspect.wire.opcodes import Opcode

#: A file is sent as one message; a larger one is a mistake.
MAX_FILE: Final = 16 * 1024 * 1024
#: How long a server may take to answer our CLOSE, and to end its side after that.
_CLOSE_SECONDS: Final = 5.0


@dataclass(frozen=True)
class Expected:
    """What came of waiting for a frame.

    Attributes:
        frame: the one that passed; None where none came.
        after_ns: how long it took.
        has_ended: the connection ended first.
    """

    filter: Filter
    frame: WireFrame | None
    after_ns: int
    has_ended: bool = False


class UnmetError(Exception):
    """A frame that was expected did not come."""

    def __init__(self, expected: Expected) -> None:
        super().__init__(expected.filter.source)
        self.expected = expected


class Talk:
    """Does what commands say.

    Args:
        within_ns: how long an expected frame may take.
        fills: whether placeholders are filled; otherwise text is sent as it is.
        on_expected: called with what came of each wait.
    """

    def __init__(
        self,
        socket: Socket,
        values: Values,
        *,
        within_ns: int,
        fills: bool = True,
        on_expected: Callable[[Expected], None] = lambda _expected: None,
    ) -> None:
        self.socket = socket
        self._values = values
        self._within_ns = within_ns
        self._fills = fills
        self._on_expected = on_expected

    async def run(self, commands: Iterable[Command]) -> None:
        """All of them, one after the other, as long as the connection is open.

        Raises:
            UnmetError: an expected frame did not come.
            UsageError: a message cannot be made.
        """
        for command in commands:
            await self.do(command)

    async def do(self, command: Command) -> None:
        """One command.

        Raises:
            UnmetError: an expected frame did not come.
            UsageError: the message cannot be made: a file that cannot be read, a placeholder without value.
        """
        match command:
            case Say():
                self.socket.send(command.opcode, self._said(command))
                await self.socket.drain()
            case SayFile():
                self.socket.send(*_file(command))
                await self.socket.drain()
            case Expect():
                await self._expect(command.filter)
            case Wait():
                await self._pause(command.for_ns)
            case Close():
                self.socket.close(command.code, command.reason)
            case Abort():
                self.socket.abort()
            case Help():
                return  # whoever shows the commands has done so

    def _said(self, say: Say) -> bytes:
        if say.text is None:
            return say.data
        text = say.text
        if self._fills:
            self._values.said = self.socket.said
            try:
                text = render(text, self._values)
            except TemplateError as error:
                raise UsageError(str(error)) from None
        if say.must_be_json:
            check_json(text)
        data = text.encode("utf-8", "surrogateescape")
        if say.opcode in (Opcode.PING, Opcode.PONG) and len(data) > MAX_CONTROL:
            raise UsageError(f"a PING or PONG has at most {MAX_CONTROL} bytes, this one {len(data)}")
        return data

    async def _expect(self, flt: Filter) -> None:
        predicate = flt.frame_predicate()
        loop = asyncio.get_running_loop()
        begun, frame = loop.time(), None
        is_late = False
        try:
            async with asyncio.timeout(self._within_ns / 1e9):
                frame = await self.socket.expect(predicate)
        except TimeoutError:
            is_late = True
        after_ns = round((loop.time() - begun) * 1e9)
        expected = Expected(flt, frame, after_ns, has_ended=frame is None and not is_late)
        self._on_expected(expected)
        if frame is None:
            raise UnmetError(expected)

    async def _pause(self, for_ns: int) -> None:
        """Wait, but not longer than the connection is open."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(for_ns / 1e9):
                await self.socket.closed()

    async def finish(self) -> None:
        """Close with 1000 where nobody has closed yet, and wait for the end, within a limit."""
        self.socket.close(1000, "")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_SECONDS):
                await self.socket.closed()
        self.socket.hang_up()


@dataclass(frozen=True)
class Ending:
    """How it ended, from the client's side.

    Attributes:
        by_us: our CLOSE was sent before the server's came.
        server: code and reason of the server's CLOSE frame; None where none came.
        client: the same of ours.
        how: `fin` or `rst`; None where the server did not end its side in time.
        has_aborted: the RST was ours.
    """

    by_us: bool
    server: tuple[int | None, str | None] | None
    client: tuple[int | None, str | None] | None
    how: str | None
    has_aborted: bool = False

    @property
    def is_abnormal(self) -> bool:
        """Whether the server left without a CLOSE frame (RFC 6455 section 7.1.5: 1006)."""
        return self.server is None


def ending(socket: Socket) -> Ending:
    """The facts of a connection that is over."""
    codes = socket.codes
    return Ending(socket.has_closed_first, codes.theirs, codes.ours, socket.ended, socket.has_aborted)


def check_file(command: SayFile) -> None:
    """Before anything is sent: whether there is such a file. Nothing is read, it may be a pipe.

    Raises:
        UsageError: there is none, or it is a directory, or not for us.
    """
    path = command.path
    try:
        mode = path.stat().st_mode
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from None
    if stat.S_ISDIR(mode) or not os.access(path, os.R_OK):
        reason = errno.EISDIR if stat.S_ISDIR(mode) else errno.EACCES
        raise UsageError(f"cannot read {path}: {os.strerror(reason)}")


def _file(command: SayFile) -> tuple[Opcode, bytes]:
    try:
        with command.path.open("rb") as file:
            data = file.read(MAX_FILE + 1)
    except OSError as error:
        raise UsageError(f"cannot read {command.path}: {error.strerror}") from None
    if len(data) > MAX_FILE:
        raise UsageError(f"{command.path} is larger than 16 MiB")
    if command.is_binary:
        return Opcode.BINARY, data
    try:
        data.decode()
    except UnicodeDecodeError:
        return Opcode.BINARY, data
    return Opcode.TEXT, data


__all__ = ["Ending", "Expected", "Talk", "UnmetError", "check_file", "ending"]
