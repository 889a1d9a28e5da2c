"""The control API of the engine that writes the open capture, asked by a thread of its own.

Contract: the event loop never waits for the engine. A thread finds it by its run file, asks for status and
rules twice a second, and does what is requested, one thing after the other, each within a time limit. An
engine that is gone, silent, older or that refuses is a `state` with words, never an exception.
"""

from __future__ import annotations

import os
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from wsinspect.errors import LocalError

if TYPE_CHECKING:
    from wsinspect.control.client import ControlClient

POLL_SECONDS: Final = 0.5
#: Without an engine, one may start at any time, but nobody waits for it.
_IDLE_SECONDS: Final = 1.0
#: An engine on this machine answers in milliseconds; one that is stopped (SIGSTOP) never does.
_PATIENCE_SECONDS: Final = 2.0

SEEKING, NO_ENGINE, NO_API, SILENT, REFUSING, OLDER, UP = (
    "seeking",
    "no engine",
    "no API",
    "silent",
    "refusing",
    "older",
    "up",
)
Json = dict[str, Any]
Work = Callable[["ControlClient"], Any]


@dataclass(frozen=True)
class EngineView:
    """What is known of the engine.

    Attributes:
        state: one of the words above.
        words: why nothing can be asked of it; empty while it is up.
        status: the answer of `GET /v1/status`.
        rules: those of `GET /v1/faults`, in the order of application.
        seed: of their decisions.
    """

    state: str = SEEKING
    words: str = "looking for the proxy"
    status: Json = field(default_factory=dict)
    rules: tuple[Json, ...] = ()
    seed: int | None = None

    @property
    def is_up(self) -> bool:
        """Whether it can be asked for something."""
        return self.state == UP

    @property
    def armed(self) -> int:
        """Rules that are armed."""
        return sum(bool(rule.get("armed")) for rule in self.rules)

    @property
    def held(self) -> tuple[int, int | None]:
        """Connections that hold something back, and its bytes; None where the engine does not tell."""
        size = self.status.get("bytes_held")
        count = self.status.get("connections_held")
        return count if isinstance(count, int) else 0, size if isinstance(size, int) else None

    @property
    def waiting(self) -> int:
        """Messages and handshakes that breakpoints hold until somebody decides."""
        count = self.status.get("breakpoints_hold")
        return count if isinstance(count, int) else 0

    def rule(self, name: str) -> Json | None:
        """A rule by name."""
        return next((rule for rule in self.rules if rule.get("name") == name), None)


@dataclass(frozen=True)
class Answer:
    """What came of a request: a value, or what was wrong in words."""

    value: Any = None
    error: str = ""


@dataclass(frozen=True)
class _Request:
    work: Work
    done: Callable[[Answer], None]


class _UnreachableError(Exception):
    """There is nobody to ask."""

    def __init__(self, view: EngineView) -> None:
        super().__init__(view.words)
        self.view = view


class ControlLink(threading.Thread):
    """Asks until `stop`.

    Args:
        capture: the file whose engine is meant.
        call_in_loop: takes a function and its arguments, in this thread, and has it called in the event loop.
        changed: to be called with every new view.
        warm_up: called in this thread when there is nothing else to do.
    """

    def __init__(
        self,
        capture: Path,
        call_in_loop: Callable[..., None],
        changed: Callable[[EngineView], None],
        warm_up: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__(name="engine-control", daemon=True)
        self._capture = capture.absolute()
        self._call_in_loop = call_in_loop
        self._changed = changed
        self._warm_up = warm_up
        self._requests: queue.SimpleQueue[_Request | None] = queue.SimpleQueue()
        self._client: ControlClient | None = None
        self._known = EngineView()
        self._stopping = False

    def ask(self, work: Work, done: Callable[[Answer], None]) -> None:
        """Have something done; `done` is called in the event loop, and the view is new soon after."""
        self._requests.put(_Request(work, done))

    def stop(self) -> None:
        """Ask the thread to end, without waiting for it."""
        self._stopping = True
        self._requests.put(None)

    def run(self) -> None:
        """Look, and do what is requested, until `stop`."""
        try:
            self._look()
            while not self._stopping:
                pause = POLL_SECONDS if self._client is not None else _IDLE_SECONDS
                self._do_requests(time.monotonic() + pause)
                self._warm_up()
                self._look()
        finally:
            self._hang_up()

    def _look(self) -> None:
        try:
            client = self._connected()
            view = _view(_asked(client.get, "/v1/status"), _asked(client.get, "/v1/faults"))
        except _UnreachableError as error:
            self._hang_up()
            view = error.view
        if view != self._known and not self._stopping:
            self._known = view
            self._call_in_loop(self._changed, view)

    def _do_requests(self, until: float) -> None:
        """Wait for requests; after one the view is looked at again."""
        try:
            request = self._requests.get(timeout=max(until - time.monotonic(), 0))
        except queue.Empty:
            return
        if request is None or self._stopping:
            return
        answer = self._answer(request.work)
        if not answer.error:
            self._look()  # the screens show the answer
        self._call_in_loop(request.done, answer)

    def _answer(self, work: Work) -> Answer:
        from wsinspect.control.client import ControlError

        try:
            return Answer(work(self._connected()))
        except _UnreachableError as error:
            return Answer(error=error.view.words)
        except ControlError as error:
            return Answer(error=str(error))
        except LocalError as error:
            self._hang_up()
            return Answer(error=str(error))

    def _connected(self) -> ControlClient:
        if self._client is None:
            self._client = _client_of(self._capture)
        return self._client

    def _hang_up(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None


def _client_of(capture: Path) -> ControlClient:
    """The client of the engine that writes a capture.

    Raises:
        _UnreachableError: there is none.
    """
    from wsinspect.control.client import TIMELINE_AGENT, ControlClient
    from wsinspect.launch.engines import list_engines

    here = os.path.realpath(capture)
    for info in list_engines():
        if info.capture is None or os.path.realpath(info.capture) != here:
            continue
        if not info.control:
            raise _UnreachableError(EngineView(NO_API, "this proxy has no control API"))
        try:
            return ControlClient.open(info.control, _PATIENCE_SECONDS, agent=TIMELINE_AGENT)
        except LocalError as error:
            raise _UnreachableError(EngineView(REFUSING, str(error))) from None
        except KeyError:
            raise _UnreachableError(EngineView(OLDER, "this proxy's run file has no token")) from None
    raise _UnreachableError(EngineView(NO_ENGINE, "no proxy is recording to this file"))


def _asked(get: Callable[[str], Any], path: str) -> Json:
    """The object of an answer.

    Raises:
        _UnreachableError: with the state that the engine is in.
    """
    from wsinspect.control.client import ControlError

    try:
        reply = get(path)
    except ControlError as error:
        if error.status in (404, 405):
            words = "this proxy is too old for faults"
            raise _UnreachableError(EngineView(OLDER, words)) from None
        raise _UnreachableError(EngineView(REFUSING, f"the proxy refuses: {error}")) from None
    except LocalError as error:
        raise _UnreachableError(EngineView(SILENT, str(error))) from None
    if not isinstance(reply, dict):
        raise _UnreachableError(EngineView(REFUSING, "the proxy's answer is not a JSON object"))
    return reply


def _view(status: Json, faults: Json) -> EngineView:
    rules = faults.get("faults")
    known = [rule for rule in rules if isinstance(rule, dict)] if isinstance(rules, list) else []
    seed = faults.get("seed")
    return EngineView(UP, "", status, tuple(known), seed if isinstance(seed, int) else None)
