"""A recorded opening handshake sent to a server, and its answer compared with the recorded one."""

from __future__ import annotations

import asyncio
import base64
import secrets
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

from wsinspect.capture.reader import Capture
from wsinspect.capture.records import Connection
from wsinspect.errors import LocalError
from wsinspect.handshake.heads import RawHead
from wsinspect.handshake.negotiation import negotiate
from wsinspect.replay.common.conduit import Conduit
from wsinspect.replay.common.handshake import Policy, Request, Target, build_request, was_masked
from wsinspect.replay.common.http2 import Http2Session, Negotiated
from wsinspect.replay.common.report import ConnectionReport, OnDivergence
from wsinspect.replay.common.script import has_compressed
from wsinspect.replay.common.values import Place
from wsinspect.tls import browser_like_context
from wsinspect.units import SECOND, format_duration
from wsinspect.wire.deflate import DeflateParams
from wsinspect.wire.opcodes import Direction

_C2S: Final = Direction.CLIENT_TO_SERVER


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientOptions:
    """How to play a client.

    Attributes:
        target: where to.
        policy: of the handshakes.
        places: what to ignore in messages.
        gated: wait for what the recording waited for.
        speed: of the recorded time; None is at once. Of no matter where `gated`.
        normalise: whole messages, no control frames of the recording, a correct close.
        timeout_s: how long to wait for an answer.
        ca_file, insecure: whom to trust with TLS.
    """

    target: Target
    policy: Policy = field(default_factory=Policy)
    places: tuple[Place, ...] = ()
    gated: bool = True
    speed: float | None = None
    normalise: bool = False
    timeout_s: float = 10.0
    ca_file: Path | None = None
    insecure: bool = False

    @property
    def patience(self) -> str:
        """`timeout_s` for a reader."""
        return format_duration(round(self.timeout_s * SECOND))


def tls_context(options: ClientOptions, protocols: list[str]) -> ssl.SSLContext:
    """TLS towards the server.

    Args:
        protocols: to offer by ALPN.

    Raises:
        LocalError: the authorities cannot be read.
    """
    try:
        context = browser_like_context(options.ca_file)
    except (OSError, ssl.SSLError) as error:
        raise LocalError(f"cannot read {options.ca_file}: {error}") from None
    if options.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(protocols)
    return context


class Agreed(NamedTuple):
    """What was agreed with the server.

    Attributes:
        deflate: compression of its messages.
        may_compress: recorded compressed frames can be sent as they are.
    """

    deflate: DeflateParams | None
    may_compress: bool


