"""What `check` found: lines, JSON, JUnit XML, and annotations as GitHub reads them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, Final
from xml.etree import ElementTree

from wsinspect.clients.expectations import Result
from wsinspect.clients.grading import Client
from wsinspect.present.cells import Line
from wsinspect.present.clients import client_lines, client_object, grade_words
from wsinspect.text import counted, escape

_STYLES: Final = {True: "note", False: "error", None: "warn"}
#: What XML 1.0 does not allow in any form.
_NOT_XML: Final = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def check_lines(clients: Sequence[Client], results: Sequence[Result]) -> Iterator[Line]:
    """A line for each result, the grades, and the story of each client that failed one."""
    many = len(clients) > 1
    for one in results:
        who = f"client {one.session}: " if one.session is not None and many else ""
        where = [f"#{number}" for number in one.connections[:8]]
        where += [f"frame {number}" for number in one.frames[:8]]
        shown = f" ({', '.join(where)})" if where else ""
        words = f"{escape(one.expectation.text)}  {who}{escape(one.seen)}{shown}"
        yield [(f"{one.word:<11}", _STYLES[one.held]), (words, "")]
    failed = {one.session for one in results if one.held is not True}
    for client in clients:
        if client.session.number in failed:
            yield []
            yield from client_lines(client)
    for client in clients:
        if client.session.number not in failed:
            yield [(f"client {client.session.number}: {grade_words(client)}", "")]
    yield []
    yield [(summary(results), "title")]


def summary(results: Sequence[Result]) -> str:
    """`3 held, 1 failed`."""
    words = {True: "held", False: "failed", None: "not tested"}
    counts = [(sum(one.held is held for one in results), word) for held, word in words.items()]
    return ", ".join(f"{count} {word}" for count, word in counts if count) or "nothing was expected"


def check_object(clients: Sequence[Client], results: Sequence[Result]) -> dict[str, Any]:
    """Results and sessions for `--json`."""
    return {
        "results": [one.as_json() for one in results],
        "sessions": [client_object(one) for one in clients],
    }


def junit(name: str, runs: Sequence[tuple[int, Sequence[Result], str]]) -> bytes:
    """JUnit XML: a case for each expectation and client, a suite for each seed.

    Args:
        name: of the scenario.
        runs: seed, results, and why there are none.
    """
    root = ElementTree.Element("testsuites")
    for seed, results, why in runs:
        failures = sum(one.held is not True for one in results) + bool(why)
        suite = ElementTree.SubElement(
            root,
            "testsuite",
            {
                "name": _xml(f"{name} seed {seed}"),
                "tests": str(len(results) + bool(why)),
                "failures": str(failures),
            },
        )
        if why:
            case = ElementTree.SubElement(suite, "testcase", {"name": "client", "classname": _xml(name)})
            ElementTree.SubElement(case, "failure", {"message": _xml(why)}).text = _xml(why)
        for one in results:
            client = "" if one.session is None else f" (client {one.session})"
            case = ElementTree.SubElement(
                suite, "testcase", {"name": _xml(one.expectation.text + client), "classname": _xml(name)}
            )
            if one.held is not True:
                where = ", ".join(
                    [*(f"connection {n}" for n in one.connections), *(f"frame {n}" for n in one.frames)]
                )
                failure = ElementTree.SubElement(
                    case, "failure", {"message": _xml(f"{one.word}: {one.seen}")}
                )
                failure.text = _xml(f"{one.seen}\n{where}")
    text = ElementTree.tostring(root, encoding="unicode", xml_declaration=False)
    return b"<?xml version='1.0' encoding='utf-8'?>\n" + text.encode() + b"\n"


def github_lines(file: str, results: Sequence[Result]) -> Iterator[str]:
    """A workflow command for each expectation that did not hold."""
    for one in results:
        if one.held is True:
            continue
        line = f",line={one.expectation.line}" if one.expectation.line is not None else ""
        title = _property(f"{one.word}: {one.expectation.text}")
        who = f"client {one.session}: " if one.session is not None else ""
        yield f"::error file={_property(file)}{line},title={title}::{_data(who + one.seen)}"


def failing_words(seed: int, results: Sequence[Result]) -> str:
    """The line that says which seed failed."""
    return f"seed {seed} fails: {counted(sum(one.held is not True for one in results), 'expectation')}"


def _xml(text: str) -> str:
    return _NOT_XML.sub("�", text)


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
