"""`--mode SPEC`: mitmproxy's mode specifications as taps.

A specification is `MODE[:DATA][@[HOST:]PORT]`. Without an address of its own a mode listens where `--listen`
says, else on loopback at the mode's own port; mitmproxy alone would listen on every address.
"""

from __future__ import annotations

from collections.abc import Collection

from mitmproxy.proxy.mode_specs import LocalMode, ProxyMode, ReverseMode, TunMode

from wsinspect.errors import UsageError
from wsinspect.net import Address
from wsinspect.proxy.taps import LOOPBACK, Tap, as_http

#: Reverse modes without HTTP over TCP: there is no Host header to rewrite.
_RAW_SCHEMES = ("tcp", "tls", "udp", "dtls", "dns", "quic", "http3")


def mode_tap(
    spec: str,
    *,
    listen: tuple[str, int] | None = None,
    policy: str | None = None,
    taken: Collection[str] = (),
) -> Tap:
    """The tap for one `--mode`.

    Args:
        spec: as the user wrote it; in a reverse mode ws and wss are http and https.
        listen: where to listen when the specification names no address.
        policy: of the Host header, see `Tap.reverse`.
        taken: names that other taps have; a number is added to a mode's name that is among them.

    Raises:
        UsageError: mitmproxy knows no such mode, or not with that.
    """
    mode, at = _split(spec)
    parsed = _parse(mode if at is None else f"{mode}@{at}", spec)
    name = _free_name(parsed.type_name, taken)
    if isinstance(parsed, LocalMode | TunMode):
        if at is not None:
            raise UsageError(
                f"--mode {spec}: {parsed.type_name} mode has no port to listen on", hint="leave out @..."
            )
        return Tap(name, mode, host="", port=0, listens=False)
    default_host, default_port = listen or (LOOPBACK, parsed.default_port or 0)
    host = (parsed.custom_listen_host or "").strip("[]") or default_host
    port = default_port if parsed.custom_listen_port is None else parsed.custom_listen_port
    if at is not None and parsed.custom_listen_host is None:
        host = LOOPBACK
    if isinstance(parsed, ReverseMode) and parsed.scheme not in _RAW_SCHEMES:
        target = f"{parsed.scheme}://{Address(*parsed.address)}"
        return Tap.reverse(target, name=name, host=host, port=port, policy=policy)
    return Tap(name, mode, host, port)


def _split(spec: str) -> tuple[str, str | None]:
    """The mode with its data, as mitmproxy writes them, and the address behind `@`."""
    head, at, address = spec.rpartition("@")
    kind, colon, data = (head if at else spec).partition(":")
    kind = kind.lower()
    return kind + colon + (as_http(data) if kind == "reverse" else data), address if at else None


def _parse(spec: str, written: str) -> ProxyMode:
    try:
        return ProxyMode.parse(spec)
    except ValueError as error:
        reason = str(error).partition("\n")[0] or "not understood"
        raise UsageError(f"--mode {written}: {reason}", hint="docs/modes.md lists the modes") from error


def _free_name(name: str, taken: Collection[str]) -> str:
    candidate, number = name, 1
    while candidate in taken:
        number += 1
        candidate = f"{name}-{number}"
    return candidate


__all__ = ["mode_tap"]
