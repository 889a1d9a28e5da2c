"""Option values with units, addresses and taps: parsed once, refused in one line that says what to write.

Sizes and durations are those of `wsinspect.units` (bare numbers are bytes and seconds), addresses and servers
those of `wsinspect.net`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

import click

from wsinspect.faults.sessions import SessionBy
from wsinspect.net import Address, Endpoint, parse_address, parse_endpoint
from wsinspect.units import QuantityError, parse_duration, parse_size

if TYPE_CHECKING:
    from wsinspect.filters import Filter

_EXIT_CODES = (
    "2    wrong usage, or input that cannot be read",
    "3    a local problem: port in use, disk full, program not found",
    "130  interrupted (143 by SIGTERM)",
)
_TAP_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,31}")


class TapSpec(NamedTuple):
    """A named place where traffic is observed: a listener and the server behind it."""

    name: str
    listen: Address
    target: Endpoint


def parse_tap(text: str) -> TapSpec:
    """`edge=8081=http://127.0.0.1:80`.

    Raises:
        ValueError: with one line that says what to write.
    """
    parts = text.split("=", 2)
    if len(parts) != 3:
        raise ValueError(
            f"not a tap: {text!r}; write NAME=[HOST:]PORT=URL, such as edge=8081=http://127.0.0.1:80"
        )
    name, listen, target = parts
    if not _TAP_NAME.fullmatch(name):
        raise ValueError(f"not a tap name: {name!r}; use up to 32 letters, digits, '.', '_' and '-'")
    return TapSpec(name, parse_address(listen), parse_endpoint(target))


def parse_regex(text: str) -> str:
    """The same text, a regular expression that compiles.

    Raises:
        ValueError: with one line that says where it goes wrong.
    """
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"invalid regular expression {text!r}: {error}") from None
    return text


T = TypeVar("T")


class Parsed(click.ParamType, Generic[T]):  # type: ignore[type-arg]  # generic as of click 8.2 only
    """A click type made of a parser that raises ValueError."""

    def __init__(self, name: str, parse: Callable[[str], T]) -> None:
        self.name = name
        self._parse = parse

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> T:
        """The parsed value; a default that is parsed already stays."""
        if not isinstance(value, str):
            return value  # type: ignore[no-any-return]
        try:
            return self._parse(value)
        except QuantityError as error:
            raise placed(click.BadParameter(str(error), ctx=ctx, param=param), error) from None
        except ValueError as error:
            self.fail(str(error), param, ctx)


class Factor(click.FloatRange):
    """A number between two others; not NaN, which no comparison refuses."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number: float = super().convert(value, param, ctx)
        if math.isnan(number):
            self.fail(f"{value} is not a number from {self.min:g} to {self.max:g}", param, ctx)
        return number


class Once(click.Option):
    """An option with one value; two different ones are refused, where click would let the last one win.

    For what a user may well mean both of. `instead` says how to have both; a sentence without a full stop.
    """

    def __init__(self, *args: Any, instead: str = "give one", **settings: Any) -> None:
        super().__init__(*args, **{**settings, "multiple": True})
        self._instead = instead

    def process_value(self, ctx: click.Context, value: Any) -> Any:
        """The value, or None.

        Raises:
            click.UsageError: there are several.
        """
        values = dict.fromkeys(super().process_value(ctx, value) or ())
        if len(values) > 1:
            raise click.UsageError(f"{self.opts[0]} was given twice: {self._instead}", ctx)
        return next(iter(values), None)


def placed(usage: click.UsageError, error: QuantityError) -> click.UsageError:
    """The same error; what was written, and a caret below the mistake, come before its line."""
    usage.excerpt = (error.text, error.caret())  # type: ignore[attr-defined]
    return usage


SIZE = Parsed("size", parse_size)
DURATION = Parsed("duration", parse_duration)
ADDRESS = Parsed("[host:]port", parse_address)
TARGET = Parsed("url", parse_endpoint)
REGEX = Parsed("regex", parse_regex)
TAP = Parsed("name=[host:]port=url", parse_tap)

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON with a stable schema.")
#: Of a server with one address.
listen_option = click.option(
    "--listen",
    "-l",
    cls=Once,
    type=ADDRESS,
    default=["0"],
    help="Address to listen on; any free port by default.",
)
insecure_option = click.option("--insecure", is_flag=True, help="Accept any server certificate.")
#: Of what has an engine; the engine itself says what is wrong with a file.
trusted_option = click.option(
    "--ca",
    "trusted",
    type=click.Path(path_type=Path),
    multiple=True,
    metavar="FILE",
    help="Also trust server certificates issued by this CA (PEM); repeatable.",
)
session_by_option = click.option(
    "--session-by",
    type=Parsed("part:name", SessionBy.parse),
    help="Tell clients apart by header:NAME, cookie:NAME or query:NAME.",
)
color_option = click.option(
    "--color",
    type=click.Choice(["auto", "always", "never"]),
    default="auto",
    help="Use colour; auto means on a terminal, unless NO_COLOR is set.",
)


def examples(*lines: str, failed: str | None = None) -> str:
    """The `epilog` of a command: its exit codes, and example command lines, kept as they are written.

    Args:
        lines: a command line each.
        failed: what exit code 1 means; None for commands that never end so.
    """
    codes = ["0    success", f"1    {failed}", *_EXIT_CODES] if failed else ["0    success", *_EXIT_CODES]
    return "\n\n".join(_block(title, block) for title, block in (("Exit codes", codes), ("Examples", lines)))


def _block(title: str, lines: Iterable[str]) -> str:
    """A paragraph that click does not wrap."""
    return f"\b\n{title}:\n" + "\n".join(f"  {line}" for line in lines)


def parse_filter(expression: str | None) -> Filter | None:
    """A filter; an empty one is none. A wrong one is a `FilterError`."""
    if expression is None or not expression.strip():
        return None
    from wsinspect.filters import parse

    return parse(expression)
