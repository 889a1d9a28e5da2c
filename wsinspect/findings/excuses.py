"""Which findings a fault that was asked for explains: those that its kind can cause, where it acted.

A latency does not make a server send 1011 or invalid UTF-8, and a client that storms under refused handshakes
chooses its own pauses: what a fault cannot cause stays somebody's doing.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from wsinspect.findings.model import Finding, as_fault
from wsinspect.vocabulary.rules import rule_words

#: Timeouts of applications and hops are seconds long; a shorter delay of frames makes none expire.
LEAST_DELAY_NS: Final = 500_000_000
#: Frames come late: timeouts, and what a peer that ran into one says.
_LATE: Final = frozenset(("KA", "DROP", "CL"))
#: Frames are missing, changed or added: peers answer with a close code, an error, or not at all.
_CHANGED: Final = frozenset(("KA", "DROP", "CL", "APP", "MS", "FR"))
_ENDED: Final = frozenset(("KA", "DROP", "CL", "APP"))
_HANDSHAKE: Final = frozenset(("HS", "H2", "DEV", "APP", "CL", "DROP"))
#: A field left out of a handshake may be one that both sides need to read each other's frames.
_NEGOTIATED: Final = _HANDSHAKE | {"FR", "MS"}
#: Families of findings, by kind of fault.
CAUSES: Final = {
    **dict.fromkeys(("latency", "bandwidth", "loss", "hold", "slicer"), _LATE),
    **dict.fromkeys(("drop", "duplicate", "reorder", "corrupt", "truncate", "replace", "inject"), _CHANGED),
    **dict.fromkeys(("fragment", "break"), _CHANGED),
    **dict.fromkeys(("close", "abort", "idle_timeout", "lifetime", "max_message_size"), _ENDED),
    **dict.fromkeys(("limit_data", "blackhole"), _ENDED),
    **dict.fromkeys(("refuse", "hang", "redirect", "bad_accept", "delay", "break_handshake"), _HANDSHAKE),
    **dict.fromkeys(("strip_headers", "set_headers", "drop_subprotocol", "downgrade_http10"), _NEGOTIATED),
    **dict.fromkeys(("refuse_tcp", "reset_on_accept", "tls_error"), frozenset(("HS", "TLS", "DROP"))),
}
#: Codes by which a peer judges what it was sent: the finding blames who sent it, and no delay causes them.
_JUDGED: Final = frozenset(f"WS-CL-{code:03}" for code in (2, 3, 7, 9, 10))
_TOO_BIG: Final = "WS-CL-009"
#: These change frames, and make no message larger.
_NOT_LARGER: Final = frozenset(("drop", "duplicate", "reorder", "truncate", "fragment"))
_DELAYS: Final = ("latency", "bandwidth", "loss", "slicer")
_SENDERS: Final = {"client": "c2s", "server": "s2c"}
_RECEIVERS: Final = {"client": "s2c", "server": "c2s"}
#: These blame who received the message, from what was sent to it before.
_OF_RECEIVERS: Final = frozenset(("WS-MS-004",))


class ActedFault(NamedTuple):
    """A rule that acted on a connection.

    Attributes:
        connection: which, since two taps see one WebSocket as two of them.
        kind: of the fault; also of what was done by hand.
        direction: of the frames that it acted on, "c2s" or "s2c"; None for a handshake's.
        delay_ns: the longest time that a frame was held; None where that is not known.
    """

    rule: str
    kind: str
    direction: str | None = None
    connection: int | None = None
    delay_ns: int | None = None


def may_cause(fault: ActedFault, finding: Finding) -> bool:
    """Whether the fault explains the finding."""
    family = finding.id.split("-")[1]
    if family not in CAUSES.get(fault.kind, _CHANGED | _HANDSHAKE):
        return False
    if fault.kind in _DELAYS and fault.delay_ns is not None and fault.delay_ns < LEAST_DELAY_NS:
        return False
    if finding.id in _JUDGED and finding.fault_of != "hop":
        if CAUSES.get(fault.kind) is _LATE or (finding.id == _TOO_BIG and fault.kind in _NOT_LARGER):
            return False
        if CAUSES.get(fault.kind) is _CHANGED and fault.direction is not None:
            return _SENDERS.get(finding.fault_of, fault.direction) == fault.direction
    if finding.id in _OF_RECEIVERS:
        return fault.direction in (None, _RECEIVERS.get(finding.fault_of))
    if family in ("FR", "MS") and fault.direction is not None and finding.fault_of != "hop":
        # A tap records frames as their sender wrote them: a changed one is seen behind the next hop alone.
        is_sender = _SENDERS.get(finding.fault_of, fault.direction) == fault.direction
        return is_sender and fault.connection is not None and fault.connection != finding.connection
    return True


def excused(
    findings: Iterable[Finding], faults: Iterable[ActedFault], *, is_said: bool = False
) -> list[Finding]:
    """The findings, as notes that blame nobody where faults that the user asked for explain them.

    Args:
        is_said: another finding says that a rule ended the connection: then these say nothing more.
    """
    acted = tuple(faults)
    if not acted:
        return list(findings)
    found = []
    for one in findings:
        rules = _explaining(one, acted)
        if not rules:
            found.append(one)
        elif not is_said:
            found.append(as_fault(one, rules))
    return found


def _explaining(finding: Finding, faults: tuple[ActedFault, ...]) -> str:
    """The rules that explain a finding; empty without any, or with nothing to excuse."""
    if finding.fault_of == "tool" and finding.severity != "error":
        return ""
    return ", ".join(dict.fromkeys(rule_words(fault.rule) for fault in faults if may_cause(fault, finding)))


__all__ = ["CAUSES", "LEAST_DELAY_NS", "ActedFault", "excused", "may_cause"]
