"""One examination: reach the server, ask what the planner wants to know, judge."""

from __future__ import annotations

import base64
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from wsinspect.doctor.answers import Answer, Reached
from wsinspect.doctor.asker import Asker
from wsinspect.doctor.behind import Behind, behind_of, is_same_machine, numbered, plan_behind
from wsinspect.doctor.chain import plan_chain
from wsinspect.doctor.holder import Holder, Watched
from wsinspect.doctor.hops import judge_chain
from wsinspect.doctor.judge import Judgement, judge, with_accepted
from wsinspect.doctor.planner import Plan, is_accepted, plan
from wsinspect.doctor.proxies import Proxy, proxy_for
from wsinspect.doctor.questions import Question
from wsinspect.doctor.target import Extras, Target, origin_address
from wsinspect.findings.addresses import address_space
from wsinspect.findings.facts import ConnectionFacts
from wsinspect.findings.held import Held
from wsinspect.findings.model import Finding
from wsinspect.formats.secrets import mask_head, mask_line, mask_quotes, mask_url, secret_values
from wsinspect.handshake.heads import RawHead
from wsinspect.net import Address
from wsinspect.present.curl import curl_of
from wsinspect.vocabulary import Side
from wsinspect.wire.closing import close_facts

#: No more questions are asked once all have taken this many times the limit of one.
_TIMES_LIMIT: Final = 6
_SHOWN_BODY: Final = 4096

Watch = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Examination:
    """What was asked and what came of it.

    Attributes:
        targets: the URL, and the servers behind it in order; `reached` in the same order.
        assumed: what the URL did not say.
        stopped: why not all was asked; None where it was.
        held: connections that were held open, to find limits.
        curls: options that make curl trust whom the doctor trusted.
        curl_input: what is in front of a curl command for that.
    """

    targets: tuple[Target, ...]
    reached: tuple[Reached, ...]
    answers: tuple[Answer, ...]
    judgement: Judgement
    assumed: str | None = None
    stopped: str | None = None
    held: tuple[Held, ...] = ()
    curls: tuple[str, ...] = ()
    curl_input: str = ""

    @property
    def target(self) -> Target:
        """What was asked about."""
        return self.targets[0]

    @property
    def exit_code(self) -> int:
        """0 healthy, 1 an error was found, 3 this machine has no network there."""
        if self.reached[0].is_out_of_reach:
            return 3
        return int(any(one.severity == "error" for one in self.judgement.findings))

    def curl(self, *, include_secrets: bool) -> str:
        """A command that sends the first question again; what is masked in it has to be filled in."""
        request = self.answers[0].question.request
        head = RawHead.parse(request if include_secrets else mask_head(request))
        path = head.target.decode("latin-1")
        place = self.target
        return self.curl_input + curl_of(place.scheme, place.host, place.port, path, head, options=self.curls)

    def findings(self, *, include_secrets: bool) -> tuple[Finding, ...]:
        """The findings; what they quote of the requests, or of a server that quotes them, may be masked."""
        return (
            self.judgement.findings if include_secrets else tuple(map(self._masked, self.judgement.findings))
        )

    def headline(self, *, include_secrets: bool) -> str:
        """The verdict in words."""
        text = self.judgement.headline
        return text if include_secrets else mask_line(text, self._secrets)

    @property
    def _secrets(self) -> frozenset[str]:
        """What the requests carry that is nobody else's business."""
        return frozenset(value for one in self.answers for value in secrets_of(one.question))

    def _masked(self, finding: Finding) -> Finding:
        values = self._secrets
        return replace(
            finding,
            title=mask_line(finding.title, values),
            evidence=tuple(mask_line(one, values) for one in finding.evidence),
        )

    def as_json(self, *, include_secrets: bool) -> dict[str, Any]:
        """The object of `--json`.

        Args:
            include_secrets: cookies, credentials and tokens as they were sent.
        """
        url = str(self.target)
        return {
            "verdict": self.judgement.verdict,
            "headline": self.headline(include_secrets=include_secrets),
            "url": url if include_secrets else mask_url(url),
            "assumed": self.assumed,
            "stopped": self.stopped,
            "findings": [finding_object(one) for one in self.findings(include_secrets=include_secrets)],
            "ruled_out": list(self.judgement.ruled_out),
            "next_steps": list(self.judgement.next_steps),
            "curl": self.curl(include_secrets=include_secrets),
            "addresses": [
                {"address": str(one.address), "error": one.error, "ms": one.took_ns / 1e6}
                for place in self.reached
                for one in place.addresses
            ],
            "resolution_error": self.reached[0].error,
            "tls": self.answers[0].facts.server_tls,
            "probes": [
                {
                    **probe_object(one, include_secrets=include_secrets),
                    "curl": curl_of_question(
                        one.question, self.curls, self.curl_input, include_secrets=include_secrets
                    ),
                }
                for one in self.answers
            ],
            "held": [held_object(one) for one in self.held],
        }


