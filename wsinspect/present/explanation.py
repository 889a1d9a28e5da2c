"""What a pasted line means, as text: each failure with its causes in order, the fix, and what to run next."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from wsinspect.explain.explaining import Account, Explained, Explanation, shown
from wsinspect.findings.model import Fix
from wsinspect.findings.software import NAMES
from wsinspect.present.cells import Line
from wsinspect.present.terminal import Palette
from wsinspect.text import counted, escape, escape_lines

#: Failures shown in full; further ones are named.
_MOST: Final = 5
#: How many causes are shown with fixes: unlikely ones get one line.
_WITH_FIXES: Final = 3
#: Lines of a fix.
_FIX_LINES: Final = 10


def account_lines(account: Account, palette: Palette, columns: int | None = None) -> Iterator[str]:
    """All that an input says, the most precise first.

    Args:
        columns: where sentences are broken; None leaves them whole.
    """
    for number, one in enumerate(account.explanations[:_MOST]):
        if number:
            yield ""
        yield from palette.folded(_explanation_lines(one), columns)
        for place, command in enumerate(one.next):  # never broken: a person copies it
            word = "run" if place == 0 else "or "
            yield palette.line([("  ", ""), (word, "title"), ("         ", ""), (escape(command), "")])
    rest = account.explanations[_MOST:]
    if rest:
        yield ""
        yield palette.bold(f"{len(rest)} more in these lines:")
        yield from (f"  {escape(one.title)} (line {one.lines[0].number})" for one in rest)


def _explanation_lines(one: Explanation) -> Iterator[Line]:
    yield [(escape(one.title), "title")]
    often = f" ({counted(one.count, 'line')})" if one.count > 1 else ""
    line = escape(shown(one.lines[0].text.partition("\n")[0]))
    yield [(f"  {escape(one.pattern.program)}{often}: ", ""), (line, "")]
    if one.meaning:
        yield [("  ", ""), (escape(one.meaning), "")]
    said: set[str] = set()
    for number, cause in enumerate(one.causes, 1):
        fixes = [fix for fix in cause.fixes if number <= _WITH_FIXES and fix.text not in said]
        said.update(fix.text for fix in fixes)
        yield from _cause_lines(number, cause, fixes)
    if one.probe and len(one.causes) > 1:
        yield [("  ", ""), ("to decide", "title"), ("   ", ""), (escape(one.probe), "")]


def _cause_lines(number: int, one: Explained, fixes: Sequence[Fix]) -> Iterator[Line]:
    ids = f"  [{', '.join(one.cause.findings)}]" if one.cause.findings else ""
    yield [(f"  {number}. ", ""), (escape(one.cause.words) + ids, "title")]
    yield [("     to check  ", ""), (escape(one.cause.tell_apart), "")]
    for fix in fixes:
        first, *rest = escape_lines(fix.text.strip())
        yield [("     fix       ", ""), (f"{escape(NAMES.get(fix.for_, fix.for_))}: {first}", "")]
        yield from ([("               ", ""), (line, "")] for line in rest[:_FIX_LINES])


def unknown_lines(account: Account) -> Sequence[str]:
    """What to say where nothing was recognised."""
    seen = escape(shown(account.unknown[0].text)) if account.unknown else ""
    return (
        f"Not recognised: {seen}",
        "  Give the whole line, or more lines around it: a close code (1006), a status (502) or a URL helps.",
        "  If you know the URL, ask the server itself: wsinspect doctor URL",
        "  If you can repeat it, record it: wsinspect run, then wsinspect diagnose",
    )
