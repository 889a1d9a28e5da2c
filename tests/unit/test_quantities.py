"""Every place that reads a size, a duration or a rate, found in the program itself, with every spelling.

A new option, filter key, fault setting or condition is in the table without being named here. `test_units.py`
looks at the grammar; this page looks at whether everybody uses it.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import click
import pytest

from tests.support.chats import chat_capture
from tests.support.every_case import every_case
from tests.support.tui_pilot import opened
from wsinspect import units
from wsinspect.cli import main
from wsinspect.cli.demo import parse_length
from wsinspect.cli.options import DURATION, SIZE
from wsinspect.clients.expectations import KEYS, expectation_schema, read_expectations
from wsinspect.errors import UsageError
from wsinspect.faults.errors import FaultError
from wsinspect.faults.kinds import KINDS
from wsinspect.faults.rule import Rule
from wsinspect.faults.scenario import load_object, load_text
from wsinspect.faults.spec import parse_spec
from wsinspect.faults.values import SECONDS, Quantity, Rate
from wsinspect.faults.when import WHEN_FIELDS
from wsinspect.filters import FilterError, parse
from wsinspect.filters.fields import FIELDS
from wsinspect.filters.kinds import QuantityKind
from wsinspect.peers.mock.script import load_text as read_mock
from wsinspect.peers.typed import parse_line
from wsinspect.units import DAY, HOUR, MINUTE, MS, SECOND, US, QuantityError

KIB = 1 << 10
#: Spelling and value; a value of None is refused everywhere.
SIZES = {
    **{"64 KiB": 64 * KIB, "64kib": 64 * KIB, "64KB": 64_000, "1TiB": 1 << 40, "90": 90},
    **{"5 parsecs": None, "-1s": None, "1e9": None, "nan": None, "": None, "1min": None, "64 KiB/s": None},
}
DURATIONS = {
    **{"1min": MINUTE, "1 min": MINUTE, "250MS": 250 * MS, "1h": HOUR, "2d": 2 * DAY, "5us": 5 * US},
    **{"5µs": 5 * US, "5 µs": 5 * US, "5\u03bcS": 5 * US},
    **{"5 parsecs": None, "-1s": None, "1e9": None, "nan": None, "": None, "64 KiB": None, "1h30": None},
}
RATES = {
    **{"64 KiB/s": 64 * KIB, "64kib/S": 64 * KIB, "64KB/s": 64_000, "8 kbit/s": 1000, "1TiB/s": 1 << 40},
    **{"5 parsecs/s": None, "-1B/s": None, "1e9": None, "nan": None, "": None, "90": None, "64 KiB": None},
}
SPELLINGS = {"size": SIZES, "duration": DURATIONS, "rate": RATES}
REFUSALS = (click.BadParameter, FilterError, FaultError, QuantityError, UsageError)


@dataclass(frozen=True)
class Place:
    """Where a quantity is read.

    Attributes:
        read: gives the value of a spelling, or raises one of `REFUSALS`.
        bare_ns: base units of a number without a unit, where that is a duration.
    """

    name: str
    kind: str
    read: Callable[[str], Any]
    bare_ns: int = SECOND


def commands(
    command: click.Command, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None
            yield from commands(found, (*path, name))


def run(*words: str) -> int:
    """A command line as a shell gives it; its exit code."""
    return main.execute(lambda: main.cli.main(words, prog_name="wsinspect", standalone_mode=False))


OPTIONS = [
    (path, param)
    for path, command in commands(main.cli)
    for param in command.params
    if param.type in (SIZE, DURATION)
]


def option_places() -> Iterator[Place]:
    for path, param in OPTIONS:
        read = partial(param.type.convert, param=None, ctx=None)
        yield Place(f"{' '.join(path)} {param.opts[0]}", param.type.name, read)


def filter_places() -> Iterator[Place]:
    for field in FIELDS.values():
        if isinstance(field.kind, QuantityKind):
            bare = MS if field.kind.bare == "ms" else SECOND
            yield Place(
                f"filter {field.name}", field.kind.dimension.name, partial(in_filter, field.name), bare
            )


def in_filter(key: str, text: str) -> Any:
    """The value in a filter; in quotes where a word that is no unit would be searched for in payloads."""
    is_quoted = not text or text.endswith("parsecs")
    found = parse(f"op:text {key}>{json.dumps(text) if is_quoted else text}")
    assert "body" not in found.keys, f"{found} searches payloads for a word"
    return next(test.value for test in found.root.operands if test.field.name == key)  # type: ignore[union-attr]


def fault_places() -> Iterator[Place]:
    for kind in KINDS.values():
        for spec in kind.fields():
            if isinstance(spec.type, (Quantity, Rate)):
                what = spec.type.dimension.name if isinstance(spec.type, Quantity) else "rate"
                bare = MS if isinstance(spec.type, Quantity) and spec.type.bare == "ms" else SECOND
                yield Place(f"fault {kind.name} {spec.name}", what, spec.type.parse, bare)


def condition_places() -> Iterator[Place]:
    yield Place(
        "when between",
        "duration",
        lambda text: Rule.parse({"kind": "drop", "when": {"between": ["0", text]}}).when.between[1],  # type: ignore[index]
    )
    yield Place(
        "phase for",
        "duration",
        lambda text: load_text(f"version: 1\nphases: [{{for: {json.dumps(text)}}}]").phases[0].for_ns,
    )
    yield Place("demo --seconds", "duration", lambda text: demo_length(text))


def expectation_places() -> Iterator[Place]:
    """Every expectation whose value is a duration, by its schema."""
    properties = expectation_schema()["properties"]
    for key in (one for one in KEYS if properties[one] == SECONDS.schema()):
        yield Place(f"expect {key}", "duration", partial(expected, key))


def expected(key: str, text: str) -> Any:
    scenario = {
        "version": 1,
        "phases": [{"do": [{"kind": "blackhole"}]}],
        "expect": [{key: text}],
    }
    return read_expectations(load_object(scenario))[0].value


def peer_places() -> Iterator[Place]:
    """Scripts of `mock`, where nothing is longer than a day, and lines of `connect`."""
    yield Place(
        "mock delay",
        "duration",
        lambda text: of_mock("refuse: 503\ndelay: {}", text, lambda one: one.delay_ns),
    )
    yield Place("mock wait", "duration", lambda text: of_mock("script: [{{wait: {}}}]", text, waited))
    yield Place("connect /wait", "duration", lambda text: parse_line(f"/wait {text}").for_ns)  # type: ignore[union-attr]


def of_mock(line: str, text: str, value: Callable[[Any], Any]) -> Any:
    if text == "2d":
        with pytest.raises(FaultError, match="at most 24 h"):
            read_mock("version: 1\n" + line.format(json.dumps(text)))
        return 2 * DAY
    return value(read_mock("version: 1\n" + line.format(json.dumps(text))))


def waited(script: Any) -> int:
    return int(script.script[0].for_ns)


def until(text: str) -> int:
    when = Rule.parse({"kind": "drop", "when": {"between": ["0", text]}}).when
    assert when.between is not None
    return when.between[1]


def demo_length(text: str) -> int:
    """What `--seconds` takes, where it is neither too short nor too long for a demo."""
    try:
        return parse_length(text)
    except QuantityError:
        raise
    except ValueError:
        return DURATION.convert(text, None, None)


PLACES = [*option_places(), *filter_places(), *fault_places(), *condition_places(), *expectation_places()]
PLACES += peer_places()
CASES = [(place, text, value) for place in PLACES for text, value in SPELLINGS[place.kind].items()]


def test_the_places_are_found():
    """So that a place that changes its type does not leave the table unseen."""
    names = {place.name for place in PLACES}
    assert {
        "run --snaplen",
        "run --max-capture-size",
        "run --inflate-cap",
        "run --gap",
        "open --gap",
    } <= names
    assert {"run --page-wait", "doctor --timeout", "replay --timeout", "stop --timeout"} <= names
    assert {"filter len", "filter wire", "filter gap", "filter rtt", "filter t", "filter age"} & names
    assert {"fault latency latency", "fault bandwidth rate", "fault limit_data bytes"} <= names
    assert {"expect reconnects_within", "expect gap_at_least", "mock wait", "connect /wait"} <= names
    assert len(names) == len(PLACES) >= 58


def test_every_spelling_is_taken_or_refused_alike():
    with every_case(600) as case:
        for place, text, value in CASES:
            with case(place.name, repr(text)):
                if value is None:
                    with pytest.raises(REFUSALS, match=r"column|expected"):
                        place.read(text)
                else:
                    assert place.read(text) == value


@pytest.mark.parametrize("place", [one for one in PLACES if one.kind == "duration"], ids=lambda one: one.name)
def test_a_number_without_a_unit_counts_as_its_key_says(place):
    assert place.read("90") == 90 * place.bare_ns


@pytest.mark.parametrize(
    ("rule", "taken"),
    [
        *(("after", text) for text in ("64 KiB", "64kib", "1min", "1 min", "250MS", "5us", "3 frames")),
        *(("every", text) for text in ("1min", "1 min", "250MS", "1h", "2d", "90")),
    ],
)
def test_conditions_take_what_their_units_say(rule, taken):
    kind = {"kind": "inject", "payload": "x"} if rule == "every" else {"kind": "drop"}
    assert getattr(Rule.parse({**kind, "when": {rule: taken}}).when, rule) is not None


@pytest.mark.parametrize("rule", ["after", "every"])
@pytest.mark.parametrize("text", ["5 parsecs", "-1s", "1e9", "nan", ""])
def test_conditions_refuse_the_same(rule, text):
    assert rule in WHEN_FIELDS
    with pytest.raises(FaultError, match="expected"):
        Rule.parse({"kind": "drop", "when": {rule: text}})


@pytest.mark.parametrize("text", ["5 parsecs", "1h30", "5 KiB"])
def test_a_rule_is_refused_with_a_caret_wherever_it_is_written(text):
    for read in (
        lambda: Rule.parse({"kind": "latency", "latency": text}),
        lambda: parse_spec(f"latency,latency={text}"),
        lambda: load_text(f"version: 1\nrules: [{{kind: latency, latency: {text}}}]"),
        lambda: load_text(json.dumps({"version": 1, "rules": [{"kind": "latency", "latency": text}]})),
    ):
        with pytest.raises(FaultError) as caught:
            read()
        assert caught.value.excerpt == (text, "  ^")


@pytest.mark.parametrize(
    "words", [*((*path, param.opts[0]) for path, param in OPTIONS), ("demo", "--seconds")], ids=" ".join
)
def test_an_option_shows_a_caret_below_the_mistake(words, capsys):
    assert run(*words[:-1], f"{words[-1]}=5 parsecs") == 2
    err = capsys.readouterr().err
    assert err.splitlines()[:2] == ["5 parsecs", "  ^"]
    assert "(column 3)" in err


@pytest.mark.parametrize("text", ["5 parsecs", "--1s", "+-1s", "nan", "", "1e9"])
def test_shift_is_refused_with_a_caret(tmp_path, capsys, text):
    assert run("merge", f"--shift=a.db={text}", "a.db", "-o", str(tmp_path / "x.db")) == 2
    assert "^" in capsys.readouterr().err.splitlines()[1]


@pytest.mark.parametrize("text", ["nan", "inf", "-1", "1e9", "fast"])
def test_a_factor_is_a_number_of_its_range(text, capsys):
    assert run("run", f"--time-scale={text}") == 2
    assert "--time-scale" in capsys.readouterr().err


#: What prints a number with its unit by hand, and why; all else uses `format_size` and `format_duration`.
BY_HAND = {
    "cli/detail.py": "a time on the capture's axis, to the microsecond",
    "doctor/proof/envoy.py": "a duration in Envoy's own notation",
    "findings/limits.py": "a setting as its documentation writes it",
    "findings/rules/gateways.py": "the same",
    "findings/rules/held.py": "a guess at a setting, as people set it",
    "present/clock.py": "a place on the axis, as the column of times has it",
    "present/requests.py": "a time before an attempt, or after it, with its sign",
    "present/sandwich.py": "a difference with its sign and its error",
    "present/handshakes.py": "a column with its sign",
    "present/words.py": "a column that changes while somebody looks",
    "recorder/narrator.py": "a step of the clock, with its sign",
    "tui/widgets/playback.py": "places on the axis",
}
#: `{x >> 20} MiB`, `{x / 1024:.1f} KiB`, `{x:g} s`, `{x:.1f} ms`.
PRINTED = re.compile(r"(?:>> ?[0-9]0|/ ?1024[^}]*|:[+ 0-9.]*[gf])\} ?(?:[KMGT]i?B|s|ms|us)\b")


def test_sizes_and_durations_are_printed_by_the_one_formatter() -> None:
    package = Path(units.__file__).parent
    found = {
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py")
        if path.name != "units.py" and PRINTED.search(path.read_text("utf-8"))
    }
    assert found == set(BY_HAND)
    assert PRINTED.search('f"{x >> 20} MiB"')
    assert PRINTED.search('f"{x:.1f} ms"')


def test_the_go_bar_takes_durations_and_points_at_a_mistake(tmp_path: Path, monkeypatch) -> None:
    for name in ("XDG_STATE_HOME", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR"):
        monkeypatch.setenv(name, str(tmp_path / name))

    async def play() -> None:
        async with opened(chat_capture(tmp_path / "chat.db")) as screen:
            for text, value in DURATIONS.items():
                if text[:1] in ("+", "-"):
                    continue  # from the chosen frame on, or back
                if value is None and text:
                    with pytest.raises(QuantityError):
                        screen.main.going.to(f"t {text}")
                elif value is not None:
                    assert screen.main.going.to(f"t {text}") is None
            await screen.press("colon", *"t", "space", *"5", "space", *"parsecs", "enter")
            hints = [screen.app.screen.query_one("#bar-hints").render_line(y).text for y in range(2)]
            assert "expected one of the units" in hints[0]
            assert hints[1].index("↓") == 1 + len("t 5 ")

    asyncio.run(play())
