"""Before and after: the same handshake through the hop's own program, with its configuration and with
the diff.
"""

from __future__ import annotations

import asyncio
import base64
import os
import re
import socket
import ssl
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final, NamedTuple

from wsinspect.closing import abort
from wsinspect.doctor.configuration.judging import Explained, mended
from wsinspect.doctor.configuration.model import Defect, Met, Place
from wsinspect.doctor.configuration.reading import Configuration
from wsinspect.doctor.proof.apache import ApacheProver
from wsinspect.doctor.proof.application import CREDENTIALS, answer, application
from wsinspect.doctor.proof.caddy import CaddyProver
from wsinspect.doctor.proof.certificate import write_certificate
from wsinspect.doctor.proof.envoy import EnvoyProver
from wsinspect.doctor.proof.haproxy import HAProxyProver
from wsinspect.doctor.proof.model import Prover, Setup, Stage
from wsinspect.doctor.proof.nginx import NginxProver
from wsinspect.doctor.proof.programs import RefusedError, find_program, output_of, running
from wsinspect.doctor.target import Target
from wsinspect.findings.model import Finding, Proven
from wsinspect.findings.software import NAMES
from wsinspect.handshake.heads import RawHead
from wsinspect.net import LOOPBACK, Address
from wsinspect.units import format_duration

PROVERS: Final[Mapping[str, Prover]] = {
    "nginx": NginxProver(),
    "haproxy": HAProxyProver(),
    "apache": ApacheProver(),
    "caddy": CaddyProver(),
    "envoy": EnvoyProver(),
}
_ANSWER_SECONDS: Final = 8.0
#: A limit is scaled down to this, and a connection that outlives it by half is held.
_SCALED_SECONDS: Final = 2.0
_HELD: Final = 1.25
_TRIES: Final = 3
_MAX_VARIABLES: Final = 20
_MAX_WORDS: Final = 400


class Outcome(NamedTuple):
    """What came of one handshake.

    Attributes:
        works: whether a WebSocket was opened, and held as long as it should.
        held: how long it was open and silent, in seconds as the configuration counts.
    """

    words: str
    works: bool = False
    held: float | None = None


class Proof(NamedTuple):
    """What running it showed.

    Attributes:
        words: one line for the verdict.
        proven: for the fix; None if it did not come to that.
        notes: what was left out, and why it did not come to that.
    """

    words: str
    proven: Proven | None
    notes: tuple[str, ...] = ()


class CannotProveError(Exception):
    """Why a configuration is not run; one line."""


async def prove(explained: Explained, target: Target) -> Proof:
    """Run the hop's own program with its configuration, and with the diff.

    Nothing is written but in a temporary folder, nothing else is started or ended.
    """
    software = explained.configuration.software
    try:
        if explained.defect.backend is not None and explained.defect.edits:
            raise CannotProveError("a stand-in for the server speaks whatever the configuration says")
        prover, program, version = await _program(software)
        with tempfile.TemporaryDirectory(prefix="wsinspect-proof-", ignore_cleanup_errors=True) as folder:
            return await _proof(prover, program, version, explained, target, Path(folder))
    except CannotProveError as error:
        return Proof(f"not proven: {error}", None, (str(error),))
    except OSError as error:
        words = f"{NAMES[software]} cannot be run here: {error.strerror or error}"
        return Proof(f"not proven: {words}", None, (words,))


async def prove_all(
    explained: Explained | None, places: Sequence[Configuration], target: Target
) -> list[Proof]:
    """The proof of a fix; where there is none, what each configuration does as it is."""
    if explained is not None:
        return [await prove(explained, target)]
    found = []
    for read in places:
        met = read.meets(target)
        if met is not None:
            nothing = Defect("upgrade", "", met.at)
            found.append(await prove(Explained(read, met, nothing, 0, ()), target))
    return found


async def _program(software: str) -> tuple[Prover, str, str]:
    name = NAMES[software]
    prover = PROVERS.get(software)
    if prover is None:
        raise CannotProveError(f"wsinspect cannot run {name}")
    program = find_program(prover.programs)
    if program is None:
        raise CannotProveError(f"{name} is not on this machine ({' or '.join(prover.programs)})")
    with tempfile.TemporaryDirectory(prefix="wsinspect-proof-") as folder:
        _, said = await output_of(program, prover.version_arguments, Path(folder))
    said = said.replace(str(Path(program).parent), "")
    found = re.search(r"(?<!\w)\d+(?:\.\d+)+", said)
    if found is None:
        raise CannotProveError(f"{program} does not say its version")
    refused = prover.refuses(found[0])
    if refused is not None:
        raise CannotProveError(refused)
    return prover, program, found[0]


