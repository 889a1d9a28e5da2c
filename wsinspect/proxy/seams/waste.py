"""Seam: what mitmproxy makes for each opening handshake and throws away (contexts, hooks, options, fields).

Stock mitmproxy makes a server with an id of its own for each copy of a context, and drops it; looks at each
hook and event whether its class is a dataclass, for its developers; copies each option that is read, though
most are numbers; reads the host of the same request again and again, as an IDNA name; and asks a field's name
through five functions, of which one is called for each field that there is. Together that was a quarter of
what an opening handshake cost the engine. Here none of it is done twice, and nothing else is
different.
"""

from __future__ import annotations

import copy
from functools import lru_cache
from typing import Any, Final

from mitmproxy import hooks, http, optmanager
from mitmproxy.net.http import url
from mitmproxy.proxy import commands, events
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layer import Layer

#: An option with such a value needs no copy.
_UNCHANGING: Final = frozenset({type(None), bool, int, float, str, bytes})
#: Hosts that are remembered.
_HOSTS: Final = 1024


def install_waste() -> None:
    """Rebind the names; again without harm."""
    Context.fork = _fork  # type: ignore[assignment, method-assign]
    optmanager._Option.current = _current  # type: ignore[assignment, method-assign]
    for checked in (hooks.Hook, commands.StartHook, events.CommandCompleted):
        checked.__new__ = _new  # type: ignore[assignment, method-assign]
    http.Headers.get_all = _get_all  # type: ignore[assignment, method-assign]
    http.Headers.get = _get  # type: ignore[assignment, method-assign]
    if not hasattr(url.parse_authority, "cache_info"):
        url.parse_authority = lru_cache(_HOSTS)(url.parse_authority)


def make_context(client: Any, server: Any, options: Any) -> Context:
    """A context without a server of its own that would be thrown away."""
    found = Context.__new__(Context)
    found.client, found.server, found.options = client, server, options
    found.layers = []
    return found


class _Queue(list[events.Event]):
    """What comes while a layer waits: nearly always nothing, of which a deque makes 760 bytes."""

    __slots__ = ()

    def popleft(self) -> events.Event:
        """Take out the event that came first, as a deque does; IndexError where there is none."""
        return self.pop(0)


def shorten_queue(layer: Layer) -> None:
    """Give a layer that has only just been made, and will be there for long, a queue that takes no room."""
    layer._paused_event_queue = _Queue()  # type: ignore[assignment]


def _fork(context: Context) -> Context:
    """A copy whose layers are its own."""
    found = Context.__new__(Context)
    found.client, found.server, found.options = context.client, context.server, context.options
    found.layers = context.layers.copy()
    return found


def _new(kind: Any, *arguments: Any, **named: Any) -> Any:
    """An object, whatever its class."""
    return object.__new__(kind)


def _current(option: Any) -> Any:
    """An option's value, the caller's own."""
    value = option._default if option.value is optmanager.unset else option.value
    return value if type(value) in _UNCHANGING else copy.deepcopy(value)


def _get_all(headers: http.Headers, name: str | bytes) -> list[str]:
    """The values of all fields with a name, in their order."""
    wanted = (name if isinstance(name, bytes) else name.encode("utf-8", "surrogateescape")).lower()
    return [
        value.decode("utf-8", "surrogateescape") for key, value in headers.fields if key.lower() == wanted
    ]


def _get(headers: http.Headers, name: str | bytes, default: Any = None) -> Any:
    """The values of all fields with a name, as one."""
    values = _get_all(headers, name)
    return ", ".join(values) if values else default
