"""The filter language in words: lines for a help screen, and docs/filters.md.

`python -m wsinspect.filters.documentation` prints the page.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from wsinspect.filters.fields import FIELDS, Field, Scope
from wsinspect.filters.kinds import QuantityKind

_SYNTAX: Final = (
    ("word", "payloads that have the word"),
    (
        '"two words"',
        'in double or single quotes, with the escapes \\n \\r \\t \\0 \\xff (a byte) \\u20ac \\" \\\\',
    ),
    ("key:value", "texts: the value is in it; all others: it is the value"),
    ("key:a,b", "any of several, for numbers and words"),
    ("key=value", "it is exactly the value"),
    ("key!=value", "the opposite"),
    ("key>value", "also >= < <=, for numbers, sizes, times and severities"),
    (
        "key~/re/i",
        "it has a match of the regular expression; flags i (case), m (lines), s (dot is also a line end)",
    ),
    ("key:*", "there is one at all"),
    ("a b, a & b", "both"),
    ("a | b", "one of both; binds less than a blank or &"),
    ("!a", "not a; binds most"),
    ("( )", "what belongs together"),
)
_SCOPES: Final = {
    Scope.CONNECTION: "connection",
    Scope.FRAME: "frame",
    Scope.EITHER: "frame or connection",
}
_PAGE: Final = """\
# Filters

One language wherever frames or connections are chosen: in `wsinspect show --filter`, in the terminal's filter
line (`/`), in exports and in the `match` of a fault. In a shell, put a filter into single quotes.

```sh
wsinspect show chat.db --filter 'close:1006'                     # connections
wsinspect show chat.db --filter 'op:close code>=4000'            # frames of all connections
wsinspect show chat.db 3 --filter 'json:$.op=sub | len>64KiB'    # frames of connection 3
```

Where all keys are about connections, `show` lists connections, else frames. Where a fact is missing, every
comparison with it is false, and its opposite true: `!rtt>50ms` is also true of a text frame. Keys may be
written in upper or lower case; values keep theirs, except that hosts and findings fit in either.

A filter that cannot be read is answered with the column and what was expected there:

```
{error}
```

## Syntax

{syntax}

Sizes have a unit of B, KB, MB, GB (powers of 1000), KiB, MiB or GiB (of 1024); times one of ns, us, ms, s, m
or h. What a bare number means is said at each key. A filter has at most 8192 characters and 200 tests.

## Keys

{table}

{keys}

## Regular expressions

They are those of Python's `re` without lookaround, backreferences, atomic groups, possessive repeats and
inline flags: what is left can be searched for in a time that grows linearly with the text, so that no
payload, however hostile, makes a filter hang. Write `\\/` for a slash. Only the first 1 MiB of a payload is examined.
After its repeats are written out an expression has at most 1,000 places; on a text that is made to cost the
most, the search ends early and counts as no match. Text is compared as UTF-8; bytes that are none can be
written as `\\x` in quoted values, but not in expressions.

## What is examined

- `body` and words without a key look at all that the capture kept of a payload: less than was sent where
  `--snaplen` cut it or `--max-capture-size` removed it.
- `json` looks at payloads of at most 16 MiB. Text before or after the JSON, as Socket.IO has it, makes it no
  JSON.
- Of a message with several members of one name, the last counts.
"""


def help_lines() -> list[tuple[str, str]]:
    """Syntax and meaning, a pair a line: the language first, then the keys."""
    return [*_SYNTAX, *((_form(field), field.help) for field in FIELDS.values())]


def page() -> str:
    """docs/filters.md."""
    from wsinspect.filters.errors import FilterError
    from wsinspect.filters.filter import parse

    wrong = "op:txt len>1KiB"
    try:
        parse(wrong)
        raise AssertionError(wrong)
    except FilterError as error:
        shown = f"{wrong}\n{error.caret()}\n{error}"
    syntax = _table(("written", "means"), [(f"`{_cell(form)}`", _cell(text)) for form, text in _SYNTAX])
    rows = [
        (f"[`{name}`](#{name})", one.type, _SCOPES[one.scope], _cell(one.help))
        for name, one in FIELDS.items()
    ]
    keys = "\n\n".join("\n".join(_section(field)) for field in FIELDS.values())
    return _PAGE.format(
        error=shown, syntax=syntax, table=_table(("key", "type", "of a", "what"), rows), keys=keys
    )


def _section(field: Field) -> Iterator[str]:
    yield f"### {field.name}"
    yield ""
    yield f"{field.help}"
    yield ""
    operators = ", ".join(f"`{sign}`" for sign in field.operators)
    bare = f" Bare numbers are {field.kind.bare}." if isinstance(field.kind, QuantityKind) else ""
    yield f"Type: {field.type}. Operators: {operators}.{bare}"
    yield ""
    if field.values:
        yield _table(("value", "means"), [(f"`{word}`", _cell(meaning)) for word, meaning in field.values])
        yield ""
    yield _table(("example", "finds"), [(f"`{_cell(text)}`", _cell(what)) for text, what in field.examples])


def _form(field: Field) -> str:
    name = f"{field.name}:{field.argument}" if field.argument else field.name
    return f"{name} {' '.join(field.operators)}"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _table(header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [header, tuple("---" for _ in header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    print(page(), end="")
