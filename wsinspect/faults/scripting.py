"""What a script of `run -s` sees and does: typed objects for its hooks, and calls whose errors stop nothing.

Contract: a hook that raises, or returns what cannot be sent, leaves the traffic as it came. Its error is said
once for each place in the script, and counted.
"""

from __future__ import annotations

import json
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from wsinspect.filters.facts import ConnectionFacts

HOOKS: Final = ("on_message", "on_handshake", "on_end")
Hook = Callable[[Any], Any]


class OverdueError(BaseException):
    """A hook did not return in time; no `except Exception` of the script's takes it for one of its own."""


def _call(hook: Hook, argument: Any) -> Any:
    return hook(argument)


class Connection:
    """The connection that a message or an end belongs to.

    Attributes:
        number: in the capture.
        state: a dict for the script; it lives as long as the connection.
    """

    def __init__(self, facts: ConnectionFacts) -> None:
        self._facts = facts
        self.number = facts.id
        self.state: dict[str, Any] = {}

    @property
    def host(self) -> str:
        return self._facts.host or ""

    @property
    def path(self) -> str:
        """The path of the request, with its query."""
        return self._facts.path or ""

    @property
    def subprotocol(self) -> str | None:
        return self._facts.subprotocol

    def header(self, name: str) -> str | None:
        """The first value of a field of request or response; None without it."""
        return next(iter(self._facts.header_values(name)), None)


@dataclass
class Message:
    """A whole message, inflated; what is done to it here is done to the traffic.

    Attributes:
        connection: whose it is.
        direction: `c2s` or `s2c`.
        opcode: `text` or `binary`.
        data: its content; assign another one to change it.
    """

    connection: Connection
    direction: str
    opcode: str
    data: bytes
    is_dropped: bool = field(default=False, init=False)
    replies: list[tuple[str, bytes]] = field(default_factory=list, init=False)
    additions: list[tuple[str, bytes]] = field(default_factory=list, init=False)

    @property
    def is_text(self) -> bool:
        return self.opcode == "text"

    @property
    def from_client(self) -> bool:
        return self.direction == "c2s"

    @property
    def text(self) -> str:
        """The content as text; assign another one to change it."""
        return self.data.decode("utf-8", "surrogateescape")

    @text.setter
    def text(self, text: str) -> None:
        self.data = text.encode("utf-8", "surrogateescape")

    def json(self) -> Any:
        """The content as a value; None where it is not JSON."""
        try:
            return json.loads(self.data)
        except (ValueError, RecursionError):
            return None

    def drop(self) -> None:
        """It goes no further."""
        self.is_dropped = True

    def reply(self, content: str | bytes | dict[str, Any] | list[Any]) -> None:
        """Say something to the one who sent it; the message itself passes unless it is dropped."""
        self.replies.append(sendable(content))

    def add(self, content: str | bytes | dict[str, Any] | list[Any]) -> None:
        """Say something more to the one who receives it, behind it."""
        self.additions.append(sendable(content))


@dataclass
class Handshake:
    """The request of an opening handshake, before it goes to the server.

    Attributes:
        headers: name and value, in order; change the list to change the request.
        path: with its query; assign another one to change it.
    """

    connection: Connection
    path: str
    headers: list[tuple[str, str]]
    refusal: tuple[int, str, tuple[tuple[str, str], ...]] | None = field(default=None, init=False)

    def header(self, name: str) -> str | None:
        """The first value of a field, whatever the case of its name; None without it."""
        return next((value for one, value in self.headers if one.lower() == name.lower()), None)

    def set_header(self, name: str, value: str) -> None:
        """Put one value in the place of all of a field."""
        self.remove_header(name)
        self.headers.append((name, value))

    def remove_header(self, name: str) -> None:
        """Take a field away."""
        self.headers = [pair for pair in self.headers if pair[0].lower() != name.lower()]

    def refuse(self, status: int = 403, body: str = "", headers: dict[str, str] | None = None) -> None:
        """Answer it without asking the server."""
        if not 200 <= status <= 599:
            raise ValueError(f"expected a status from 200 to 599, found {status}")
        self.refusal = status, body, tuple((headers or {}).items())


@dataclass(frozen=True)
class End:
    """The end of an attempt or a connection.

    Attributes:
        was_open: the handshake had succeeded.
        seconds: since its attempt.
    """

    connection: Connection
    was_open: bool
    seconds: float


