"""Asks one question over the network; this module and `holder` are the ones of the doctor that do I/O.

Contract: each question has a connection of its own, a time limit, and limits on what is read. Whatever a
server does ends in an `Answer`, never in an error of ours. Nothing is sent over TLS that is not trusted,
unless the user says so.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import shlex
import socket
import ssl
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from wsinspect.closing import abort
from wsinspect.doctor.answers import Answer, Reached, Tried
from wsinspect.doctor.certificates import session_facts, trusting, trusting_all
from wsinspect.doctor.lateness import Lateness
from wsinspect.doctor.proxies import Proxy
from wsinspect.doctor.questions import Question
from wsinspect.doctor.response import MAX_HEAD, ResponseReader
from wsinspect.doctor.talk import Talk
from wsinspect.doctor.target import Target
from wsinspect.doctor.tls_refusal import wants_certificate
from wsinspect.findings.facts import ConnectionFacts, EndFact
from wsinspect.findings.lag import STARVED_NS, within
from wsinspect.handshake.heads import RawHead
from wsinspect.handshake.negotiation import Negotiation, negotiate
from wsinspect.net import Address
from wsinspect.units import format_duration
from wsinspect.vocabulary import Side
from wsinspect.wire.closing import close_facts

if TYPE_CHECKING:  # h2 is of use for `wss` alone
    from wsinspect.doctor.http2 import ConnectReader

#: Offered in TLS: only HTTP/1.1 has an upgrade, and Chromium offers nothing else for one.
ALPN: Final = ("http/1.1",)
BROWSERS_ALPN: Final = ("h2", "http/1.1")
#: How long an open WebSocket is listened to.
LISTEN_SECONDS: Final = 2.0
#: How long a port may take to answer the other scheme, which it hardly speaks.
GUESS_SECONDS: Final = 2.0
#: How long a server may take to answer our CLOSE frame, and then to end TCP.
CLOSE_SECONDS: Final = 1.0
FIN_SECONDS: Final = 0.3
#: A body is only evidence: what has not come by then is not waited for.
BODY_SECONDS: Final = 2.0
#: Bytes kept of what a server says on an open WebSocket.
MAX_TALK: Final = 1024 * 1024
#: How many addresses of a name are tried, and how long each may take to accept.
MAX_ADDRESSES: Final = 6
CONNECT_SECONDS: Final = 4.0
_READ: Final = 64 * 1024
#: This machine has no route: no network, or no IPv6.
_NO_WAY: Final = frozenset((errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EADDRNOTAVAIL, errno.ENETDOWN))
_SECOND_NS: Final = 10**9


class _Broken(Exception):
    """The attempt failed: where, and why; raised and caught here alone."""

    def __init__(self, where: str, words: str) -> None:
        super().__init__(words)
        self.where = where


class Stream(NamedTuple):
    """Both directions of an open connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter


