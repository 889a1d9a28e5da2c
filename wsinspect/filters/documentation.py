"""docs/filters.md, made from the keys: `python -m wsinspect.filters.documentation > docs/filters.md`."""

from __future__ import annotations

from typing import Final

from wsinspect.filters.completion import help_lines
from wsinspect.filters.errors import FilterError
from wsinspect.filters.fields import FIELDS, Field, Scope
from wsinspect.filters.kinds import QuantityKind
from wsinspect.filters.language import parse
from wsinspect.filters.regex import MAX_PROGRAM

_SCOPES: Final = {
    Scope.CONNECTION: "connections",
    Scope.FRAME: "frames",
    Scope.EITHER: "frames, connections",
}
_BROKEN: Final = "op:txt len>1KiB"
_INTRODUCTION: Final = """\
# Filters

One language wherever frames or connections are chosen: `--filter` of `wsinspect show` and `export`, the
timeline's filter line, and a fault's `match`. In a shell, put a filter in single quotes.

```sh
wsinspect show chat.db --filter 'close:1006'                     # connections
wsinspect show chat.db --filter 'op:close code>=4000'            # frames from all connections
wsinspect show chat.db 3 --filter 'json:$.op=sub | len>64KiB'    # frames of connection 3
```

Where all keys are about connections, `show` lists connections, else frames. Where a fact is missing, every
comparison with it is false, and its opposite true: `!rtt>50ms` is also true of a text frame.

A filter that cannot be read is answered with the column and what was expected there:

```
{error}
```

This page is made from the keys themselves: `python -m wsinspect.filters.documentation`.

## Syntax

| syntax | meaning |
| --- | --- |
{syntax}

`!` binds most, then juxtaposition and `&`, then `|`. Values with blanks, parentheses, `&` or `|` go into
quotes; in double quotes `\\n \\r \\t \\0 \\xff \\u20ac \\" \\\\` are escapes, `\\xff` is that byte.

Sizes have the units `B`, `KB`, `KiB` ... `TiB`, durations `ns`, `us` (or `µs`), `ms`, `s`, `min` (or `m`),
`h` and `d`, in upper or lower case, with or without a blank before them: `len>64 KiB`, `gap>1.5s`. A number
without a unit counts what the table says. Options, faults and scenario files read sizes and durations the
same way. To look for a payload with a word such as `KiB` right behind a number, quote the word:
`len>64 "KiB"`.

## Keys

| key | about | operators | meaning | examples |
| --- | --- | --- | --- | --- |
{keys}

{words}
## What is examined

- `body`, words without a key and `json` look at what the capture kept: less than was sent where `--snaplen`
  cut a payload or `--max-capture-size` removed it. The frame that ends a message matches on the whole
  message, inflated.
- Regular expressions are [RE2's](https://github.com/google/re2/wiki/Syntax): no lookaround and no
  backreferences, so that no payload, however hostile, makes a filter hang. One may have {program}
  instructions (`[ab]{{500}}` has about 500), and sees the first MiB of a payload; above 64 instructions less
  of it, down to 32 KiB for the largest.
- `json` looks at payloads of at most 16 MiB that are JSON as a whole.
"""


def page() -> str:
    """docs/filters.md as Markdown; its error message is a real one of the parser."""
    try:
        parse(_BROKEN)
    except FilterError as error:
        answer = f"{error.source}\n{error.caret()}\n{error}"
    return _INTRODUCTION.format(
        program=f"{MAX_PROGRAM:,}",
        error=answer,
        syntax="\n".join(
            f"| {_cell(syntax)} | {meaning} |" for syntax, meaning in help_lines()[: -len(FIELDS)]
        ),
        keys="\n".join(_row(field) for field in FIELDS.values()),
        words="".join(_words(field) for field in FIELDS.values() if field.values),
    )


def _row(field: Field) -> str:
    operators = " ".join(_cell(operator) for operator in (*field.operators, ":*"))
    unit = f" (bare numbers are {field.kind.bare})" if isinstance(field.kind, QuantityKind) else ""
    examples = ", ".join(_cell(example) for example in field.examples)
    name = f"{field.name}:{field.argument.upper()}" if field.argument else field.name
    return f"| `{name}` | {_SCOPES[field.scope]} | {operators} | {field.help}{unit} | {examples} |"


def _words(field: Field) -> str:
    lines = "\n".join(f"- `{word}`: {meaning}" for word, meaning in field.values)
    return f"### Values of `{field.name}`\n\n{lines}\n\n"


def _cell(text: str) -> str:
    return "`" + text.replace("|", "\\|") + "`"


if __name__ == "__main__":
    print(page(), end="")
