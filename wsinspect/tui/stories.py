"""The clients of the capture, for the timeline: read again in a thread when something has changed.

Contract: nothing is read before somebody asks; a capture that takes long to read is read seldom. What comes
of it is the same as `show --sessions` says.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from wsinspect.capture.reader import Capture
from wsinspect.errors import WsinspectError
from wsinspect.tui.workspace import Workspace

if TYPE_CHECKING:
    from wsinspect.clients.grading import Client

#: A live capture is read again after this time, or after so many times what reading it took.
_PAUSE_SECONDS: Final = 2.0
_PAUSE_TIMES: Final = 20


class Stories:
    """See the module docstring.

    Args:
        taken: called in the event loop when the clients are others.
        prepare: called with them in the thread before that, for what takes long.

    Attributes:
        is_reading: the thread is at work.
    """

    def __init__(
        self, workspace: Workspace, taken: Callable[[], None], prepare: Callable[[Sequence[Client]], None]
    ) -> None:
        self._workspace = workspace
        self._taken = taken
        self._prepare = prepare
        self._by_attempt: dict[int, Client] = {}
        self._version = -1
        self.is_reading = False
        self._next = 0.0

    def client_of(self, connection: int) -> Client | None:
        """Who made a connection; None where that is not known yet."""
        return self._by_attempt.get(connection)

    def refresh(self) -> None:
        """Read the clients again, if there may be something new; returns at once."""
        model = self._workspace.model
        is_known = self._version == model.version or not model.connections
        if self.is_reading or is_known or model.is_loading or time.monotonic() < self._next:
            return
        self.is_reading = True
        arguments = model.version, time.time_ns() if model.is_live else None
        threading.Thread(target=self._read, args=arguments, name="client-stories", daemon=True).start()

    def _read(self, version: int, until_ns: int | None) -> None:
        # Loaded here: the first paint comes before anybody asks for clients.
        from wsinspect.diagnosis.clients import judged_clients

        begun = time.monotonic()
        clients: list[Client] = []
        try:
            with Capture.open(self._workspace.model.path) as capture:
                clients = judged_clients(capture, until_ns=until_ns)
        except WsinspectError:
            clients = []  # the feed meets the same error, and says so
        self._prepare(clients)
        self._workspace.deliver(self._done, clients, version, time.monotonic() - begun)

    def _done(self, clients: list[Client], version: int, took: float) -> None:
        self.is_reading = False
        self._version = version
        self._next = time.monotonic() + max(_PAUSE_SECONDS, _PAUSE_TIMES * took)
        self._by_attempt = {
            attempt.id: client for client in clients for attempt in client.session.attempts if attempt.id > 0
        }
        self._taken()