class Asker:
    """Asks.

    Args:
        trusted: PEM files of authorities that are trusted, too.
        is_insecure: continue where the certificate is not trusted.
        timeout_ns: for each question.

    Attributes:
        wanting_none: address and name of servers that take a client without a certificate.
    """

    def __init__(
        self,
        *,
        trusted: Sequence[Path] = (),
        is_insecure: bool = False,
        timeout_ns: int = 10 * _SECOND_NS,
        listen_seconds: float = LISTEN_SECONDS,
        new_key: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self._trusted = tuple(trusted)
        self._is_insecure = is_insecure
        self._timeout = timeout_ns / 1e9
        self._listen_seconds = listen_seconds
        self._new_key = new_key
        self.wanting_none: set[tuple[Address, str]] = set()
        self._anchor = time.time_ns() - time.monotonic_ns()
        self._context: ssl.SSLContext | None = None
        self.lateness = Lateness(self.now_ns)
        if self._trusted:
            self.context()  # report a file that is not a certificate before asking anything

    @property
    def curl_options(self) -> tuple[str, ...]:
        """Options that make curl trust the same servers."""
        if self._is_insecure:
            return ("--insecure",)
        files = [str(Path(file).absolute()) for file in self._trusted]
        if len(files) > 1:
            return ("--cacert", "/dev/stdin")
        return tuple(word for file in files for word in ("--cacert", file))

    @property
    def curl_input(self) -> str:
        """What stands in front of such a command: curl takes one file of authorities, which may be a pipe."""
        if self._is_insecure or len(self._trusted) < 2:
            return ""
        return f"{shlex.join(['cat', *(str(Path(file).absolute()) for file in self._trusted)])} | "

    def now_ns(self) -> int:
        """Epoch nanoseconds, from a clock that never steps."""
        return self._anchor + time.monotonic_ns()

    def context(self, alpn: Sequence[str] = ALPN) -> ssl.SSLContext:
        """For TLS with a server that has to be trusted; made once: reading all authorities takes time."""
        if self._context is None:
            self._context = trusting(self._trusted)
        self._context.set_alpn_protocols(list(alpn))  # connections are made one at a time
        return self._context

    async def reach(self, target: Target) -> Reached:
        """Resolve the name, and try each address."""
        try:
            places = await self._resolved(target.address)
        except TimeoutError:
            return Reached(error="name resolution timed out", is_local=True)
        except socket.gaierror as error:
            is_local = error.errno == socket.EAI_AGAIN
            return Reached(error=f"name resolution failed: {error.strerror}", is_local=is_local)
        except (UnicodeError, OSError) as error:
            return Reached(error=f"name resolution failed: {error}")
        return Reached(addresses=tuple([await self._try(place) for place in places]))

    async def addresses_of(self, place: Address) -> tuple[Address, ...]:
        """The addresses of a name, without connecting to any of them; none where it has none."""
        try:
            return tuple(await self._resolved(place))
        except (TimeoutError, UnicodeError, OSError):
            return ()

    async def _resolved(self, place: Address) -> list[Address]:
        """At most as many addresses as are tried.

        Raises:
            TimeoutError, UnicodeError, OSError: the name cannot be resolved.
        """
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(self._timeout):
            found = await loop.getaddrinfo(place.host, place.port, type=socket.SOCK_STREAM)
        return list(dict.fromkeys(Address(str(one[4][0]), place.port) for one in found))[:MAX_ADDRESSES]

    async def _try(self, place: Address) -> Tried:
        begin = self.now_ns()
        try:
            sock = await self._connect(place, min(CONNECT_SECONDS, self._timeout))
        except OSError as error:
            words, is_local = _words(error), error.errno in _NO_WAY
            return Tried(place, words, self.now_ns() - begin, is_local)
        sock.close()
        return Tried(place, None, self.now_ns() - begin)

    async def _connect(self, place: Address, seconds: float) -> socket.socket:
        """A TCP connection.

        Raises:
            OSError: there is none.
        """
        family = socket.AF_INET6 if ":" in place.host else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_STREAM)
        sock.setblocking(False)
        try:
            async with asyncio.timeout(seconds):
                await asyncio.get_running_loop().sock_connect(sock, place)
        except BaseException:
            sock.close()
            raise
        return sock

    async def ask(self, number: int, question: Question, place: Address) -> Answer:
        """One attempt.

        Args:
            number: its id in findings.
            place: the address to connect to.
        """
        if question.http_version == "HTTP/2":
            return await self._ask_http2(number, question, place)
        attempt = Attempt(number, question, place, self)
        with self.lateness.watched():
            try:
                await self.open(attempt)
                if attempt.talk is not None:
                    await attempt.converse(self._listen_seconds if question.is_long else 0.0)
                await attempt.close()
            finally:
                attempt.abort()
        return attempt.answer()

    async def open(self, attempt: Attempt) -> None:
        """Connect, send the request and read the response; the attempt knows what failed."""
        seconds = min(self._timeout, GUESS_SECONDS) if attempt.question.is_guess else self._timeout
        try:
            async with self.lateness.timeout(seconds) as limit:
                await attempt.open(is_insecure=self._is_insecure)
                await attempt.send()
                await attempt.read()
                # Talking has its own limits; this one must not lose an answer that has come.
                limit.reschedule(None)
        except TimeoutError:
            attempt.timed_out(seconds)
        except _Broken as broken:
            attempt.failed(broken.where, str(broken))

    async def _ask_http2(self, number: int, question: Question, place: Address) -> Answer:
        """What ALPN gives a browser, and what HTTP/2 makes of a WebSocket there."""
        from wsinspect.doctor.http2 import ConnectReader

        attempt = Attempt(number, question, place, self)
        reader = ConnectReader(question)
        try:
            async with asyncio.timeout(self._timeout):
                await attempt.open(is_insecure=self._is_insecure, alpn=BROWSERS_ALPN)
                if attempt.alpn == "h2":
                    await attempt.exchange(reader)
        except TimeoutError:
            reader.error = "no answer in time"
        except _Broken as broken:
            reader.error = str(broken)
        except BaseException:
            attempt.abort()
            raise
        await attempt.close()
        return attempt.answer_http2(reader)

    def key(self) -> bytes:
        """A new masking key."""
        return self._new_key(4)