class Opening:
    """The opening handshake of one connection.

    Args:
        capture: where it is recorded.
        one: the connection.
        options: how to play.
        context: of TLS; None without.
        report: takes what differs.
        on_divergence: called with it at once.
    """

    def __init__(
        self,
        capture: Capture,
        one: Connection,
        options: ClientOptions,
        context: ssl.SSLContext | None,
        report: ConnectionReport,
        on_divergence: OnDivergence,
    ) -> None:
        self._capture = capture
        self._one = one
        self._options = options
        self._context = context
        self._report = report
        self._on_divergence = on_divergence

    async def open(self, conduit: Conduit) -> Agreed | None:
        """Connect; None where no WebSocket is open afterwards."""
        request = self._request()
        response = await self._connect(conduit, request)
        if response is None:
            return None
        deflate = negotiate(RawHead.parse(request.raw), response).deflate
        return Agreed(deflate, self._may_compress(deflate))

    def _request(self) -> Request:
        handshake = self._capture.handshake(self._one.id)
        policy = self._options.policy._replace(offers_extensions=not self._options.normalise)
        key = base64.b64encode(secrets.token_bytes(16))
        request = build_request(self._one, handshake, self._options.target, policy, key)
        if was_masked(request.raw):
            self._report.notes.append("the recording has *** in place of secrets (set them with --header)")
        if request.withheld:
            self._report.notes.append(
                f"not sent, because they were not recorded for {self._options.target.host}: "
                f"{', '.join(request.withheld)} (--send-secrets sends them)"
            )
        return request

    async def _connect(self, conduit: Conduit, request: Request) -> RawHead | None:
        """The response, where a WebSocket is open now."""
        target = self._options.target
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._options.timeout_s):
                if not await self._over_http2(conduit):
                    await loop.create_connection(
                        lambda: conduit,
                        target.host,
                        target.port,
                        ssl=self._context,
                        server_hostname=target.host if self._context else None,
                    )
                conduit.write(request.raw)
                response = await conduit.head()
        except TimeoutError:
            self._no_response(f"no answer from {target.authority} within {self._options.patience}")
            return None
        except OSError as error:
            self._no_response(f"cannot connect to {target.authority}: {error.strerror or error}")
            return None
        if response is None or response.status is None:
            self._no_response("the server ended the connection without a response")
            return None
        return self._judge(request, response)

    async def _over_http2(self, conduit: Conduit) -> bool:
        """Whether the conduit is connected; a recording over HTTP/2 is played so, if it can be."""
        if self._context is None or self._one.http_version != "HTTP/2.0":
            return False
        session, target = Http2Session(), self._options.target
        await asyncio.get_running_loop().create_connection(
            lambda: Negotiated(lambda: conduit, session),
            target.host,
            target.port,
            ssl=tls_context(self._options, ["h2", "http/1.1"]),
            server_hostname=target.host,
        )
        if session.is_used:
            await session.settled.wait()
            if session.allows_connect:
                session.open(conduit)
                return True
            session.close()
        note = "recorded over HTTP/2; the server carries no WebSockets over it, so HTTP/1.1 is used"
        self._report.notes.append(note)
        return not session.is_used

    def _no_response(self, text: str) -> None:
        """A divergence, unless the recorded attempt failed without a response too."""
        if self._has_failed:
            self._report.notes.append(
                f"{text}; the recorded attempt failed too: {self._one.error or 'no response'}"
            )
        else:
            self._problem(text)

    @property
    def _has_failed(self) -> bool:
        """Whether the recorded attempt ended without a response; a 502 is what the recording proxy said."""
        return self._one.state == "failed"

    def _judge(self, request: Request, response: RawHead) -> RawHead | None:
        recorded = self._one.status
        if self._has_failed:
            why = self._one.error or "no response"
            self._problem(f"the server answers {response.status}; the recorded attempt failed: {why}")
            return None
        was_open = self._one.open_ns is not None  # with HTTP/2 it opens with another status
        if recorded is not None and response.status != (101 if was_open else recorded):
            self._problem(f"the server answers {response.status}, recorded was {recorded}")
        if response.status != 101 or (recorded is not None and not was_open):
            return None
        agreed = negotiate(RawHead.parse(request.raw), response)
        if agreed.subprotocol != self._one.subprotocol:
            then = self._one.subprotocol
            self._problem(f"the server chooses subprotocol {agreed.subprotocol!r}, recorded was {then!r}")
        for problem in agreed.problems:
            self._report.notes.append(f"the handshake breaks a rule: {problem}")
        return response

    def _may_compress(self, deflate: DeflateParams | None) -> bool:
        """Whether recorded compressed frames can be sent as they are: the same was agreed."""
        handshake = self._capture.handshake(self._one.id)
        if deflate is None or handshake is None:
            is_same = False
        else:
            request, response = handshake.request_in or b"", handshake.response_in or b""
            then = RawHead.parse(request), RawHead.parse(response)
            is_same = negotiate(*then).deflate == deflate
        if not is_same and has_compressed(self._capture, self._one.id, _C2S):
            self._report.notes.append("compression differs: compressed messages are sent uncompressed")
        return is_same

    def _problem(self, text: str) -> None:
        self._report.problem(text, self._on_divergence)
