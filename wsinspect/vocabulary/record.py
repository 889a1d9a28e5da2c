"""How a record of the journal becomes an object of JSON, and such an object a record again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import field, fields
from operator import attrgetter
from typing import Any, ClassVar, Final, NamedTuple, Self

from wsinspect.vocabulary import EventKind

_MOST: Final = 1 << 63  # an SQLite integer


def _text(value: Any) -> str | None:
    """Text that SQLite and UTF-8 take."""
    return None if value is None else str(value).encode("utf-8", "backslashreplace").decode()


def _integer(value: Any) -> int | None:
    return int(value) if isinstance(value, int) and -_MOST < value < _MOST else None


def _number(value: Any) -> float | None:
    return value if isinstance(value, int | float) else None


def _object(value: Any) -> dict[str, Any] | None:
    return value if isinstance(value, dict) else None


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


#: How a field's value is read, by its annotation.
_READERS: Final[dict[str, Callable[[Any], Any]]] = {
    "str | None": _text,
    "int": lambda value: _integer(value) or 0,
    "int | None": _integer,
    "float | None": _number,
    "bool": bool,
    "bool | None": lambda value: None if value is None else bool(value),
    "Mapping[str, Any] | None": _object,
    "Mapping[str, Any]": lambda value: _object(value) or {},
    "list[Any]": _list,
    "list[Any] | None": lambda value: value if isinstance(value, list) else None,
}
#: Of a field that is left out of the object while it is None.
IF_SET: Final = {"if_set": True}


def if_set() -> Any:
    """A field that is left out of the object while it is None."""
    return field(default=None, metadata=IF_SET)


class _Shape(NamedTuple):
    """Of a kind of record, how it is written and read; made once, for there may be a record for each frame.

    Attributes:
        keys: `event`, and the fields that are always written; `values` gets all of these at once.
        optional: fields that are written last, and left out while they are None.
        readers: of each field.
    """

    keys: tuple[str, ...]
    values: Callable[[Any], tuple[Any, ...]]
    optional: tuple[str, ...]
    readers: tuple[tuple[str, Callable[[Any], Any]], ...]


_SHAPES: Final[dict[type[Event], _Shape]] = {}


def shape_of(kind: type[Event]) -> _Shape:
    """The shape of a kind of record, made when it is first asked for."""
    found = _SHAPES.get(kind)
    if found is None:
        parts = fields(kind)  # type: ignore[arg-type]  # each kind is a dataclass; their base has no fields
        names = tuple(one.name for one in parts if not one.metadata)
        found = _Shape(
            ("event", *names),
            attrgetter("KIND", *names) if names else lambda record: (record.KIND,),
            tuple(one.name for one in parts if one.metadata),
            tuple((one.name, _READERS[str(one.type)]) for one in parts),
        )
        _SHAPES[kind] = found
    return found


class Event:
    """What all have in common: the kind."""

    __slots__ = ()
    KIND: ClassVar[EventKind]

    def as_json(self) -> dict[str, Any]:
        """The object that goes into the journal."""
        keys, values, optional, _ = _SHAPES.get(type(self)) or shape_of(type(self))
        found = dict(zip(keys, values(self), strict=True))
        for name in optional:
            value = getattr(self, name)
            if value is not None:
                found[name] = value
        return found

    def stored_detail(self) -> dict[str, Any]:
        """The object that a capture holds next to the kind."""
        found = self.as_json()
        del found["event"]
        return found

    @classmethod
    def read(cls, found: Mapping[str, Any]) -> Self:
        """The record that an object stands for."""
        return cls(**{name: reader(found.get(name)) for name, reader in shape_of(cls).readers})