class Attempt:
    """One connection, from TCP to its end.

    Attributes:
        talk: what is said on the WebSocket, once a 101 came.
        agreed: what the handshake agreed; None where a browser does not take it.
    """

    def __init__(self, number: int, question: Question, place: Address, asker: Asker) -> None:
        self.talk: Talk | None = None
        self.agreed: Negotiation | None = None
        self._number = number
        self.question = question
        self._place = place
        self._asker = asker
        self._stream: Stream | None = None
        self._tls: dict[str, Any] | None = None
        self._reader = ResponseReader(is_upgrade=question.is_handshake)
        self._times: dict[str, int | None] = {}
        self._ends: list[EndFact] = []
        self._where: str | None = "connect"
        self._error: str | None = None
        self._client: str | None = None
        self._begin_ns = asker.now_ns()
        self._end_ns: int | None = None
        self._is_failed = False
        self._alpn: tuple[str, ...] = ALPN

    # -- the way there

    @property
    def stream(self) -> Stream | None:
        """The connection; None without one."""
        return self._stream

    @property
    def rest(self) -> bytes:
        """What came behind the response."""
        return self._reader.rest

    @property
    def alpn(self) -> str | None:
        """The protocol that the server chose."""
        return (self._tls or {}).get("alpn")

    async def open(self, *, is_insecure: bool, alpn: Sequence[str] = ALPN) -> None:
        """TCP and TLS.

        Raises:
            _Broken: one of them failed.
        """
        self._alpn = tuple(alpn)
        self._times["server_tcp_start_ns"] = self._asker.now_ns()
        sock = await self._tcp()
        self._times["server_tcp_done_ns"] = self._asker.now_ns()
        self._client = str(Address.of_socket(sock.getsockname()))
        if not self.question.target.is_tls:
            self._where = "request"
            self._stream = Stream(*await asyncio.open_connection(sock=sock))
            return
        self._where = "tls-server"
        try:
            self._stream = await self._wrapped(sock, self._asker.context(self._alpn))
            self._note_session(None)
        except ssl.SSLCertVerificationError as error:
            await self._look_at_untrusted(error.verify_message or str(error))
            if not is_insecure:
                await self._hang_up()
                raise _Broken(
                    "tls-server", _tls_words(f"certificate verify failed: {error.verify_message}")
                ) from None
        except (ssl.SSLError, OSError) as error:
            self._tls = session_facts(None, sni=self.question.target.host, alpn=self._alpn, verify_error=None)
            if "handshake failure" in _words(error) or isinstance(error, ConnectionError):
                await self._look_for_refusal(_words(error))
            raise _Broken("tls-server", _tls_words(_words(error))) from None
        self._times["server_tls_done_ns"] = self._asker.now_ns()
        self._where = "request"

    async def _tcp(self) -> socket.socket:
        if self.question.proxy is not None:
            return await self._tunnel(self.question.proxy)
        try:
            return await self._asker._connect(self._place, CONNECT_SECONDS)
        except OSError as error:
            raise _Broken("connect", f"cannot connect to {self._place}: {_words(error)}") from None

    async def _tunnel(self, proxy: Proxy) -> socket.socket:
        """A connection to the server through the proxy."""
        loop = asyncio.get_running_loop()
        place = proxy.address
        assert place is not None
        try:
            found = await loop.getaddrinfo(place.host, place.port, type=socket.SOCK_STREAM)
            sock = await self._asker._connect(Address(str(found[0][4][0]), place.port), CONNECT_SECONDS)
        except OSError as error:
            raise _Broken("proxy", f"cannot connect to the proxy {place}: {_words(error)}") from None
        try:
            head = await _head_of_tunnel(sock, proxy.connect(self.question.target))
        except OSError as error:
            sock.close()
            raise _Broken("proxy", f"the proxy {place} closed the connection: {_words(error)}") from None
        except BaseException:
            sock.close()
            raise
        if head.status is None or not 200 <= head.status < 300:
            sock.close()
            said = head.start_line.decode("latin-1")[:120] or "no answer"
            raise _Broken("proxy", f"the proxy {place} refused CONNECT: {said}")
        return sock

    async def _wrapped(self, sock: socket.socket, context: ssl.SSLContext) -> Stream:
        host = self.question.target.host
        return Stream(*await asyncio.open_connection(sock=sock, ssl=context, server_hostname=host))

    async def _look_at_untrusted(self, reason: str) -> None:
        """Connect again, trusting anybody, for the certificate; nothing is sent."""
        try:
            self._stream = await self._wrapped(await self._tcp(), trusting_all(self._alpn))
        except (ssl.SSLError, OSError) as error:
            raise _Broken(
                "tls-server", _tls_words(f"certificate verify failed: {reason}; {_words(error)}")
            ) from None
        self._note_session(reason)

    async def _look_for_refusal(self, words: str) -> None:
        """Whether the server ended TLS because this client has no certificate.

        Raises:
            _Broken: that is why.
        """
        key = (self._place, self.question.target.host)
        if key in self._asker.wanting_none:
            return
        refusal = await wants_certificate(await self._tcp(), self.question.target.host, self._alpn)
        if refusal is not None:
            raise _Broken("tls-server", _tls_words(f"{words}: {refusal}"))
        self._asker.wanting_none.add(key)

    def _note_session(self, verify_error: str | None) -> None:
        assert self._stream is not None
        session = self._stream.writer.get_extra_info("ssl_object")
        host = self.question.target.host
        self._tls = session_facts(session, sni=host, alpn=self._alpn, verify_error=verify_error)

    # -- request and response

    async def send(self) -> None:
        assert self._stream is not None
        self._times["request_in_ns"] = self._times["request_out_ns"] = self._asker.now_ns()
        try:
            self._stream.writer.write(self.question.request)
            await self._stream.writer.drain()
        except OSError as error:
            self._server_ended("rst")
            if self._tls is not None:
                await self._look_for_refusal("the server ended the connection")
            raise _Broken("response", f"the server closed the connection: {_words(error)}") from None

    async def read(self) -> None:
        """The response; a body that takes its time is cut off."""
        while not self._reader.has_head and not self._reader.is_done and await self._more():
            pass
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(BODY_SECONDS):
                while not self._reader.is_done and await self._more():
                    pass
        head = self._reader.head
        if head is None or head.status is None:
            if self._tls is not None and self._ends and not self._reader.has_begun:
                await self._look_for_refusal("the server ended the connection")
            raise _Broken("response", self._without_answer())
        if head.status == 101 and self.question.is_handshake:
            self._switched(head)

    async def _more(self) -> bool:
        """Read on; False where the server has ended."""
        assert self._stream is not None
        try:
            data = await self._stream.reader.read(_READ)
        except OSError as error:
            self._server_ended("rst" if isinstance(error, ConnectionError) else "fin")
            self._error = _words(error)
            self._reader.end()
            return False
        now = self._asker.now_ns()
        if not data:
            self._server_ended("fin")
            self._reader.end()
            return False
        had_head = self._reader.has_head
        self._reader.feed(data)
        if self._reader.has_head and not had_head:
            self._times["response_in_ns"] = self._times["response_out_ns"] = now
        return True

    def _without_answer(self) -> str:
        if self._reader.is_endless:
            return self._reader.too_much
        if self._error:
            return f"the server ended the connection: {self._error}"
        return "the server closed the connection" if self._ends else "the answer is not HTTP"

    def _switched(self, head: RawHead) -> None:
        agreed = negotiate(RawHead.parse(self.question.request), head)
        is_refused = bool(agreed.problems) or (
            bool(agreed.subprotocols_offered) and agreed.subprotocol is None
        )
        now = self._asker.now_ns()
        talk = Talk(agreed, now)
        if self._reader.rest:
            talk.received(self._reader.rest, now)
        for one in self._ends:
            talk.ended(one.side, one.how, one.time_ns)
        self._is_failed = is_refused
        self.talk = talk
        self.agreed = None if is_refused else agreed

    async def exchange(self, reader: ConnectReader) -> None:
        """HTTP/2 until all is known, or the server has sent more than that takes."""
        assert self._stream is not None
        taken = 0
        try:
            while not reader.is_done and taken < MAX_TALK:
                self._stream.writer.write(reader.outgoing())
                data = await self._stream.reader.read(_READ)
                taken += len(data)
                reader.feed(data)
            self._stream.writer.write(reader.outgoing())
        except OSError as error:
            reader.error = _words(error)

    def answer_http2(self, reader: ConnectReader) -> Answer:
        """The facts of an extended CONNECT, or of why there was none."""
        base = self.answer().facts
        is_sent = reader.is_announced is True
        is_refused = is_sent and (reader.status is None or not 200 <= reader.status < 300)
        state = "failed" if is_refused and reader.status is None else "refused" if is_refused else "closed"
        facts = replace(
            base,
            http_version="HTTP/2.0",
            state=state,
            status=reader.status,
            error=reader.error,
            failed_where="response" if state == "failed" else None,
            raw_request_in=reader.raw_request,
            raw_request_out=reader.raw_request if is_sent else None,
            raw_response_in=reader.raw_response,
            raw_response_out=reader.raw_response,
            events=(("h2", {"alpn": self.alpn, "announced": reader.is_announced}),),
        )
        return Answer(self.question, facts)

    # -- the open WebSocket

    async def converse(self, seconds: float) -> None:
        """Ping, listen and close (RFC 6455 section 7.1.2); a 101 that no browser takes is left at once."""
        assert self.talk is not None
        if not self._is_failed:
            try:
                if seconds:
                    if not self.question.is_quiet:
                        self._say(self.talk.ping(self._asker.key()))
                    await self._listen(seconds, until_close=True)
                if not self._is_over:
                    self._say(self.talk.close(self._asker.key()))
                    await self._listen(CLOSE_SECONDS if seconds else FIN_SECONDS, until_close=True)
                    if seconds and not self.talk.has_server_close and self._was_late:
                        # A machine that starves us starves its neighbours: what they owe comes late.
                        await self._listen(STARVED_NS / 1e9, until_close=True)
                    await self._listen(FIN_SECONDS, until_close=False)
            except OSError as error:
                self._server_ended("rst")
                self._error = _words(error)
        if not self._is_over:
            self.talk.ended("client", "fin", self._asker.now_ns())

    @property
    def _was_late(self) -> bool:
        return bool(within(self._asker.lateness.lags, self._begin_ns, self._asker.now_ns()))

    @property
    def _is_over(self) -> bool:
        return any(one.side == "server" for one in self._ends)

    def _say(self, frame: bytes) -> None:
        assert self._stream is not None
        assert self.talk is not None
        self._stream.writer.write(frame)
        self.talk.sent(frame, self._asker.now_ns())

    async def _listen(self, seconds: float, *, until_close: bool) -> None:
        """Take what comes and answer pings, until the time is over or the server has ended."""
        assert self.talk is not None
        assert self._stream is not None
        taken = 0
        with contextlib.suppress(TimeoutError):
            async with self._asker.lateness.timeout(seconds):
                while not self._is_over and taken < MAX_TALK:
                    if until_close and self.talk.has_server_close:
                        return
                    data = await self._stream.reader.read(_READ)
                    now = self._asker.now_ns()
                    if not data:
                        self._server_ended("fin")
                        return
                    taken += len(data)
                    pings = self.talk.received(data, now)
                    if pings and not self.talk.has_client_close:  # RFC 6455 5.5.3: the newest one will do
                        self._say(self.talk.pong(pings[-1], self._asker.key()))
                if not self._is_over:
                    self.talk.cut()

    # -- the end

    def _server_ended(self, how: str) -> None:
        now = self._asker.now_ns()
        if not self._is_over:
            self._ends.append(EndFact("server", how, now))
        if self.talk is not None:
            self.talk.ended("server", how, now)

    def failed(self, where: str, words: str) -> None:
        self._where, self._error, self._is_failed = where, words, True
        self._end_ns = self._asker.now_ns()

    def timed_out(self, seconds: float) -> None:
        limit = format_duration(round(seconds * _SECOND_NS))
        if self._where == "connect":
            self.failed("connect", f"cannot connect to {self._place}: timed out after {limit}")
        elif self._where == "tls-server":
            host = self.question.target.host
            self._tls = self._tls or session_facts(None, sni=host, alpn=self._alpn, verify_error=None)
            self.failed("tls-server", _tls_words(f"timed out after {limit}"))
        elif self._reader.head is None or self._reader.head.status is None:
            self._ends.append(EndFact("client", "fin", self._asker.now_ns()))
            self.failed("client", f"no answer within {limit}")

    async def close(self) -> None:
        if self._end_ns is None:
            self._end_ns = self._asker.now_ns()
        await self._hang_up()

    def abort(self) -> None:
        """Leave nothing open where it was given up, or ended by a cancellation."""
        if self._stream is not None:
            abort(self._stream.writer.transport)
            self._stream = None

    async def _hang_up(self) -> None:
        if self._stream is None:
            return
        writer, self._stream = self._stream.writer, None
        writer.close()
        try:
            async with asyncio.timeout(FIN_SECONDS):
                await writer.wait_closed()
        except (TimeoutError, OSError):
            abort(writer.transport)

    def answer(self) -> Answer:
        question, reader = self.question, self._reader
        target = question.target
        is_sent = self._times.get("request_out_ns") is not None
        request = question.request if is_sent else None
        status = reader.head.status if reader.head else None
        values: dict[str, Any] = {
            "id": self._number,
            "client": self._client,
            "scheme": target.scheme,
            "host": target.host,
            "port": target.port,
            "path": target.target,
            "http_version": question.http_version,
            "server": str(self._place),
            "server_address": str(self._place),
            "server_http_version": "HTTP/1.1",
            "server_alpn": (self._tls or {}).get("alpn"),
            "status": status,
            "attempt_ns": self._begin_ns,
            "closed_ns": self._end_ns,
            # The request that could not be sent: rules look at it as if it were on its way.
            "raw_request_in": question.request,
            "raw_request_out": request,
            "raw_response_in": reader.raw_head or None,
            "raw_response_out": reader.raw_head or None,
            "informational": reader.informational,
            "body": reader.body,
            "times": self._times,
            "server_tls": self._tls,
            "ends": tuple(self._ends),
            "lags": within(self._asker.lateness.lags, self._begin_ns, self._asker.now_ns()),
        }
        if self.talk is not None:
            values |= {"state": "closed", "open_ns": self._times.get("response_in_ns"), **self.talk.facts()}
        else:
            by = Side.CLIENT if status is None and self._where == "client" else Side.SERVER
            values |= close_facts((), (), refused_by=by)._asdict()
            values["state"] = "failed" if status is None else "refused"
        if self.talk is None and status is None:
            values |= {"error": self._error, "failed_where": self._where}
        return Answer(question, ConnectionFacts(**values), reader.strict)


async def _head_of_tunnel(sock: socket.socket, request: bytes) -> RawHead:
    """Ask a proxy for a tunnel; its answer. A byte at a time, so that none of the server's is taken."""
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(sock, request)
    received = b""
    while len(received) < MAX_HEAD:
        byte = await loop.sock_recv(sock, 1)
        received += byte
        if not byte or (byte == b"\n" and RawHead.parse(received).is_complete):
            break
    return RawHead.parse(received)


def _tls_words(reason: str) -> str:
    return f"TLS with the server failed: {reason}"


def _words(error: BaseException) -> str:
    """An error of the system or of OpenSSL, without its number and place in OpenSSL's source."""
    if isinstance(error, ssl.SSLError):
        return (error.reason or str(error)).replace("_", " ").lower() if error.reason else str(error)
    if isinstance(error, TimeoutError):
        return "timed out"
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno).lower()
    if isinstance(error, ConnectionResetError):
        return "connection reset by peer"
    return str(error) or type(error).__name__