async def _proof(
    prover: Prover, program: str, version: str, explained: Explained, target: Target, folder: Path
) -> Proof:
    read, defect = explained.configuration, explained.defect
    if read.software == "nginx" and explained.met.found is None:
        raise CannotProveError("wsinspect runs http blocks of nginx alone, and this is a stream")
    numbers = tuple(map(int, version.split(".")))
    is_timed = defect.kind in ("idle", "lifetime", "handshake")
    scale = max(1.0, (defect.seconds or 0) / _SCALED_SECONDS) if is_timed else 1.0
    hold = (defect.seconds or 0) * _HELD if is_timed else None
    run = _Run(prover, program, target, defect, folder, scale, hold)
    before = await run.once(read, explained.met, "before")
    after = None
    if defect.edits:
        again = mended(read, defect.edits)
        met = None if again is None else again.meets(target, numbers)
        if again is None or met is None:
            raise CannotProveError("the configuration with the diff cannot be read")
        after = await run.once(again, met, "after")
    return _concluded(NAMES[read.software], version, explained, before, after, run)


def _concluded(
    name: str, version: str, explained: Explained, before: Outcome, after: Outcome | None, run: _Run
) -> Proof:
    defect = explained.defect
    head = f"{name} {version}, {defect.at}"
    notes = tuple(f"left out: {one}" for one in run.left_out)
    scaled = f" (times divided by {run.scale:g})" if run.scale > 1 else ""
    words = f"{head}, before: {before.words}"
    if after is not None:
        words += f", after: {after.words}"
    words += scaled
    if after is None:
        return Proof(f"{head}, as it is: {before.words}{scaled}", None, notes)
    if before.works or not after.works:
        reason = (
            ("it works with the configuration as it is")
            if before.works
            else "the diff alone does not mend it"
        )
        return Proof(f"not proven: {words}: {reason}", None, (*notes, reason))
    held = None if after.held is None else _seconds(after.held)
    return Proof(words, Proven(name, version, before.words, after.words, held), notes)


