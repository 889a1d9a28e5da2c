"""A rule: a fault with what it matches, how likely, and when."""

from __future__ import annotations

import dataclasses
import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from wsinspect.faults.errors import FaultError
from wsinspect.faults.kinds import ALIASES, KINDS, FaultKind, Scope
from wsinspect.faults.kinds.handshakes import RefuseTcp
from wsinspect.faults.values import MILLISECONDS, PROBABILITY, SECONDS, shown
from wsinspect.faults.when import When
from wsinspect.wire.opcodes import Direction

if TYPE_CHECKING:
    from wsinspect.filters import Filter

NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,63}")
DIRECTIONS: Final[Mapping[str, tuple[Direction, ...]]] = {
    "both": (Direction.CLIENT_TO_SERVER, Direction.SERVER_TO_CLIENT),
    "c2s": (Direction.CLIENT_TO_SERVER,),
    "s2c": (Direction.SERVER_TO_CLIENT,),
}
#: Toxiproxy's words, and the arrows of our screens.
_DIRECTION_ALIASES: Final = {"upstream": "c2s", "downstream": "s2c", "c>s": "c2s", "s>c": "s2c"}
_KEY_ALIASES: Final = {"toxicity": "probability", "stream": "direction", "type": "kind"}
#: Fields of every rule, in addition to those of its kind.
RULE_KEYS: Final = ("name", "kind", "direction", "match", "probability", "when", "armed", "tap")
_LONGEST_KEY: Final = 64
#: Filter keys that mean nothing during a handshake.
_HANDSHAKE_FILTER_KEYS: Final = frozenset(("conn", "proto", "path", "header", "host", "tap"))
#: Filter keys about what comes after a frame: unknown when it passes.
_LATE_FILTER_KEYS: Final = frozenset(("rtt", "finding", "sev", "close", "fault"))


class Author(NamedTuple):
    """Who does something: a rule, or somebody by hand.

    Attributes:
        rule: its name.
        kind: of the fault.
    """

    rule: str
    kind: str


