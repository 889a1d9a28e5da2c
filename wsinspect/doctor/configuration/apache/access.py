"""Who may pass, by `Require`, its containers, and the older `Deny`: a grant, or the line that refuses."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from wsinspect.doctor.configuration.apache.request import Request
from wsinspect.doctor.configuration.directives import Directive
from wsinspect.doctor.configuration.model import Defect

_CONTAINERS: Final = ("requireall", "requireany", "requirenone")
#: What asks who somebody is, and what asks from where: a handshake does not say either.
_PERSONS: Final = ("valid-user", "user", "group", "ldap-user", "ldap-group", "dbm-group")
_PLACES: Final = ("ip", "host", "local", "forward-dns")


class _Verdict(NamedTuple):
    """Whether it lets the handshake pass (None: not known), and the line that does not."""

    is_granted: bool | None
    defect: Defect | None = None


_GRANTED: Final = _Verdict(True)
_UNKNOWN: Final = _Verdict(None)


def refusal(
    request: Request, sections: Sequence[Sequence[Directive]], environment: Mapping[str, bool | None]
) -> Defect | None:
    """What refuses the handshake, or may do so; None where nothing does.

    Args:
        sections: directives that hold for the path, in the order in which httpd merges them: the last one
            that requires something decides (AuthMerging Off).
    """
    for section in reversed(sections):
        required = [one for one in section if one.name in (*_CONTAINERS, "require")]
        if required:
            return _any(request, required, environment).defect
        for one in section:
            words = [word.lower() for word in one.args]
            if one.name == "deny" and words[:2] == ["from", "all"]:
                return Defect(
                    "answer", "'Deny from all' answers before any server is asked", one.at, status=403
                )
            if one.name == "deny" and words[:1] == ["from"] and len(words) > 1 and words[1][:4] == "env=":
                name = one.args[1][4:]
                if environment.get(name):
                    return Defect("answer", f"'Deny from env={name}' refuses it", one.at, status=403)
    return None


def _any(request: Request, required: Iterable[Directive], environment: Mapping[str, bool | None]) -> _Verdict:
    """One grant is enough; else the first line that does not grant it."""
    found = [_verdict(request, one, environment) for one in required]
    if any(one.is_granted for one in found):
        return _GRANTED
    return next((one for one in found if one.defect is not None), _UNKNOWN)


def _verdict(request: Request, one: Directive, environment: Mapping[str, bool | None]) -> _Verdict:
    if one.name == "requireany":
        return _any(request, one.block or (), environment)
    inside = [_verdict(request, each, environment) for each in one.block or () if each.args or each.block]
    if one.name == "requireall":
        refused = next((each for each in inside if each.is_granted is False), None)
        return refused or next((each for each in inside if each.is_granted is None), _GRANTED)
    if one.name == "requirenone":
        if any(each.is_granted for each in inside):
            return _Verdict(False, Defect("answer", "'<RequireNone>' refuses it", one.at, status=403))
        return _GRANTED
    return _required(request, one, environment)


def _required(request: Request, one: Directive, environment: Mapping[str, bool | None]) -> _Verdict:
    words = [word.lower() for word in one.args]
    is_negated = words[:1] == ["not"]
    args, words = (one.args[1:], words[1:]) if is_negated else (one.args, words)
    if not words:
        return _UNKNOWN
    line = f"'Require {' '.join(one.args)}'"
    refused = Defect("answer", f"{line} answers before any server is asked", one.at, status=403)
    if words[0] in _PERSONS:
        return _Verdict(None, Defect("answer", f"{line} asks for a password first", one.at, status=401))
    if words[0] in _PLACES:
        others = "some addresses" if is_negated else "all others"
        return _Verdict(None, Defect("answer", f"{line} refuses {others}", one.at, status=403))
    is_met: bool | None = None
    if words[0] == "all":
        is_met = words[1:2] == ["granted"]
    elif words[0] == "method":
        is_met = "get" in words[1:]
    elif words[0] == "env":
        is_met = any(environment.get(name, False) for name in args[1:])
        if not is_met and any(environment.get(name, False) is None for name in args[1:]):
            is_met = None
    elif words[0] == "expr":
        is_met = request.holds(one, " ".join(args[1:]))
    if is_met is None:
        return _UNKNOWN
    return _GRANTED if is_met != is_negated else _Verdict(False, refused)
