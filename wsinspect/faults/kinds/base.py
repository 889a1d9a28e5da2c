"""What a kind of fault is: a frozen dataclass whose fields say their type, meaning and examples.

Schema, documentation, command line and screens are made from these classes; what a kind does to traffic is in
`stages`, by the class.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Any, ClassVar, Final

from wsinspect.faults.errors import FaultError
from wsinspect.faults.values import Choice, ValueType

_MISSING: Any = object()
#: What an outage applies to: every HTTP request that its rule selects, or only opening handshakes.
ONLY: Final = Choice(("all", "websocket"))
ONLY_HELP: Final = "`all` requests to the host, long-polling too, or only `websocket` handshakes"
_SPEC = "spec"


class Scope(Enum):
    """What a kind acts on; the value names it in help."""

    FRAME = "frames and messages"
    CONNECTION = "connections"
    HANDSHAKE = "handshakes"
    ACCEPT = "before the request"


@dataclasses.dataclass(frozen=True, slots=True)
class FieldSpec:
    """One field of a kind.

    Attributes:
        type: how its value is written.
        help: what it means, one sentence without full stop.
        is_required: whether it must be given.
        default: the value where it is not given.
    """

    name: str
    type: ValueType
    help: str
    is_required: bool
    default: Any


def setting(value_type: ValueType, text: str, *, default: Any = _MISSING) -> Any:
    """Declare a field of a kind; without default it must be given."""
    metadata = {_SPEC: (value_type, text)}
    if default is _MISSING:
        return dataclasses.field(metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


@dataclasses.dataclass(frozen=True, kw_only=True)
class FaultKind:
    """Base of all kinds.

    Attributes:
        name: as a rule writes it.
        scope: what it acts on.
        summary: one sentence.
        examples: rules as they stand in a file, without `name`.
        directions: the directions that it can have; the first is the default ("both", "c2s", "s2c").
        alters: whether what the receiver inflates is no longer what the sender deflated.
        is_trigger: whether it happens once at a moment, which may be a time instead of a frame.
        is_clocked: whether a clock alone says when it happens, so that no frame can be counted.
        sees_frames: whether a filter may ask about frames.
    """

    name: ClassVar[str] = ""
    scope: ClassVar[Scope] = Scope.FRAME
    summary: ClassVar[str] = ""
    examples: ClassVar[tuple[str, ...]] = ()
    alters: ClassVar[bool] = False
    is_trigger: ClassVar[bool] = False
    is_clocked: ClassVar[bool] = False
    sees_frames: ClassVar[bool] = True

    @classmethod
    def fields(cls) -> Iterator[FieldSpec]:
        """The fields in the order of their declaration."""
        for field in dataclasses.fields(cls):
            value_type, text = field.metadata[_SPEC]
            required = field.default is dataclasses.MISSING
            yield FieldSpec(
                field.name.rstrip("_"), value_type, text, required, None if required else field.default
            )

    @classmethod
    def parse(cls, raw: Mapping[str, Any]) -> FaultKind:
        """The fault that these settings describe; keys that it does not know are the caller's to refuse.

        Raises:
            FaultError: naming the field.
        """
        values: dict[str, Any] = {}
        for spec in cls.fields():
            if spec.name not in raw or raw[spec.name] is None:
                if spec.is_required:
                    raise FaultError("", f"{cls.name} needs `{spec.name}`: expected {spec.type.expected}")
                continue
            try:
                values[_attribute(cls, spec.name)] = spec.type.parse(raw[spec.name])
            except ValueError as error:
                raise FaultError.of(spec.name, error) from None
        fault = cls(**values)
        fault.check()
        return fault

    def check(self) -> None:
        """Refuse settings that do not go together.

        Raises:
            FaultError: naming the field.
        """

    def settings(self) -> dict[str, Any]:
        """What differs from the defaults, as JSON that `parse` takes."""
        found: dict[str, Any] = {}
        for spec in self.fields():
            value = getattr(self, _attribute(type(self), spec.name))
            if value is not None and (spec.is_required or value != spec.default):
                found[spec.name] = spec.type.render(value)
        return found


def _attribute(cls: type[FaultKind], name: str) -> str:
    """`for` is a keyword of Python: its attribute is `for_`."""
    return name if name in cls.__dataclass_fields__ else name + "_"