def secrets_of(question: Question) -> frozenset[str]:
    """What a request carries that is nobody else's business."""
    return secret_values(RawHead.parse(question.request))


def finding_object(finding: Finding) -> dict[str, Any]:
    """A finding, its connection named as what it is: a probe."""
    content = finding.as_json()
    content["probe"] = content.pop("connection")
    return content


def probe_object(answer: Answer, *, include_secrets: bool) -> dict[str, Any]:
    """A question and its answer."""
    question, facts = answer.question, answer.facts
    head = facts.raw_response_in or b""
    url = str(question.target)
    request = question.request
    body = facts.content[:_SHOWN_BODY].decode("utf-8", "replace") if facts.body else None
    if body is not None and not include_secrets:
        body = mask_quotes(body, secrets_of(question))
    return {
        "number": facts.id,
        "kind": question.kind,
        "asks": question.asks,
        "url": url if include_secrets else mask_url(url),
        "address": facts.server_address,
        "status": facts.status,
        "error": facts.error,
        "state": facts.state,
        "ms": facts.answer_ms,
        "request": _text(request if include_secrets else mask_head(request)),
        "response": _text(head if include_secrets else mask_head(head)) if head else None,
        "body": body,
        "h11": answer.strict,
        "js": {"code": facts.js_code, "wasClean": facts.js_was_clean},
    }


def curl_of_question(
    question: Question, options: Sequence[str] = (), piped: str = "", *, include_secrets: bool
) -> str | None:
    """A command that asks the same; None where curl cannot: an extended CONNECT (RFC 8441).

    Args:
        options: more of curl's, such as `--insecure`.
        piped: a command whose output curl gets.
    """
    if question.http_version == "HTTP/2":
        return None
    through = []
    if question.proxy is not None and question.proxy.address is not None:
        through = ["--proxytunnel", "--proxy", f"http://{question.proxy.address}"]
        if question.proxy.authorization and include_secrets:
            through += ["--proxy-header", f"Proxy-Authorization: {question.proxy.authorization}"]
    head = RawHead.parse(question.request if include_secrets else mask_head(question.request))
    place, path = question.target, head.target.decode("latin-1")
    return piped + curl_of(
        place.scheme, place.host, place.port, path, head, options=[*options, *through], is_exact=True
    )


def held_object(one: Held) -> dict[str, Any]:
    """A connection that was held open; silences in milliseconds."""
    return {
        "number": one.number,
        "way": one.way,
        "place": one.place,
        "error": one.error,
        "age_ms": one.age_ns / 1e6 if one.error is None else None,
        "how": one.how,
        "code": one.code,
        "reason": one.reason,
        "silence_ms": {"c2s": one.last.client / 1e6, "s2c": one.last.server / 1e6},
        "server_pings": one.server_pings,
    }


def _text(data: bytes) -> str:
    return data.decode("latin-1")


def new_key() -> str:
    """A new Sec-WebSocket-Key: 16 random bytes in Base64 (RFC 6455 section 4.1)."""
    return base64.b64encode(os.urandom(16)).decode()


async def examine(
    target: Target,
    extras: Extras,
    asker: Asker,
    *,
    timeout_ns: int,
    behind: Sequence[Target] = (),
    assumed: str | None = None,
    environment: Mapping[str, str] | None = None,
    watch: Watch = lambda words: None,
    idle: Watched | None = None,
) -> Examination:
    """Ask all there is to ask about one URL, one attempt at a time.

    Args:
        timeout_ns: for each question; after six times that nothing more is asked.
        behind: the servers behind it, in order.
        environment: names the forward proxy of clients on this machine; None asks without one alone.
        watch: hears what is being asked.
        idle: hold connections open, to find limits.
    """
    targets = (target, *behind)
    reached = []
    for place in targets:
        watch(f"resolving {place.host}")
        reached.append(await asker.reach(place))
    proxy = proxy_for(target, environment or {})
    questions = plan_chain(targets, extras, new_key) if behind else plan(target, extras, new_key, proxy=proxy)
    answers, stopped = await _ask_all(questions, reached, asker, timeout_ns, watch)
    if not behind:
        answers[0] = with_accepted(answers[0], answers[1:])
    held: tuple[Held, ...] = ()
    if idle is not None and is_accepted(answers[0].facts):
        watch("")
        holder = Holder(
            asker,
            targets,
            reached,
            extras,
            new_key,
            idle,
            can_ping=any(one.pong_id is not None for one in answers[0].facts.pings),
            first=len(answers) + 1,
        )
        held = await holder.run()
    return Examination(
        targets=targets,
        reached=tuple(reached),
        answers=tuple(answers),
        judgement=judge_chain(targets, reached, answers, held)
        if behind
        else judge(reached[0], answers, held, page=await _page_of(extras, target, reached[0], asker)),
        assumed=assumed,
        stopped=stopped or _unasked(proxy),
        held=held,
        curls=asker.curl_options,
        curl_input=asker.curl_input,
    )