@dataclass(frozen=True, kw_only=True)
class Rule:
    """See the module docstring.

    Attributes:
        name: unique among the rules of an engine.
        fault: what is done.
        direction: "both", "c2s" or "s2c".
        match: the filter as typed; empty for everything.
        probability: of acting on a match; for faults of a whole connection drawn once for it.
        armed: whether it acts from the start.
        tap: only connections at this tap; None for all.
    """

    name: str
    fault: FaultKind
    direction: str = "both"
    match: str = ""
    probability: float = 1.0
    when: When = field(default_factory=When)
    armed: bool = True
    tap: str | None = None
    filter: Filter | None = field(default=None, compare=False, repr=False)

    @property
    def kind(self) -> str:
        """The name of the fault's kind, as `latency`."""
        return self.fault.name

    @property
    def scope(self) -> Scope:
        """What it acts on."""
        return self.fault.scope

    @property
    def author(self) -> Author:
        """Its name and kind."""
        return Author(self.name, self.kind)

    @classmethod
    def parse(cls, raw: Any, *, name: str = "") -> Rule:
        """Read a mapping as a file, the API or `parse_spec` has it.

        Args:
            name: where the mapping has none; else made of kind and direction.

        Raises:
            FaultError: naming the key and what was expected there.
        """
        if not isinstance(raw, Mapping):
            raise FaultError("", f"expected a mapping with `kind`, found {shown(raw)}")
        values = _canonical(raw)
        kind, values = _kind(values)
        _refuse_unknown(kind, values)
        fault = kind.parse(values)
        direction = _direction(values.get("direction"))
        chosen = values.get("name")
        if chosen is None:
            chosen = name or (kind.name if direction == "both" else f"{kind.name}_{direction}")
        if not isinstance(chosen, str) or not NAME.fullmatch(chosen):
            raise FaultError(
                "name", f"expected 1 to 64 letters, digits, '_', '.', ':' and '-', found {shown(chosen)}"
            )
        rule = cls(
            name=chosen,
            fault=fault,
            direction=direction,
            match=_text(values, "match"),
            probability=_probability(values.get("probability")),
            when=_when(values.get("when")),
            armed=_boolean(values, "armed"),
            tap=_text(values, "tap") or None,
        )
        return rule._with_filter()

    def _with_filter(self) -> Rule:
        if not self.match.strip():
            return self._checked()
        from wsinspect.filters import FilterError, parse

        try:
            parsed = parse(self.match)
        except FilterError as error:
            raise FaultError("match", str(error), excerpt=error.excerpt) from None
        return dataclasses.replace(self, filter=parsed)._checked()

    def _checked(self) -> Rule:
        keys = frozenset() if self.filter is None else self.filter.keys
        if self.scope is Scope.ACCEPT:
            if self.match.strip():
                raise FaultError("match", f"{self.kind} acts before there is a request: expected `tap` alone")
            if self.when.attempt or self.when.connection:
                raise FaultError(
                    "when", f"{self.kind} acts before there is a request: it knows no client session"
                )
        elif self.scope is Scope.HANDSHAKE:
            if odd := keys - _HANDSHAKE_FILTER_KEYS:
                allowed = ", ".join(sorted(_HANDSHAKE_FILTER_KEYS))
                raise FaultError(
                    "match",
                    f"{self.kind} acts on the handshake, which has no `{min(odd)}`: expected {allowed}",
                )
        elif not self.fault.sees_frames and (odd := keys - _HANDSHAKE_FILTER_KEYS):
            allowed = ", ".join(sorted(_HANDSHAKE_FILTER_KEYS))
            raise FaultError(
                "match", f"{self.kind} looks at no frame, it has no `{min(odd)}`: expected {allowed}"
            )
        elif late := keys & _LATE_FILTER_KEYS:
            raise FaultError(
                "match", f"`{min(late)}` is not known yet when a frame passes: expected other keys"
            )
        if self.scope in (Scope.HANDSHAKE, Scope.ACCEPT) and self.direction != "both":
            raise FaultError("direction", f"{self.kind} has no direction: expected none")
        self._check_when()
        return self

    def _check_when(self) -> None:
        every, after = self.when.every, self.when.after
        if every is not None and every[0] == "time" and self.kind != "inject":
            raise FaultError("when.every", f"a time is for inject alone: expected a number for {self.kind}")
        if every is not None and every[0] == "time" and not self.is_timed:
            raise FaultError(
                "when.every", "a time goes with nothing that counts or matches frames: expected a number"
            )
        is_without = self.fault.is_clocked or self.scope in (Scope.HANDSHAKE, Scope.ACCEPT)
        if is_without and after is not None and after[0] != "time":
            raise FaultError("when.after", f"{self.kind} sees no {after[0]}: expected a time such as 5s")
        if self.fault.is_clocked and (self.when.nth or every):
            raise FaultError(
                "when.nth" if self.when.nth else "when.every",
                f"{self.kind} happens at a time and counts nothing: expected after, between or attempt",
            )
        if isinstance(self.fault, RefuseTcp) and (self.when.nth or every or self.probability < 1):
            raise FaultError(
                "when" if self.probability == 1 else "probability",
                "refuse_tcp closes the listener and sees no connection: expected after or between",
            )

    @property
    def directions(self) -> tuple[Direction, ...]:
        """The directions whose frames it looks at."""
        return DIRECTIONS[self.direction]

    @property
    def selects_connections(self) -> bool:
        """Whether its filter asks about the connection alone: then it decides for all frames at once."""
        return self.filter is not None and self.filter.keys <= _HANDSHAKE_FILTER_KEYS

    @property
    def is_timed(self) -> bool:
        """Whether a time alone says when a trigger acts, without any frame."""
        matches_frames = self.filter is not None and not self.selects_connections
        return self.fault.is_trigger and not matches_frames and not self.when.counts_frames

    def settings(self) -> dict[str, Any]:
        """JSON that `parse` takes."""
        found: dict[str, Any] = {"name": self.name, "kind": self.kind}
        if self.direction != "both":
            found["direction"] = self.direction
        if self.match:
            found["match"] = self.match
        if self.probability != 1.0:
            found["probability"] = self.probability
        if when := self.when.settings():
            found["when"] = when
        if self.tap:
            found["tap"] = self.tap
        found["armed"] = self.armed
        return found | self.fault.settings()

    def scaled(self, factor: float) -> Rule:
        """The same with all times multiplied by `factor`."""
        if factor == 1.0:
            return self
        names = {spec.name for spec in self.fault.fields() if spec.type in (SECONDS, MILLISECONDS)}
        attributes = [item.name for item in dataclasses.fields(self.fault) if item.name.rstrip("_") in names]
        times = {name: getattr(self.fault, name) for name in attributes}
        changed = {name: int(value * factor) for name, value in times.items() if value is not None}
        fault = dataclasses.replace(self.fault, **changed)
        return dataclasses.replace(self, fault=fault, when=self.when.scaled(factor))


