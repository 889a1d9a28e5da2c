"""A real control API over a minimal engine: rules on a real board, what is done to connections in a list."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from wsinspect.control.engine import ConnectionGoneError
from wsinspect.control.server import ControlServer
from wsinspect.faults.board import Board
from wsinspect.faults.held import Decision, Held
from wsinspect.faults.rule import Rule
from wsinspect.faults.scenario import Scenario
from wsinspect.launch.engines import RunFile, register

T = TypeVar("T")


class LabEngine:
    """What the control API controls.

    Attributes:
        open: connections that can be acted on.
        done: what was done to them.
        held_count: connections that hold something back; none after a reset.
        waiting: what breakpoints hold, by name.
        decisions: what was decided about it.
    """

    def __init__(self, capture: Path) -> None:
        self.capture = capture
        self.board = Board(7341)
        self.open: set[int] = set()
        self.done: list[tuple[Any, ...]] = []
        self.held_count = 0
        self.waiting: dict[str, Held] = {}
        self.decisions: list[tuple[str, Decision]] = []
        self.board.on_change.append(
            lambda _rule, is_armed: setattr(self, "held_count", self.held_count * is_armed)
        )

    def status(self) -> dict[str, Any]:
        listeners: list[dict[str, Any]] = [{"tap": "reverse", "host": "127.0.0.1", "port": 8080}]
        counts = {"connections_open": len(self.open), "connections_held": self.held_count}
        return {"listeners": listeners, **counts}

    def _let_go(self, _rule: Rule, is_armed: bool) -> None:
        self.held_count *= is_armed

    def is_open(self, connection: int) -> bool:
        return connection in self.open

    def _note(self, connection: int, *what: Any) -> None:
        if connection not in self.open:
            raise ConnectionGoneError(f"connection {connection} is not open")
        self.done.append((connection, *what))

    def close(self, connection: int, *, to: str, code: int, reason: str) -> None:
        self._note(connection, "close", to, code, reason)

    def abort(self, connection: int, *, to: str, how: str) -> None:
        self._note(connection, "abort", to, how)

    def inject(
        self, connection: int, *, direction: str, opcode: str, payload: bytes, raw: bytes | None
    ) -> None:
        self._note(connection, "inject", direction, raw)

    def held(self) -> list[Held]:
        return list(self.waiting.values())

    def now_ns(self) -> int:
        return 5 * 10**9

    def decide(self, name: str, decision: Decision) -> bool:
        self.decisions.append((name, decision))
        return self.waiting.pop(name, None) is not None

    def pass_all(self) -> int:
        count = len(self.waiting)
        self.waiting.clear()
        return count

    def load(self, scenario: Scenario, source: str) -> None:
        self.board.load(scenario, source)

    async def rules_in_effect(self) -> None:
        return

    def unwritten_bytes(self) -> int:
        return 0

    def shut_down(self) -> None:
        self.done.append((0, "shutdown"))


class ControlLab:
    """The server, in a thread of its own.

    Attributes:
        engine: what it controls.
    """

    def __init__(self, capture: Path, token_file: Path) -> None:
        self.engine = LabEngine(capture)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        server = self.call(lambda: ControlServer(self.engine, "127.0.0.1", 0, token_file))
        self._server: ControlServer | None = server
        self._run_file: RunFile | None = register(capture, [], server.facts())

    def call(self, work: Callable[[], T]) -> T:
        """Do something in the engine's thread."""

        async def act() -> T:
            return work()

        return asyncio.run_coroutine_threadsafe(act(), self._loop).result(10)

    def arm(self, **settings: Any) -> None:
        """Somebody else arms a rule."""
        self.call(lambda: self.engine.board.add(Rule.parse(settings)))

    def rules(self) -> list[dict[str, Any]]:
        """The rules, with their settings."""
        entries = self.call(lambda: self.engine.board.entries)
        return [{**entry.rule.settings(), "armed": entry.is_armed} for entry in entries]

    def forget_run_file(self) -> None:
        """The engine ends as far as others can see."""
        if self._run_file is not None:
            self._run_file.close()
            self._run_file = None

    def stop(self) -> None:
        """End it; twice is allowed."""
        self.forget_run_file()
        server, self._server = self._server, None
        if server is not None:
            asyncio.run_coroutine_threadsafe(server.close(), self._loop).result(10)
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(10)
            self._loop.close()


@contextmanager
def control_lab(capture: Path) -> Iterator[ControlLab]:
    """A lab whose run file lies where `XDG_RUNTIME_DIR` says."""
    lab = ControlLab(capture, capture.with_name("lab.token"))
    try:
        yield lab
    finally:
        lab.stop()