def sendable(content: Any) -> tuple[str, bytes]:
    """Opcode and bytes of what a script wants sent: text, bytes, or a value that becomes JSON.

    Raises:
        TypeError, ValueError: it cannot be sent.
    """
    if isinstance(content, str):
        return "text", content.encode("utf-8", "surrogateescape")
    if isinstance(content, bytes | bytearray | memoryview):
        return "binary", bytes(content)
    if isinstance(content, dict | list):
        # JSON has no NaN and no infinities: readers other than Python's refuse such a message.
        text = json.dumps(content, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        return "text", text.encode()
    raise TypeError(f"expected str, bytes, dict or list, found {type(content).__name__}")


class Script:
    """The hooks of one file.

    Args:
        path: for what is said.
        hooks: by name.
        say: takes a line.
        call: calls a hook with its object; it may raise OverdueError, and the hook is not called again.

    Attributes:
        errors: how often a hook failed, by hook.
    """

    def __init__(
        self,
        path: str,
        hooks: dict[str, Hook],
        say: Callable[[str], None],
        call: Callable[[Hook, Any], Any] = _call,
    ) -> None:
        self.path = path
        self.hooks = dict(hooks)
        self.errors: Counter[str] = Counter()
        self._say = say
        self._call = call
        self._said: set[tuple[str, str, int]] = set()
        self._connections: dict[int, Connection] = {}

    def connection(self, facts: ConnectionFacts) -> Connection:
        """The object of a connection, the same for all of its hooks."""
        found = self._connections.get(facts.id)
        if found is None:
            found = self._connections[facts.id] = Connection(facts)
        return found

    def message(self, message: Message) -> Message | None:
        """Let the hook see a message.

        Returns:
            What is to be done to the traffic; None to leave it as it came.
        """
        if "on_message" not in self.hooks:
            return None
        before = message.data
        try:
            result = self._call(self.hooks["on_message"], message)
            if result is not None and result is not message:
                _, message.data = sendable(result)
            if not isinstance(message.data, bytes):
                raise TypeError(f"data: expected bytes, found {type(message.data).__name__}")
        # Whatever a user's code raises, traffic continues. The engine's loop takes SIGINT, and nothing is
        # awaited here: a SystemExit, KeyboardInterrupt or CancelledError is the hook's own.
        except BaseException as error:
            self._failed("on_message", error, "the message passed as it came")
            message.data = before
            return None
        return message

    def handshake(self, handshake: Handshake) -> Handshake | None:
        """Let the hook see a request; None to leave it as it came."""
        if "on_handshake" not in self.hooks:
            return None
        try:
            self._call(self.hooks["on_handshake"], handshake)
            checked(handshake)
        except BaseException as error:  # as in `message`
            self._failed("on_handshake", error, "the request passed as it came")
            return None
        return handshake

    def end(self, facts: ConnectionFacts, *, was_open: bool, seconds: float) -> None:
        """Let the hook see an end."""
        connection = self.connection(facts)
        self._connections.pop(facts.id, None)
        if "on_end" in self.hooks:
            try:
                self._call(self.hooks["on_end"], End(connection, was_open, seconds))
            except BaseException as error:  # as in `message`
                self._failed("on_end", error, "nothing else changed")

    def _failed(self, hook: str, error: BaseException, then: str) -> None:
        self.errors[hook] += 1
        if isinstance(error, OverdueError):
            self.hooks.pop(hook, None)
        places = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == self.path]
        line = places[-1].lineno or 0 if places else 0
        key = (hook, type(error).__name__, line)
        if key not in self._said:
            self._said.add(key)
            where = f"{self.path}:{line}" if line else self.path
            if isinstance(error, OverdueError):
                words = str(error)
                then += f", and {hook} is not called again"
            else:
                words = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
                then += " (said once)"
            self._say(f"{where}: {hook}: {words}; {then}")

    def summary(self) -> str:
        """How often hooks failed; empty where none did."""
        total = sum(self.errors.values())
        if not total:
            return ""
        parts = ", ".join(f"{hook} {count}" for hook, count in self.errors.items())
        return f"{self.path}: hooks failed {'once' if total == 1 else f'{total} times'} ({parts})"


def checked(handshake: Handshake) -> None:
    """Refuse a request that cannot be sent.

    Raises:
        TypeError: a header is no pair of texts.
        ValueError: a line end in a header, or a path that is none.
    """
    pairs: Sequence[Any] = handshake.headers
    for pair in pairs:
        name, value = pair
        if not isinstance(name, str) or not isinstance(value, str):
            raise TypeError(f"headers: expected pairs of str, found {pair!r}")
        if any(character in name + value for character in "\r\n\0") or not name or ":" in name:
            raise ValueError(f"headers: {pair!r} cannot be sent")
    path = handshake.path
    if not path.startswith("/") or any(ord(character) < 0x21 for character in path):
        raise ValueError(f"path: {path!r} cannot be asked for")
