"""The engine as the control API sees it (`control.engine.ControlledEngine`)."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from wsinspect.control.engine import ConnectionGoneError
from wsinspect.faults.board import Board
from wsinspect.faults.connection import ConnectionFaults
from wsinspect.faults.held import Decision, Held
from wsinspect.faults.kinds.connections import Close
from wsinspect.faults.scenario import Scenario
from wsinspect.faults.seeded import Chance
from wsinspect.faults.stages.messages import OPCODES
from wsinspect.proxy.faulting import FaultController
from wsinspect.proxy.faulting_handshakes import HandshakeFaults
from wsinspect.proxy.link_faults import LinkFaults
from wsinspect.proxy.recording import Recording
from wsinspect.version import __version__
from wsinspect.wire.opcodes import Direction

#: How long a change of rules waits for what compressed connections have sent before to be indexed.
_PATIENCE_SECONDS: Final = 5.0


@dataclass(frozen=True)
class ControlOptions:
    """Where the control API listens, and where its token goes."""

    host: str
    port: int
    token_file: Path


class Controlled:
    """See the module docstring."""

    def __init__(
        self,
        controller: FaultController,
        handshakes: HandshakeFaults,
        recording: Recording,
        listeners: list[dict[str, Any]],
        shut_down: Callable[[], None],
    ) -> None:
        self._controller = controller
        self._handshakes = handshakes
        self._recording = recording
        self._listeners = listeners
        self._shut_down = shut_down

    @property
    def board(self) -> Board:
        return self._controller.board

    @property
    def capture(self) -> Path:
        return self._recording.capture

    def status(self) -> dict[str, Any]:
        attempts = self._controller.attempts.values()
        links = [attempt.link for attempt in attempts if attempt.link is not None]
        faults = [link.faults.faults for link in links if link.faults is not None]
        return {
            "version": __version__,
            "pid": os.getpid(),
            "capture": str(self.capture),
            "listeners": self._listeners,
            "clients": self._handshakes.clients,
            "connections_open": len(links),
            "connections_held": sum(each.holds for each in faults),
            "bytes_held": sum(each.held_bytes for each in faults),
        }

    def is_open(self, connection: int) -> bool:
        attempt = self._controller.attempts.get(connection)
        return attempt is not None and attempt.link is not None

    def close(self, connection: int, *, to: str, code: int, reason: str) -> None:
        timeout = Close().timeout
        self._faults(connection).by_hand(
            lambda faults, now: faults.close_by_hand(to, code, reason, timeout, now)
        )

    def abort(self, connection: int, *, to: str, how: str) -> None:
        self._faults(connection).by_hand(lambda faults, now: faults.abort_by_hand(to, how, now))

    def inject(
        self, connection: int, *, direction: str, opcode: str, payload: bytes, raw: bytes | None
    ) -> None:
        def act(faults: ConnectionFaults, now: int) -> None:
            way = Direction.from_short(direction)
            chance = Chance(faults.seed, "by-hand", faults.context.place, direction)
            key = chance.octets(4, now, "masking key")
            data = raw if raw is not None else faults.lanes[way].make(OPCODES[opcode], payload, key)
            faults.inject(way, data, now, is_message=raw is None and opcode in ("text", "binary"))

        self._faults(connection).by_hand(act)

    def held(self) -> list[Held]:
        attempts = self._controller.attempts.values()
        found = [one.held for one in self._controller.held_handshakes.values()]
        for attempt in attempts:
            if attempt.link is not None and attempt.link.faults is not None:
                found += attempt.link.faults.faults.held_messages()
        return found

    def now_ns(self) -> int:
        return self._controller.now_ns()

    def decide(self, name: str, decision: Decision) -> bool:
        handshake = self._controller.held_handshakes.get(name)
        if handshake is not None:
            handshake.decide(decision)
            return True
        done: list[bool] = []
        for faults in self._holding():
            faults.by_hand(lambda one, now: done.append(one.decide(name, decision, now)))
        return any(done)

    def pass_all(self) -> int:
        handshakes = list(self._controller.held_handshakes.values())
        for handshake in handshakes:
            handshake.decide(Decision())
        counts: list[int] = []
        for faults in self._holding():
            faults.by_hand(lambda one, now: counts.append(one.pass_all(now)))
        return len(handshakes) + sum(counts)

    def _holding(self) -> list[LinkFaults]:
        links = [attempt.link for attempt in self._controller.attempts.values()]
        found = [link.faults for link in links if link is not None and link.faults is not None]
        return [faults for faults in found if faults.faults.held_messages()]

    def load(self, scenario: Scenario, source: str) -> None:
        self.board.load(scenario, source)
        if scenario.start == "now":
            self._controller.start_phases()

    async def rules_in_effect(self) -> None:
        await self._handshakes.listeners_set()
        await self._controller.windows_known(_PATIENCE_SECONDS)

    def unwritten_bytes(self) -> int:
        return self._recording.journal.backlog_bytes

    def shut_down(self) -> None:
        self._shut_down()

    def _faults(self, connection: int) -> LinkFaults:
        faults = self._controller.faults_of(connection)
        if faults is None:
            raise ConnectionGoneError(f"connection {connection} is not open")
        return faults
