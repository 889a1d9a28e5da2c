"""Writing a capture, or a part of it, in another format: in a thread, with progress, whole or not at all."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final, NamedTuple

from wsinspect.capture.reader import Capture
from wsinspect.errors import WsinspectError
from wsinspect.filters import Filter
from wsinspect.formats.exporting import EXPORTERS

if TYPE_CHECKING:
    from wsinspect.formats.choice import Choice

FORMATS: Final = tuple((one.name, one.label) for one in EXPORTERS.values())
#: Parts of a capture: all of it, one connection, the connections with something that passes the filter, and
#: only what passes it.
ALL, ONE, CONNECTIONS, PASSING = "all", "one", "connections", "passing"
_BUFFER_BYTES: Final = 1 << 20
_PROGRESS_SECONDS: Final = 0.1


class Order(NamedTuple):
    """What is to be written.

    Attributes:
        capture: from where.
        target: where to.
        kind: the format's name.
        part: one of the words above.
        connection: the one that is meant, or whose frames were filtered.
        flt: what the screens show.
        include_secrets: leave cookies, credentials and tokens in.
        total: how many frames there are at most, for the progress.
    """

    capture: Path
    target: Path
    kind: str
    part: str
    connection: int | None
    flt: Filter | None
    include_secrets: bool
    total: int


class _StoppedError(Exception):
    """Nobody wants the file any more."""


class Export(threading.Thread):
    """One order.

    Args:
        call_in_loop: takes a function and its arguments, in this thread, and has it called in the event loop.
        progress: gets how many frames or messages are written.
        done: gets what was written in words, and whether it was.
    """

    def __init__(
        self,
        order: Order,
        call_in_loop: Callable[..., None],
        progress: Callable[[int], None],
        done: Callable[[str, bool], None],
    ) -> None:
        super().__init__(name="export", daemon=True)
        self._order = order
        self._call_in_loop, self._progress, self._done = call_in_loop, progress, done
        self._is_unwanted = False
        self._reported_at = 0.0

    def stop(self) -> None:
        """Leave off; nothing is left of the file."""
        self._is_unwanted = True

    def run(self) -> None:
        order = self._order
        part = order.target.with_name(order.target.name + ".part")
        words, is_written = "the export failed", False
        try:
            with Capture.open(order.capture) as capture:
                # Private like a capture: what a session says is in it.
                descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
                with os.fdopen(descriptor, "wb", _BUFFER_BYTES) as out:
                    words = self._write(capture, out)
                part.replace(order.target)
        except _StoppedError:
            words = "the export was stopped; nothing was written"
        except WsinspectError as error:
            words = str(error)
        except OSError as error:
            words = f"cannot write {order.target}: {error.strerror or error}"
        else:
            is_written = True
        finally:
            part.unlink(missing_ok=True)
            self._call_in_loop(self._done, words, is_written)

    def _moved(self, count: int) -> None:
        if self._is_unwanted:
            raise _StoppedError
        now = time.monotonic()
        if now - self._reported_at > _PROGRESS_SECONDS:
            self._reported_at = now
            self._call_in_loop(self._progress, count)

    def _write(self, capture: Capture, out: IO[bytes]) -> str:
        from wsinspect.capture.damage import check_sound

        order = self._order
        check_sound(capture)
        self._moved(0)
        written = EXPORTERS[order.kind].write(
            capture,
            out,
            choice=self._choice(capture),
            include_secrets=order.include_secrets,
            progress=self._moved,
        )
        secrets = "secrets left in" if order.include_secrets else "secrets masked"
        notes = "".join(f" ({note})" for note in written.notes)
        return f"exported {written.summary}{notes}, {secrets}, to {order.target}"

    def _choice(self, capture: Capture) -> Choice:
        """The part as the writers take it."""
        from wsinspect.formats.choice import Choice, choose

        order = self._order
        if order.part == ALL:
            return Choice()
        only = () if order.connection is None else (order.connection,)
        choice = choose(capture, None if order.part == ONE else order.flt, only)
        return Choice(choice.connections) if order.part == CONNECTIONS else choice


def default_target(capture: Path, kind: str, folder: Path) -> Path:
    """A proposed name: the capture's own, in the current folder."""
    return folder / f"{capture.stem}.{kind}"


def target_problem(target: str, capture: Path) -> str:
    """Why nothing can be written there; empty where it can."""
    if not target.strip():
        return "expected a file name"
    path = Path(target).expanduser()
    if path.is_dir():
        return f"{path} is a folder: expected a file name"
    if not path.parent.is_dir():
        return f"there is no folder {path.parent}"
    if path.exists() and capture.exists() and path.samefile(capture):
        return "that is the capture itself: expected another name"
    return ""
