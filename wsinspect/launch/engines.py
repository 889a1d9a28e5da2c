"""Run files: which engines are running, by a lock and not by a process id.

Contract: an engine holds an exclusive `flock` on its run file from before it is complete until it exits,
however it exits; a file without a lock is a dead engine's and is removed by whoever finds it. The file is one
JSON object in a 0600 file named `<pid>.json`, rewritten in place because the lock belongs to the inode.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from wsinspect.errors import LocalError, UsageError, WsinspectError
from wsinspect.launch.paths import ensure_private_dir, run_dir
from wsinspect.units import SECOND, format_duration
from wsinspect.version import __version__

_POLL_S = 0.02
_LOCK_PATIENCE_S = 2.0
_API_PATIENCE_S = 1.0


@dataclass(frozen=True)
class EngineInfo:
    """What a run file says of an engine.

    Attributes:
        pid: its process.
        started_ns: epoch nanoseconds.
        version: of wsinspect.
        capture: absolute path of the capture; None where none is written.
        listeners: `{tap, mode, host, port}` each.
        control: `{url, token_file}`, or None.
        ca_dir: the folder of its certificate authority; None for the default one.
    """

    pid: int
    started_ns: int
    version: str
    capture: str | None = None
    listeners: list[dict[str, Any]] = field(default_factory=list)
    control: dict[str, str] | None = None
    ca_dir: str | None = None


class RunFile:
    """An engine's own run file, locked while this object lives."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self._descriptor = descriptor

    @classmethod
    def create(cls, info: EngineInfo, directory: Path | None = None) -> RunFile:
        """Writes and locks the run file of this process.

        Raises:
            LocalError: it cannot be written, or another process holds its lock.
        """
        path = ensure_private_dir(directory or run_dir()) / f"{info.pid}.json"
        try:
            run_file = cls(path, _open_locked(path))
        except OSError as error:
            raise LocalError(f"cannot write the run file {path}: {error.strerror}") from error
        run_file.update(info)
        return run_file

    def update(self, info: EngineInfo) -> None:
        """Replaces what the file says, as when the listeners' real ports are known."""
        content = json.dumps(asdict(info)).encode() + b"\n"
        os.pwrite(self._descriptor, content, 0)
        os.ftruncate(self._descriptor, len(content))

    def close(self) -> None:
        """Removes the file and gives the lock back; twice is allowed."""
        if self._descriptor < 0:
            return
        self.path.unlink(missing_ok=True)
        os.close(self._descriptor)
        self._descriptor = -1


def register(
    capture: Path,
    listeners: list[dict[str, Any]],
    control: dict[str, str] | None = None,
    *,
    ca_dir: Path | None = None,
) -> RunFile:
    """The run file of this process, as an engine that starts now.

    Raises:
        LocalError: it cannot be written.
    """
    info = EngineInfo(
        os.getpid(),
        time.time_ns(),
        __version__,
        str(capture),
        listeners,
        control,
        ca_dir=str(ca_dir) if ca_dir else None,
    )
    return RunFile.create(info)


def list_engines(directory: Path | None = None) -> list[EngineInfo]:
    """The engines that live, oldest first; run files of dead ones are removed."""
    place = directory or run_dir()
    if not place.is_dir():
        return []
    found = [info for path in place.glob("*.json") if (info := _read_alive(path)) is not None]
    return sorted(found, key=lambda info: info.started_ns)


def is_alive(pid: int, directory: Path | None = None) -> bool:
    """Whether an engine with that process id holds its lock."""
    return _is_locked((directory or run_dir()) / f"{pid}.json")


def choose_engine(pid: int | None, directory: Path | None = None) -> EngineInfo:
    """The engine a command means: the one with that process id, or the only one.

    Raises:
        UsageError: there is none, or there are several to choose from.
    """
    engines = list_engines(directory)
    if pid is not None:
        engines = [info for info in engines if info.pid == pid]
        if not engines:
            raise UsageError(f"no engine with process id {pid} is running", hint="wsinspect ps lists them")
    if not engines:
        raise UsageError("no engine is running", hint="start one with: wsinspect run")
    if len(engines) > 1:
        pids = ", ".join(str(info.pid) for info in engines)
        raise UsageError(f"{len(engines)} engines are running: {pids}", hint="name one: wsinspect stop PID")
    return engines[0]


def stop_engine(info: EngineInfo, timeout_s: float, directory: Path | None = None) -> None:
    """Asks an engine to end, by its control API or else by SIGTERM, and waits until its lock is free.

    Raises:
        LocalError: it may not be signalled, or does not end in time.
    """
    if not _asked_to_end(info):
        try:
            os.kill(info.pid, signal.SIGTERM)
        except ProcessLookupError:
            return
        except PermissionError as error:
            raise LocalError(f"engine {info.pid} belongs to another user") from error
    deadline = time.monotonic() + timeout_s
    while is_alive(info.pid, directory):
        if time.monotonic() > deadline:
            raise LocalError(
                f"engine {info.pid} did not exit within {format_duration(round(timeout_s * SECOND))}",
                hint=f"kill -9 {info.pid} ends it; the capture survives that",
            )
        time.sleep(_POLL_S)


def clients_of(info: EngineInfo) -> int | None:
    """How many TCP connections of clients an engine has had; None where it does not say."""
    if info.control is None:
        return None
    from wsinspect.control.client import ControlClient

    try:
        with ControlClient.open(info.control, timeout=_API_PATIENCE_S) as control:
            count = control.get("/v1/status").get("clients")
    except (WsinspectError, KeyError):
        return None
    return count if isinstance(count, int) else None


def _asked_to_end(info: EngineInfo) -> bool:
    """Whether the engine's control API has taken our wish."""
    if info.control is None:
        return False
    from wsinspect.control.client import ControlClient

    try:
        with ControlClient.open(info.control, timeout=_API_PATIENCE_S) as control:
            control.post("/v1/shutdown")
    except (WsinspectError, KeyError):
        return False  # a stuck or dying engine: a signal is more reliable
    return True


def _open_locked(path: Path) -> int:
    """A locked descriptor of the file that is at `path` now.

    Raises:
        OSError: it cannot be opened, or is locked by somebody else for long.
    """
    deadline = time.monotonic() + _LOCK_PATIENCE_S
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        try:
            _lock(descriptor, deadline)
            if _is_same_file(descriptor, path):
                return descriptor
        except OSError:
            os.close(descriptor)
            raise
        os.close(descriptor)  # somebody took it for a dead engine's file and removed it before it was locked


def _lock(descriptor: int, deadline: float) -> None:
    """Readers hold the lock for a moment only, so it is worth waiting for."""
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise
            time.sleep(_POLL_S)


def _is_same_file(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _read_alive(path: Path) -> EngineInfo | None:
    if not _is_locked(path):
        return None
    try:
        content = path.read_text("utf-8")
        # A rewrite may be under way: anything after the object is left over from a longer one.
        loaded = json.JSONDecoder().raw_decode(content)[0]
        return EngineInfo(**{name: loaded[name] for name in EngineInfo.__dataclass_fields__})
    except (OSError, ValueError, KeyError, TypeError):
        return None  # incomplete, gone again, or not a file of this version


def _is_locked(path: Path) -> bool:
    """Whether a live engine holds the file; a dead one's is removed while we hold its lock."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if _is_same_file(descriptor, path):
            path.unlink(missing_ok=True)
        return False
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
