"""Ports: free ones for port 0, the real ones once listening, and words for those that cannot be had."""

from __future__ import annotations

import errno
import ipaddress
import socket
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from wsinspect.errors import LocalError, UsageError
from wsinspect.proxy.taps import Tap


class PortTakenError(LocalError):
    """Somebody else listens there."""


def choose_ports(taps: Sequence[Tap]) -> list[Tap]:
    """Give every tap with port 0 a free port of its own.

    mitmproxy refuses two modes on the same address, and port 0 twice is that to it.

    Raises:
        UsageError: two taps want the same address.
        LocalError: a host cannot be listened on.
    """
    held: list[socket.socket] = []
    chosen: list[Tap] = []
    named = {tap.port for tap in taps if tap.listens}
    try:
        for tap in taps:
            if not tap.listens:
                if any(tap.spec == other.spec for other in chosen):
                    raise UsageError(f"--mode {tap.spec} is given twice")
                chosen.append(tap)
                continue
            if tap.port == 0:
                held.append(_bind_any(tap))
                while held[-1].getsockname()[1] in named:  # free now, but another tap is to have it
                    held.append(_bind_any(tap))
                tap = tap.with_port(held[-1].getsockname()[1])
            if any((tap.host, tap.port) == (other.host, other.port) for other in chosen):
                raise UsageError(
                    f"two taps listen on {tap.host}:{tap.port}",
                    hint="give each its own port (for a mode: MODE@PORT)",
                )
            chosen.append(tap)
    finally:
        for sock in held:
            sock.close()
    return chosen


def refuse_own_targets(taps: Sequence[Tap]) -> None:
    """A tap whose target is one of this proxy's own listeners would only ever reach itself.

    Args:
        taps: with the ports they will listen on.

    Raises:
        UsageError: naming the target and the listener.
    """
    listeners = [tap for tap in taps if tap.listens]
    for tap in taps:
        host, port = _target(tap)
        if host is None:
            continue
        for listener in listeners:
            if port == listener.port and _reaches(host, listener.host):
                where = "itself" if listener is tap else f"the listener {listener.name!r} of this same proxy"
                raise UsageError(
                    f"{tap.target or tap.mode} is {where} ({listener.host}:{listener.port})",
                    hint="give the server's address, or listen on another port",
                )


def _target(tap: Tap) -> tuple[str | None, int]:
    """Where a tap connects to, as far as it is always the same place: a server, or an upstream proxy."""
    kind, _, rest = tap.mode.partition(":")
    if tap.target is None and kind not in ("upstream", "reverse"):
        return None, 0
    parts = urlsplit(tap.target or (rest if "://" in rest else f"http://{rest}"))
    try:
        port = parts.port
    except ValueError:
        port = None
    return parts.hostname, port or (443 if parts.scheme in ("https", "tls") else 80)


def _reaches(host: str, listener: str) -> bool:
    """Whether connecting to `host` arrives at what listens on the address `listener`."""
    try:
        found = {str(info[4][0]) for info in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)}
        bound = {str(info[4][0]) for info in socket.getaddrinfo(listener or "0.0.0.0", None)}
    except OSError:
        return False
    if found & bound:
        return True
    return any(ipaddress.ip_address(one.partition("%")[0]).is_unspecified for one in bound) and any(
        _is_of_this_machine(one) for one in found
    )


def _is_of_this_machine(address: str) -> bool:
    """Only a machine's own addresses can be bound to; nothing is sent for it."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        try:
            sock.bind((address, 0))
        except OSError:
            return False
    return True


def _bind_any(tap: Tap) -> socket.socket:
    family = socket.AF_INET6 if ":" in tap.host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.bind((tap.host, 0))
    except OSError as error:
        sock.close()
        raise explain_listen_error(tap, error) from error
    return sock


def explain_listen_error(tap: Tap, error: Exception) -> LocalError:
    """One line for why a tap cannot listen, and what to do."""
    reason = str(error).partition("\n")[0]
    if not tap.listens:
        return LocalError(f"{tap.name} mode cannot start: {reason}", hint="docs/modes.md says what it needs")
    where = f"{tap.host}:{tap.port}"
    code = error.errno if isinstance(error, OSError) else None
    if code == errno.EADDRINUSE:
        return PortTakenError(
            f"port {tap.port} is taken on {tap.host}", hint="choose another with --listen, or 0 for any"
        )
    if code in (errno.EACCES, errno.EPERM):
        return LocalError(f"not allowed to listen on {where}", hint="use a port above 1023")
    if code == errno.EADDRNOTAVAIL or isinstance(error, socket.gaierror) or "not bind on any" in str(error):
        return LocalError(
            f"{tap.host} is not an address of this machine", hint="listen on 127.0.0.1 or 0.0.0.0"
        )
    return LocalError(f"cannot listen on {where}: {reason}")


def listener_facts(taps: Sequence[Tap], instances: Sequence[Any]) -> list[dict[str, Any]]:
    """`listeners` of the `ready` event, with the ports that were really taken; null where there is none."""
    facts: list[dict[str, Any]] = []
    for tap, instance in zip(taps, instances, strict=True):
        if not tap.listens:
            facts.append({"tap": tap.name, "mode": tap.mode, "host": None, "port": None})
            continue
        host, port = (instance.listen_addrs[0][:2]) if instance.listen_addrs else (tap.host, tap.port)
        facts.append({"tap": tap.name, "mode": tap.mode, "host": host, "port": port})
    return facts
