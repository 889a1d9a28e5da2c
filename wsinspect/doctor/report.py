"""An examination as lines of text: what the command prints, and the timeline shows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from wsinspect.doctor.answers import Answer
from wsinspect.doctor.examination import Examination, secrets_of
from wsinspect.findings.probes import Probe
from wsinspect.findings.rules.held import LIMIT_IDS, held_line
from wsinspect.formats.secrets import mask_head, mask_quotes, mask_url
from wsinspect.present.examination import ProbeLine, examination_lines
from wsinspect.present.terminal import Palette

#: Bytes of a body that `--verbose` prints.
_SHOWN_BODY: Final = 4096


def report_lines(
    found: Examination,
    palette: Palette,
    *,
    include_secrets: bool = False,
    is_verbose: bool = False,
    columns: int | None = None,
    rows: int | None = None,
) -> Iterator[str]:
    """All of it, or what a screen has room for.

    Args:
        columns: where sentences are broken; None leaves them whole.
        rows: of the screen; None is a pipe.
    """
    url = str(found.target)
    has_limit = any(one.id in LIMIT_IDS for one in found.judgement.findings)  # its evidence has them all
    yield from examination_lines(
        url if include_secrets else mask_url(url),
        found.judgement.verdict,
        found.headline(include_secrets=include_secrets),
        found.findings(include_secrets=include_secrets),
        [probe_line(one, include_secrets=include_secrets) for one in found.answers],
        palette,
        ruled_out=found.judgement.ruled_out,
        next_steps=found.judgement.next_steps,
        curl=found.curl(include_secrets=include_secrets),
        held=[] if has_limit else [held_line(one) for one in found.held],
        is_verbose=is_verbose,
        columns=columns,
        rows=rows,
    )


def probe_line(answer: Answer, *, include_secrets: bool) -> ProbeLine:
    """A question and its answer in a line, with the bytes for `--verbose`."""
    facts, question = answer.facts, answer.question
    head = facts.raw_response_in or b""
    is_sent = facts.times.get("request_out_ns") is not None
    sent = question.request if include_secrets else mask_head(question.request)
    body = facts.content[:_SHOWN_BODY]
    if not include_secrets:
        body = mask_quotes(body.decode("latin-1"), secrets_of(question)).encode("latin-1")
    return ProbeLine(
        facts.id,
        question.asks,
        Probe(question.kind, question.asks, facts).outcome,
        facts.answer_ms,
        sent if is_sent else None,
        facts.informational + (head if include_secrets else mask_head(head)) + body,
    )
