"""A client of the control API, for our own commands and for tests: the standard library alone.

Example:
    with ControlClient.of_engine(info) as control:
        control.post("/v1/faults", {"kind": "latency", "latency": "300ms"})
"""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from wsinspect.closing import Closing
from wsinspect.errors import LocalError, UsageError

#: The `User-Agent` of the timeline, so that the capture has who changed a rule.
TIMELINE_AGENT: Final = "wsinspect/timeline"


class ControlError(UsageError):
    """The API refused.

    Attributes:
        status: the HTTP status.
        field: what was wrong, where it said so.
    """

    def __init__(self, status: int, message: str, field: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.field = field


class ControlClient(Closing):
    """Calls one engine; connections are kept open.

    Args:
        url: as the `ready` event has it.
        token: the content of the token file.
        agent: what the client calls itself.
    """

    def __init__(self, url: str, token: str, timeout: float = 10.0, *, agent: str = "wsinspect") -> None:
        parts = urlsplit(url)
        self._connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=timeout)
        self._token = token
        self._agent = agent

    @classmethod
    def open(
        cls, control: dict[str, str], timeout: float = 10.0, *, agent: str = "wsinspect"
    ) -> ControlClient:
        """The client for `control` of a `ready` event or a run file.

        Raises:
            LocalError: the token cannot be read.
        """
        try:
            token = Path(control["token_file"]).read_text("ascii").strip()
        except OSError as error:
            raise LocalError(
                f"cannot read the token file {control['token_file']}: {error.strerror}"
            ) from None
        return cls(control["url"], token, timeout, agent=agent)

    def close(self) -> None:
        self._connection.close()

    def request(self, method: str, path: str, body: Any = None) -> Any:
        """The answer's JSON.

        Raises:
            ControlError: the API refused.
            LocalError: the engine does not answer.
        """
        status, raw = self._raw(method, path, body)
        try:
            reply = json.loads(raw)
        except ValueError:
            reply = raw.decode("utf-8", "replace")
        if status >= 400:
            error = reply.get("error", {}) if isinstance(reply, dict) else {}
            raise ControlError(
                status, str(error.get("message", f"HTTP {status}")), str(error.get("field", ""))
            )
        return reply

    def get(self, path: str) -> Any:
        """Ask with GET; returns and raises as `request` does, like the four below."""
        return self.request("GET", path)

    def post(self, path: str, body: Any = None) -> Any:
        """Ask with POST; without a body it is `{}`."""
        return self.request("POST", path, {} if body is None else body)

    def patch(self, path: str, body: Any) -> Any:
        return self.request("PATCH", path, body)

    def put(self, path: str, body: Any) -> Any:
        return self.request("PUT", path, body)

    def delete(self, path: str) -> Any:
        return self.request("DELETE", path)

    def events(self) -> Iterator[dict[str, Any]]:
        """Events from the beginning, and then as they come."""
        self._send("GET", "/v1/events", None)
        with self._connection.getresponse() as response:
            while line := response.readline():
                yield json.loads(line)

    def _raw(self, method: str, path: str, body: Any) -> tuple[int, bytes]:
        try:
            self._send(method, path, body)
            response = self._connection.getresponse()
            return response.status, response.read()
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            raise LocalError(f"the engine does not answer: {error}") from None

    def _send(self, method: str, path: str, body: Any) -> None:
        headers = {"Authorization": f"Bearer {self._token}", "User-Agent": self._agent}
        raw = None
        if body is not None:
            raw = json.dumps(body).encode()
            headers["Content-Type"] = "application/json"
        self._connection.request(method, path, raw, headers)