async def ask_behind(
    found: Examination,
    behind: Target,
    extras: Extras,
    asker: Asker,
    *,
    timeout_ns: int,
    watch: Watch = lambda words: None,
) -> tuple[Examination, Behind | None]:
    """Ask the server that a hop passes the URL on to, too.

    Args:
        found: of the URL alone; a URL whose server is elsewhere is left as it is.
        behind: by the hop's configuration.

    Returns:
        The examination with those questions, and what they say.
    """
    if len(found.targets) > 1 or not is_same_machine(found.answers[0].facts):
        return found, None
    watch(f"resolving {behind.host}")
    reached = await asker.reach(behind)
    if reached.error is not None:
        return found, None
    places = (*found.reached, reached)
    questions = plan_behind(found.target, behind, extras, new_key)
    answers, stopped = await _ask_all(questions, places, asker, timeout_ns, watch)
    answers = numbered(answers, len(found.answers) + 1)
    more = replace(
        found,
        targets=(*found.targets, behind),
        reached=places,
        answers=(*found.answers, *answers),
        stopped=found.stopped or stopped,
    )
    return more, behind_of(behind, reached, answers)


async def _page_of(extras: Extras, target: Target, reached: Reached, asker: Asker) -> tuple[Address, ...]:
    """The addresses of the page that opens the WebSocket, where another server's Origin was given.

    Only the name is resolved: nothing is sent there. Of a public server nothing depends on it.
    """
    place = origin_address(extras.origin or "")
    if place is None or place == target.address or reached.working is None:
        return ()
    return () if address_space(reached.working.host) == "public" else await asker.addresses_of(place)


def _unasked(proxy: Proxy | None) -> str | None:
    """What to say of a proxy that the doctor cannot ask."""
    if proxy is None or proxy.address is not None:
        return None
    return f"{proxy.variable} names a proxy that is not plain HTTP: it was not tried"


async def _ask_all(
    questions: Plan, reached: Sequence[Reached], asker: Asker, timeout_ns: int, watch: Watch
) -> tuple[list[Answer], str | None]:
    answers: list[Answer] = []
    deadline = time.monotonic() + _TIMES_LIMIT * timeout_ns / 1e9
    try:
        question = next(questions)
        while True:
            if len(answers) >= len(reached) and time.monotonic() > deadline:
                questions.close()
                return answers, "the server takes too long for each question: the rest was not asked"
            watch(question.asks)
            place = reached[question.place]
            is_first = all(one.question.place != question.place for one in answers)
            answer = await _answer(len(answers) + 1, question, place, asker, is_first=is_first)
            answers.append(answer)
            question = questions.send(answer.facts)
    except StopIteration:
        return answers, None


async def _answer(
    number: int, question: Question, reached: Reached, asker: Asker, *, is_first: bool
) -> Answer:
    """Ask, at the address that works; where none does, that is the answer."""
    if question.proxy is not None:
        return await asker.ask(number, question, question.target.address)
    if reached.working is None and (is_first or not reached.addresses):
        return Answer(question, _unreached(number, question, reached, asker.now_ns()))
    place = reached.working or reached.addresses[0].address
    return await asker.ask(number, question, Address(place.host, question.target.port))


def _unreached(number: int, question: Question, reached: Reached, now_ns: int) -> ConnectionFacts:
    """The facts of an attempt that no address took."""
    reasons = [f"{one.address}: {one.error}" for one in reached.addresses]
    error = reached.error or f"cannot connect to {'; '.join(reasons)}"
    target = question.target
    return ConnectionFacts(
        id=number,
        scheme=target.scheme,
        host=target.host,
        port=target.port,
        path=target.target,
        server_address=str(target.address),
        state="failed",
        error=error,
        failed_where="connect",
        attempt_ns=now_ns,
        closed_ns=now_ns,
        raw_request_in=question.request,
        **close_facts((), (), refused_by=Side.SERVER)._asdict(),
    )


__all__ = ["Examination", "ask_behind", "examine"]
