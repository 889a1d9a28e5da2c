"""How the program speaks: habits of a translated text that were dropped must not come back.

Read are the sources (strings, comments, docstrings), those of the benchmarks, whose page users read, the
pages of docs, and the help of every command.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from wsinspect.cli.main import cli
from wsinspect.findings.data import table

ROOT = Path(__file__).parents[2]
_NOT_A = r" (?:HTTP|UTF-8|JSON|TLS|WebSocket|[a-z]*(?:finding|frame|capture|file|URL|tap|message)s?)\b"
#: What was written, and what to write. Patterns begin with plain letters: that makes the search fast.
HABITS = {
    r"for ever\b": "forever",
    r"anew\b(?<!\wanew)": "again",
    r"besides?\b(?<!--beside)": "also, apart from, next to",
    r"go(?:es|ing)? on (?=with|after|from|until|as|when|and|below|reading|at)": "continue",
    r"go(?:es|ing)? on[.;:,]": "continue",
    r"told\b(?<!\wtold)(?! apart)": "sees, gets, reports, is given",
    r" lies?\b": "is, are",
    r"give way\b": "is deleted to make room",
    r"gives way\b": "is deleted to make room",
    r"gave way\b": "was deleted to make room",
    **{rf"{verb} no\b{_NOT_A}": f"{verb} not" for verb in ("is", "are", "was", "were")},
    r"upgrade fields\b": "Upgrade headers",
    r"no mate\b": "no matching PING/PONG",
    r"of a hop's\b": "the hop's",
    r"whence\b": "from where",
    r"(?:go(?:es|ing)?|puts?) on record\b": "is recorded, records",
    r"is no evidence\b": "is not evidence",
}
#: Where users look, "heads" are request and response headers; in the code a head is the raw bytes.
FOR_USERS = HABITS | {r"(?:1xx|both|the|four|handshake's|their) heads\b": "header blocks, headers"}
#: Adjacent literals and comment lines read as one text.
_LITERALS = re.compile(r"""["']\s*\n\s*[frb]{0,2}["']""")
_COMMENTS = re.compile(r"\n\s*#:?")


def found(text: str, habits: dict[str, str]) -> Iterator[str]:
    """Each habit in the text, with what comes around it."""
    joined = " ".join(_COMMENTS.sub(" ", _LITERALS.sub("", text)).split())
    for pattern, instead in habits.items():
        for match in re.finditer(pattern, joined, re.IGNORECASE):
            if not joined[: match.start()].endswith("there "):
                around = joined[max(0, match.start() - 40) : match.end() + 40]
                yield f"...{around}... (instead of {match[0]!r}: {instead})"


def pages() -> list[Path]:
    """The pages that users read."""
    return [*sorted((ROOT / "docs").glob("*.md")), *sorted(ROOT.glob("*.md"))]


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_pages(page):
    assert list(found(page.read_text("utf-8"), FOR_USERS)) == []


def test_sources():
    paths = [path for path in (ROOT / "wsinspect").rglob("*") if path.is_file() and path.suffix != ".pyc"]
    for place, kind in (("addons", "*.py"), ("docs/schemas", "*.json"), ("examples", "*.*")):
        paths += (ROOT / place).rglob(kind)
    paths += [one for one in (ROOT / "tests" / "benchmarks").iterdir() if one.suffix in (".py", ".md")]
    assert len(paths) > 300
    bad = [f"{path}: {one}" for path in sorted(paths) for one in found(path.read_text("utf-8"), HABITS)]
    assert bad == []


def commands(command: click.Command, context: click.Context) -> Iterator[tuple[str, str]]:
    """The help of a command and of all below it."""
    yield context.command_path, command.get_help(context)
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None
            yield from commands(below, click.Context(below, info_name=name, parent=context))


def test_what_is_said_to_a_terminal_is_broken_between_words():
    """A sentence on stderr goes through `narration`: a terminal breaks in the middle of words."""
    said = re.compile(r'click\.echo\(\s*f?"wsinspect: ')
    bare = [path.name for path in (ROOT / "wsinspect" / "cli").glob("*.py") if said.search(path.read_text())]
    assert bare == []
    assert said.search('click.echo(\n    f"wsinspect: {line}", err=True)')
    assert not said.search('click.echo(narration(f"wsinspect: {line}"), err=True)')


def test_help():
    texts = dict(commands(cli, click.Context(cli, info_name="wsinspect")))
    assert {"wsinspect run", "wsinspect replay", "wsinspect faults list"} <= set(texts)
    assert [f"{name}: {one}" for name, text in texts.items() for one in found(text, FOR_USERS)] == []


def test_fixes_do_not_speak_of_themselves():
    """A default is a default: "by itself" was said of software that does a thing without being asked."""
    fixes = table("fixes")
    assert [topic for topic, texts in fixes.items() for text in texts.values() if "by itself:" in text] == []


@pytest.mark.parametrize(
    "text",
    [
        "it is kept for ever",
        "reading goes on with the next",
        '"a line that"\n    " lies in pieces: what lies there"',
        "# it goes on\n    # after the last one",
        "that is no frame",
        "What JavaScript is told",
        "For ever, until it is deleted",
    ],
)
def test_a_habit_is_found(text):
    assert list(found(text, HABITS))


@pytest.mark.parametrize(
    "text", ["there is no frame", "clients are told apart by cookie", "it is no longer held", "on record"]
)
def test_plain_words_are_not(text):
    assert not list(found(text, HABITS))


#: What may be one; only such files are parsed, because parsing all takes seconds.
_SHORT = re.compile(r'"""\s*\S+(?:\s+\S+){0,2}\s*"""')


def short_docstrings(source: str) -> Iterator[int]:
    """The line of each docstring of three words or fewer: it says no more than the name does."""
    for node in ast.walk(ast.parse(source)) if _SHORT.search(source) else ():
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            text = ast.get_docstring(node, clean=False)
            if text is not None and len(text.split()) <= 3:
                yield node.body[0].lineno


def test_docstrings_say_something():
    """A name that needs no more words needs no docstring."""
    sources = sorted((ROOT / "wsinspect").rglob("*.py"))
    assert sources
    assert [
        f"{path.relative_to(ROOT)}:{line}"
        for path in sources
        for line in short_docstrings(path.read_text("utf-8"))
    ] == []


def test_a_short_docstring_is_found():
    lines = [
        '"""One."""',
        "class A:",
        '    """Of its own."""',
        "    def b():",
        '        """Four words are enough."""',
    ]
    assert list(short_docstrings("\n".join(lines))) == [1, 3]
