"""A script of `wsinspect mock`: what a server does when it is opened, asked, or left alone.

Two lists: `script` is played once in order on each connection, `rules` act whenever their trigger comes.
Every mistake is reported with line, field and what was expected there; nothing is ignored.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from wsinspect.errors import UsageError
from wsinspect.faults.documents import placed, read_text, read_yaml, refuse_bomb
from wsinspect.faults.errors import FaultError
from wsinspect.faults.texts import HEADERS
from wsinspect.faults.values import SECONDS, Number, shown
from wsinspect.peers import templates
from wsinspect.peers.typed import MAX_CONTROL, parse_expectation
from wsinspect.wire.close_codes import is_legal_on_wire
from wsinspect.wire.opcodes import Opcode

if TYPE_CHECKING:
    from wsinspect.filters import Filter

VERSION: Final = 1
#: More than anybody writes; each rule is asked about each frame.
MAX_STEPS: Final = 10_000
MAX_RULES: Final = 200
#: Longest wait and largest count: a day, and a million.
_MOST_NS: Final = 24 * 3600 * 10**9
KEYS: Final = (
    *("version", "name", "path", "subprotocols", "compress", "headers", "delay", "refuse", "answers_pings"),
    *("script", "rules"),
)
REFUSE_KEYS: Final = ("status", "headers", "body", "first")
ACTION_KEYS: Final = ("send", "binary", "ping", "pong", "close", "abort", "wait")
RULE_KEYS: Final = ("on", "every", "after", "times", "do", *ACTION_KEYS)
CLOSE_KEYS: Final = ("code", "reason")
#: `on: open`, and `expect: message`.
OPEN: Final = "open"
ANY: Final = "message"


@dataclass(frozen=True)
class Send:
    """A message or a control frame; `document` is a text, or what becomes JSON."""

    opcode: Opcode
    document: Any = None
    data: bytes = b""


@dataclass(frozen=True)
class Wait:
    """A pause, in nanoseconds."""

    for_ns: int


@dataclass(frozen=True)
class Close:
    """The closing handshake; code None is a CLOSE without one."""

    code: int | None
    reason: str = ""


@dataclass(frozen=True)
class Abort:
    """An end without a CLOSE frame: `rst` or `fin`."""

    how: str


@dataclass(frozen=True)
class Expect:
    """A pause until the client has sent a frame that passes; None is any message."""

    filter: Filter | None


Action = Send | Wait | Close | Abort
Step = Action | Expect


@dataclass(frozen=True, kw_only=True)
class Rule:
    """Actions and what triggers them: exactly one of the three.

    Attributes:
        filter: a frame of the client that passes it; with `is_on_open`, None and the opening.
        every_ns: again and again, since the opening.
        after_ns: once, so long after the opening.
        after_messages: once, behind that many messages of the client.
        times: acts at most so often on a connection; None for any number.
    """

    do: tuple[Action, ...]
    filter: Filter | None = None
    is_on_open: bool = False
    every_ns: int | None = None
    after_ns: int | None = None
    after_messages: int | None = None
    times: int | None = None


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """An answer other than 101.

    Attributes:
        first: only so many handshakes are refused; None for all.
    """

    status: int = 503
    headers: tuple[tuple[str, str], ...] = ()
    body: str = ""
    first: int | None = None


@dataclass(frozen=True, kw_only=True)
class Script:
    """A file's content.

    Attributes:
        path: the only path that is answered, without its query; None for every path.
        subprotocols: those that are accepted, the first that a client offers.
        delay_ns: before the handshake is answered.
    """

    name: str = ""
    path: str | None = None
    subprotocols: tuple[str, ...] = ()
    compress: bool = False
    headers: tuple[tuple[str, str], ...] = ()
    delay_ns: int = 0
    refuse: Refusal | None = None
    answers_pings: bool = True
    script: tuple[Step, ...] = ()
    rules: tuple[Rule, ...] = field(default=())


def load_file(path: Path) -> Script:
    """Read a script.

    Raises:
        FaultError: with file, line, field and what was expected.
    """
    return load_text(read_text(path), str(path))


def load_text(text: str, source: str = "") -> Script:
    """Read a script from its text.

    Raises:
        FaultError: with line, field and what was expected.
    """
    document = read_yaml(text, source)
    try:
        return _script(document)
    except FaultError as error:
        raise placed(error, document, source) from None


def _script(document: Any) -> Script:
    refuse_bomb(document)
    if not isinstance(document, Mapping):
        raise FaultError("", f"expected a mapping with {', '.join(KEYS)}")
    version = document.get("version")
    if version != VERSION or isinstance(version, bool):
        found = f"expected {VERSION}, found {shown(version)}"
        raise FaultError(
            "version", found if version is not None else f"missing: expected a line 'version: {VERSION}'"
        )
    _known(document, KEYS)
    delay = document.get("delay")
    script = Script(
        name=_text(document, "name"),
        path=_path(document.get("path")),
        subprotocols=_subprotocols(document.get("subprotocols")),
        compress=_boolean(document, "compress", default=False),
        headers=_inside("headers", lambda: _headers(document.get("headers"))),
        delay_ns=0 if delay is None else _inside("delay", lambda: _duration(delay)),
        refuse=_inside("refuse", lambda: _refusal(document.get("refuse"))),
        answers_pings=_boolean(document, "answers_pings", default=True),
        script=tuple(_items("script", document.get("script"), MAX_STEPS, _step)),
        rules=tuple(_items("rules", document.get("rules"), MAX_RULES, _rule)),
    )
    always = script.refuse is not None and script.refuse.first is None
    if not always and not script.script and not script.rules:
        raise FaultError("", "it does nothing: expected script, rules or refuse")
    if always and (script.script or script.rules):
        raise FaultError("refuse", "nothing is ever open: expected `first`, or no script and no rules")
    return script


def _inside(name: str, read: Callable[[], Any]) -> Any:
    try:
        return read()
    except FaultError as error:
        raise error.inside(name) from None
    except ValueError as error:
        raise FaultError.of(name, error) from None


def _items(name: str, raw: Any, most: int, read: Callable[[Any], Any]) -> list[Any]:
    if raw is None:
        return []
    if not isinstance(raw, Sequence) or isinstance(raw, str | bytes):
        raise FaultError(name, f"expected a list, found {shown(raw)}")
    if len(raw) > most:
        raise FaultError(name, f"expected at most {most}, found {len(raw)}")
    return [_inside(f"{name}[{index}]", partial(read, item)) for index, item in enumerate(raw)]


def _known(raw: Mapping[Any, Any], known: Sequence[str]) -> None:
    for key, value in raw.items():
        if key not in known:
            close = difflib.get_close_matches(str(key)[:64], known, 1)
            guess = f"; did you mean {close[0]}?" if close else ""
            raise FaultError(str(key), f"unknown: expected one of {', '.join(known)}{guess}")
        if value is None and key != "ping":
            raise FaultError(str(key), "has no value: expected one, or no key")


def _mapping(raw: Any, known: Sequence[str]) -> Mapping[str, Any]:
    if not isinstance(raw, Mapping) or not raw:
        raise FaultError("", f"expected a mapping with {', '.join(known)}, found {shown(raw)}")
    _known(raw, known)
    return raw


def _text(raw: Mapping[str, Any], key: str) -> str:
    value = raw.get(key)
    if value is not None and not isinstance(value, str):
        raise FaultError(key, f"expected a text, found {shown(value)}")
    return str(value or "")


def _boolean(raw: Mapping[str, Any], key: str, *, default: bool) -> bool:
    value = raw.get(key)
    if value is None:
        return default
    if not isinstance(value, bool):
        raise FaultError(key, f"expected true or false, found {shown(value)}")
    return value


def _path(raw: Any) -> str | None:
    if raw is None:
        return None
    if not isinstance(raw, str) or not raw.startswith("/") or "?" in raw or "#" in raw:
        raise FaultError("path", f"expected a path without query, such as /chat, found {shown(raw)}")
    return str(raw)


def _subprotocols(raw: Any) -> tuple[str, ...]:
    from wsinspect.peers.client import parse_subprotocols

    names = [raw] if isinstance(raw, str) else raw
    if names is None:
        return ()
    if not isinstance(names, Sequence) or not all(isinstance(name, str) for name in names):
        raise FaultError("subprotocols", f"expected a list of names, found {shown(raw)}")
    try:
        return tuple(str(name) for name in parse_subprotocols(names))
    except UsageError as error:
        raise FaultError("subprotocols", error.message) from None


def _headers(raw: Any) -> tuple[tuple[str, str], ...]:
    return () if raw is None else tuple(HEADERS.parse(raw))


def _duration(raw: Any) -> int:
    duration = SECONDS.parse(raw)
    if duration > _MOST_NS:
        raise FaultError("", f"expected at most 24 h, found {shown(raw)}")
    return int(duration)


def _refusal(raw: Any) -> Refusal | None:
    if raw is None:
        return None
    if isinstance(raw, int) and not isinstance(raw, bool):
        raw = {"status": raw}
    found = _mapping(raw, REFUSE_KEYS)
    status = _inside("status", lambda: Number(200, 599).parse(found.get("status", 503)))
    first = found.get("first")
    return Refusal(
        status=status,
        headers=_inside("headers", lambda: _headers(found.get("headers"))),
        body=_text(found, "body"),
        first=None if first is None else _inside("first", lambda: Number(1, 1_000_000).parse(first)),
    )


def _step(raw: Any) -> Step:
    found = _mapping(raw, ("expect", *ACTION_KEYS))
    if "expect" in found:
        if len(found) > 1:
            raise FaultError("", "expected `expect` alone in its step")
        return Expect(_inside("expect", lambda: _filter(found["expect"], ANY)))
    return _action(found)


def _filter(raw: Any, word: str) -> Filter | None:
    if not isinstance(raw, str):
        raise FaultError("", f"expected {word} or a filter such as json:$.type=login, found {shown(raw)}")
    if raw == word:
        return None
    try:
        return parse_expectation(str(raw))
    except UsageError as error:
        raise FaultError("", error.message, excerpt=tuple(error.excerpt)) from None


def _rule(raw: Any) -> Rule:
    found = _mapping(raw, RULE_KEYS)
    triggers = [key for key in ("on", "every", "after") if key in found]
    if len(triggers) != 1:
        given = ", ".join(triggers) or "none"
        raise FaultError("", f"expected exactly one of on, every and after, found {given}")
    times = found.get("times")
    facts: dict[str, Any] = {
        "do": _actions(found),
        "times": None if times is None else _inside("times", lambda: Number(1, 1_000_000).parse(times)),
    }
    [trigger] = triggers
    value = found[trigger]
    if trigger == "on":
        facts["filter"] = _inside("on", lambda: _filter(value, OPEN))
        facts["is_on_open"] = facts["filter"] is None
    elif trigger == "every":
        facts["every_ns"] = _inside("every", lambda: _duration(value))
        if facts["every_ns"] < 10**6:
            raise FaultError("every", f"expected at least 1 ms, found {shown(value)}")
    elif isinstance(value, int) and not isinstance(value, bool):
        facts["after_messages"] = _inside("after", lambda: Number(1, 1_000_000).parse(value))
    else:
        facts["after_ns"] = _inside("after", lambda: _duration(value))
    return Rule(**facts)


def _actions(found: Mapping[str, Any]) -> tuple[Action, ...]:
    own = {key: value for key, value in found.items() if key in ACTION_KEYS}
    if "do" in found:
        if own:
            raise FaultError(next(iter(own)), "expected it inside of `do`, or no `do`")
        actions = _items("do", found["do"], MAX_STEPS, lambda item: _action(_mapping(item, ACTION_KEYS)))
        if not actions:
            raise FaultError("do", f"expected a list with one of {', '.join(ACTION_KEYS)} at least")
        return tuple(actions)
    return (_action(own),)


def _action(found: Mapping[str, Any]) -> Action:
    if len(found) != 1:
        given = ", ".join(map(str, found)) or "none"
        raise FaultError("", f"expected exactly one of {', '.join(ACTION_KEYS)}, found {given}")
    [(name, value)] = found.items()
    return _inside(name, lambda: _ACTIONS[name](value))  # type: ignore[no-any-return]


def _send(raw: Any) -> Send:
    document = _plain(raw)
    for text in templates.texts_of(document):
        templates.check(text)  # a ValueError that names the placeholder
    return Send(Opcode.TEXT, document)


def _plain(raw: Any) -> Any:
    """What was read, as JSON has it: without the reader's own types.

    Raises:
        FaultError: YAML can say it and JSON cannot: dates, NaN, keys that are not texts.
    """
    if isinstance(raw, str):
        return str(raw)
    try:
        return json.loads(json.dumps(raw, allow_nan=False))
    except (TypeError, ValueError):
        raise FaultError("", f"expected a text, or what JSON can say, found {shown(raw)}") from None


def _binary(raw: Any) -> Send:
    if isinstance(raw, str):
        try:
            return Send(Opcode.BINARY, data=bytes.fromhex(raw))
        except ValueError:
            pass  # said below
    raise FaultError("", f"expected hexadecimal digits in quotes, such as '00 01 ff', found {shown(raw)}")


def _control(opcode: Opcode) -> Callable[[Any], Send]:
    def read(raw: Any) -> Send:
        text = "" if raw is None else raw
        if not isinstance(text, str) or len(text.encode()) > MAX_CONTROL:
            raise FaultError("", f"expected a text of at most {MAX_CONTROL} bytes, found {shown(raw)}")
        templates.check(text)
        return Send(opcode, str(text))

    return read


def _close(raw: Any) -> Close:
    if isinstance(raw, Mapping):
        found = _mapping(raw, CLOSE_KEYS)
        code, reason = found.get("code"), _text(found, "reason")
    else:
        code, reason = raw, ""
    if code == "none" and not reason:
        return Close(None)
    if not isinstance(code, int) or isinstance(code, bool) or not is_legal_on_wire(code):
        expected = "1000, 1001, 1003, 1007 to 1014, 3000 to 4999, or none"
        raise FaultError("", f"expected a close code ({expected}), found {shown(code)}")
    if len(reason.encode()) > MAX_CONTROL - 2:
        raise FaultError("reason", f"expected at most {MAX_CONTROL - 2} bytes")
    return Close(code, reason)


def _abort(raw: Any) -> Abort:
    if raw not in ("rst", "fin"):
        raise FaultError("", f"expected rst or fin, found {shown(raw)}")
    return Abort(str(raw))


_ACTIONS: Final[Mapping[str, Callable[[Any], Action]]] = {
    "send": _send,
    "binary": _binary,
    "ping": _control(Opcode.PING),
    "pong": _control(Opcode.PONG),
    "close": _close,
    "abort": _abort,
    "wait": lambda raw: Wait(_duration(raw)),
}