class _Run:
    """Runs of one program, each in a folder of its own."""

    def __init__(
        self,
        prover: Prover,
        program: str,
        target: Target,
        defect: Defect,
        folder: Path,
        scale: float,
        hold: float | None,
    ) -> None:
        self.scale = scale
        self.left_out: list[str] = []
        self._prover = prover
        self._program = program
        self._target = target
        self._defect = defect
        self._folder = folder
        self._hold = hold
        self._defined: tuple[str, ...] = ()

    async def once(self, read: Configuration, met: Met, name: str) -> Outcome:
        """One handshake through the program with this configuration.

        Raises:
            CannotProveError: the program does not take it.
        """
        kind, target = self._defect.kind, self._target
        is_mute = kind == "handshake"
        async with application(lambda head: None if is_mute else answer(head, target, kind)) as behind:
            for attempt in range(_TRIES + _MAX_VARIABLES):
                folder = self._folder / f"{name}{attempt}"
                folder.mkdir()
                stage = self._stage(folder, behind)
                setup = self._prover.setup(read.tree, met, target, stage)
                self._write(folder, setup)
                self.left_out = setup.left_out
                arguments = setup.command
                try:
                    if setup.check is not None:
                        code, said = await output_of(self._program, setup.check, folder)
                        if code:
                            raise RefusedError(said)
                    async with running(self._program, arguments, folder, Address(LOOPBACK, stage.port)):
                        outcome = await self._ask(stage)
                    return outcome
                except RefusedError as error:
                    if not self._may_retry(str(error), setup, attempt):
                        raise CannotProveError(self._in_its_words(str(error), setup, folder)) from None
        raise CannotProveError(f"{Path(self._program).name} did not start")

    def _may_retry(self, words: str, setup: Setup, attempt: int) -> bool:
        missing = self._prover.missing_variable(words, setup)
        if missing is not None and missing not in self._defined:
            self._defined = (*self._defined, missing)
            return True
        return "ddress already in use" in words and attempt < _TRIES

    def _stage(self, folder: Path, behind: int) -> Stage:
        certificate = None
        if self._target.is_tls:
            certificate = folder / "certificate.pem"
            write_certificate(certificate, self._target.host)
        return Stage(folder, _free_port(), behind, certificate, self.scale, self._defined)

    @staticmethod
    def _write(folder: Path, setup: Setup) -> None:
        for name, text in setup.files.items():
            place = folder / name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text, "utf-8", "surrogateescape")
        if setup.is_entered:
            for one in (folder, folder.parent):
                one.chmod(0o711)  # entered, not listed; our own, and gone with the proof

    def _in_its_words(self, said: str, setup: Setup, folder: Path) -> str:
        """What the program says of the configuration, with the file and line that are meant."""
        name = Path(self._program).name
        if (sentence := setup.refusal(said)) is not None:
            return f"{name} refuses the configuration: {sentence[:_MAX_WORDS]}"
        lines = [one.strip() for one in said.splitlines() if one.strip()]
        telling = [
            one for one in lines if re.search(r"(?i)emerg|error|alert|syntax|invalid|unknown|fail", one)
        ]
        words = next(iter(telling or lines), "it did not start")
        if words.endswith(":") and words in lines[:-1]:
            words += f" {lines[lines.index(words) + 1]}"
        for file, origins in setup.origins.items():
            match = re.search(
                rf"(?:in )?\S*{re.escape(file)}\S*?(?::| line |, line )(\d+)\]?", words
            ) or re.search(rf"(?:on )?line (\d+) of \S*{re.escape(file)}", words)
            place = origins[int(match[1])] if match and int(match[1]) < len(origins) else None
            if match and place is not None:
                words = f"{words[: match.start()].rstrip()} in {place}{words[match.end() :]}"
            else:
                words += _place_of(words, setup.files[file], origins)
        words = re.sub(r"^\[ALERT\]\s+(?:\S+ )?\(\d+\) : (?:config : )?", "", words)
        words = re.sub(r"^\d{4}/\S+ \S+ \[\w+\] \d+#\d+: |^\w+: (?=\[)", "", words)
        words = words.replace(f"{folder}/", "").replace(str(folder), "")
        return f"{name} refuses the configuration: {words[:_MAX_WORDS]}"

    async def _ask(self, stage: Stage) -> Outcome:
        """A browser's handshake, and then silence."""
        context, name = None, None
        if stage.certificate is not None:
            context = ssl.create_default_context()
            context.load_verify_locations(stage.certificate)
            context.check_hostname = False
            name = self._target.host
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                reader, writer = await asyncio.open_connection(
                    LOOPBACK, stage.port, ssl=context, server_hostname=name
                )
        except (OSError, TimeoutError) as error:
            return Outcome(f"no connection ({error})")
        try:
            writer.write(self._request())
            return await self._answer(reader)
        finally:
            # Without waiting for a close_notify that may never come.
            abort(writer.transport)

    async def _answer(self, reader: asyncio.StreamReader) -> Outcome:
        is_mute = self._defect.kind == "handshake"
        limit = (self._hold or 0) / self.scale if is_mute else _ANSWER_SECONDS
        loop = asyncio.get_running_loop()
        begun = loop.time()
        try:
            async with asyncio.timeout(limit):
                raw = await reader.readuntil(b"\r\n\r\n")
        except TimeoutError:
            waits = f"still waiting after {_seconds(self._hold or 0)}"
            return Outcome(waits, True, self._hold) if is_mute else Outcome("no answer")
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            return Outcome("closed without an answer")
        status = _status(raw)
        if is_mute:
            return Outcome(f"{status} after {_seconds((loop.time() - begun) * self.scale)}")
        head = RawHead.parse(raw)
        lacking = [
            name
            for name, token in (("Upgrade", "websocket"), ("Connection", "upgrade"))
            if token not in head.tokens(name.lower())
        ]
        if status == 101 and lacking:
            return Outcome(f"101 without {' and '.join(lacking)}")
        if status != 101 or self._hold is None:
            return Outcome(str(status), status == 101)
        return await self._held(reader)

    async def _held(self, reader: asyncio.StreamReader) -> Outcome:
        """How long it stays open while nobody speaks."""
        assert self._hold is not None
        loop = asyncio.get_running_loop()
        begun = loop.time()
        try:
            async with asyncio.timeout(self._hold / self.scale):
                while await reader.read(4096):
                    pass
        except TimeoutError:
            return Outcome(f"101, held idle {_seconds(self._hold)}", True, self._hold)
        except OSError:
            pass
        held = (loop.time() - begun) * self.scale
        return Outcome(f"101, cut after {_seconds(held)} idle", False, held)

    def _request(self) -> bytes:
        target = self._target
        key = base64.b64encode(os.urandom(16)).decode()
        lines = [
            f"GET {target.target} HTTP/1.1",
            f"Host: {target.authority}",
            "Connection: Upgrade",
            "Upgrade: websocket",
            f"Origin: {target.origin}",
            "Sec-WebSocket-Version: 13",
            f"Sec-WebSocket-Key: {key}",
            *(f"{name}: {value}" for name, value in CREDENTIALS),
        ]
        return ("\r\n".join(lines) + "\r\n\r\n").encode()


def _place_of(words: str, text: str, origins: Sequence[Place | None]) -> str:
    """Where the word that a program quotes stands, if it says no line itself."""
    quoted = re.search(r"[\"']([^\"']{2,60})[\"']", words)
    if quoted is None:
        return ""
    for number, line in enumerate(text.split("\n"), 1):
        if quoted[1] in line and number < len(origins) and (place := origins[number]) is not None:
            return f" (in {place})"
    return ""


def _status(raw: bytes) -> int:
    found = re.match(rb"HTTP/\d\.\d (\d{3})", RawHead.parse(raw).start_line)
    return int(found[1]) if found else 0


def _seconds(value: float) -> str:
    return format_duration(round(value) * 1_000_000_000)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def with_proof(finding: Finding, proof: Proof) -> Finding:
    """The finding whose first fixes were proven, and the proof in its evidence."""
    fixes = tuple(
        replace(one, proven=proof.proven) if one.diff is not None and proof.proven is not None else one
        for one in finding.fixes
    )
    if proof.proven is None:
        return replace(finding, evidence=(*finding.evidence, proof.words), fixes=fixes)
    first, *rest = finding.evidence
    return replace(finding, evidence=(first, f"proven: {proof.words}", *rest), fixes=fixes, confidence="high")