def _canonical(raw: Mapping[str, Any]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for key, value in raw.items():
        if not isinstance(key, str):
            raise FaultError("", f"expected names as keys, found {shown(key)}")
        if len(key) > _LONGEST_KEY:
            raise FaultError("", f"there is no such field: {shown(key)}")
        name = _KEY_ALIASES.get(key, key)
        if name in values:
            raise FaultError(key, f"given twice, also as `{name}`")
        values[name] = value
    attributes = values.pop("attributes", None)  # Toxiproxy puts the settings of a toxic there
    if isinstance(attributes, Mapping):
        values = {**attributes, **values}
    elif attributes is not None:
        raise FaultError("attributes", f"expected a mapping, found {attributes!r}")
    return values


def _kind(values: dict[str, Any]) -> tuple[type[FaultKind], dict[str, Any]]:
    name = values.get("kind")
    if isinstance(name, str) and name in ALIASES:
        name, preset = ALIASES[name]
        if "timeout" in values and name == "blackhole":
            duration = _toxiproxy_timeout(values.pop("timeout"))
            if duration != "0s":  # Toxiproxy's 0 is forever
                values = {"then": "fin", **values, "for": duration}
        values = {**preset, **values}
    if not isinstance(name, str) or name not in KINDS:
        close = difflib.get_close_matches(str(name)[:64], [*KINDS, *ALIASES], 1)
        guess = f"; did you mean {close[0]}?" if close else ""
        problem = "is missing" if name is None else f"unknown kind {shown(name)}"
        raise FaultError("kind", f"{problem}: expected one of {', '.join(KINDS)}{guess}")
    return KINDS[name], values


def _toxiproxy_timeout(raw: Any) -> str:
    try:
        return str(MILLISECONDS.render(MILLISECONDS.parse(raw)))
    except ValueError as error:
        raise FaultError.of("timeout", error) from None


def _refuse_unknown(kind: type[FaultKind], values: Mapping[str, Any]) -> None:
    known = [*(spec.name for spec in kind.fields()), *RULE_KEYS]
    for key, value in values.items():
        if value is None:
            raise FaultError(key, "has no value: expected one, or no key")
        if key not in known:
            close = difflib.get_close_matches(key, known, 1)
            guess = f"; did you mean {close[0]}?" if close else ""
            raise FaultError(key, f"{kind.name} has no such field: expected one of {', '.join(known)}{guess}")


def _direction(raw: Any) -> str:
    name = _DIRECTION_ALIASES.get(raw, raw) if isinstance(raw, str) else raw
    if name is None:
        return "both"
    if not isinstance(name, str) or name not in DIRECTIONS:
        raise FaultError("direction", f"expected c2s, s2c or both, found {shown(raw)}")
    return name


def _text(values: Mapping[str, Any], key: str) -> str:
    value = values.get(key)
    if value is None:
        return ""
    if not isinstance(value, str) or len(value) > 65536:
        raise FaultError(key, f"expected a text, found {shown(value)}")
    return value


def _probability(raw: Any) -> float:
    if raw is None:
        return 1.0
    try:
        probability: float = PROBABILITY.parse(raw)
    except ValueError as error:
        raise FaultError.of("probability", error) from None
    return probability


def _when(raw: Any) -> When:
    if raw is None:
        return When()
    try:
        return When.parse(raw)
    except FaultError as error:
        raise error.inside("when") from None


def _boolean(values: Mapping[str, Any], key: str) -> bool:
    value = values.get(key)
    if value is None:
        return True
    if value in ("true", "false"):
        return bool(value == "true")
    if not isinstance(value, bool):
        raise FaultError(key, f"expected true or false, found {shown(value)}")
    return value
