"""The doctor's look at HTTP/2 and the proxy's mirror agree: of each server the doctor gets the same answer
directly and through the proxy in front of it, and the capture has what it asked.
"""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import Any

import pytest

from tests.support.certs import make_certificates
from tests.support.doctor_lab import examined
from tests.support.engine import Engine
from tests.support.h2_servers import KINDS, application, is_missing
from tests.support.hops import LOOPBACK
from wsinspect.capture.reader import Capture

pytestmark = [pytest.mark.lab, pytest.mark.timeout(180)]

#: What the doctor gets from an extended CONNECT where it is allowed: Envoy makes no key for the application.
STATUS = {"Envoy": 400}


async def looked(port: int) -> tuple[str | None, bool | None, int | None, str]:
    """What the doctor says of HTTP/2 there, and its verdict."""
    found = await examined(f"wss://localhost:{port}/echo", is_insecure=True)
    probe = next((one for one in found.answers if one.question.kind == "h2"), None)
    assert probe is not None, found.judgement
    facts = dict(probe.facts.events)["h2"]
    errors = [one.id for one in found.judgement.findings if one.severity == "error"]
    alpn = facts["alpn"] if facts["alpn"] == "h2" else None
    return alpn, facts["announced"], probe.facts.status, " ".join(errors)


async def all_looked(ports: dict[str, int]) -> dict[str, Any]:
    """The same of all servers, some at a time: a dozen at once would wait for each other's TLS."""
    places = asyncio.Semaphore(4)

    async def one(port: int) -> tuple[str | None, bool | None, int | None, str]:
        async with places:
            return await looked(port)

    return dict(zip(ports, await asyncio.gather(*map(one, ports.values())), strict=True))


def test_the_doctor_is_told_the_same_directly_and_through_the_proxy(tmp_path: Path) -> None:
    tls = make_certificates(tmp_path / "certificates")
    with contextlib.ExitStack() as stack:
        app = stack.enter_context(application())
        ports = {
            name: stack.enter_context(kind.start(tmp_path / str(number), tls, app))
            for number, (name, kind) in enumerate(KINDS.items())
            if not is_missing(name)
        }
        names = {name: f"t{number}" for number, name in enumerate(ports)}
        taps = [
            word
            for name, port in ports.items()
            for word in ("--tap", f"{names[name]}={LOOPBACK}:0=https://localhost:{port}")
        ]
        with Engine.start("--insecure", *taps, folder=tmp_path / "engine") as engine:
            direct = asyncio.run(all_looked(ports))
            through = asyncio.run(all_looked({name: engine.port(names[name]) for name in ports}))
    for name, found in direct.items():
        kind = KINDS[name]
        is_announced = None if kind.alpn is None else kind.offers
        assert found[:3] == (kind.alpn, is_announced, STATUS.get(name, 200) if kind.offers else None), name
    assert through == direct
    with Capture.open(engine.capture) as capture:
        over_http2 = capture.query("SELECT count(*) FROM connection WHERE http_version = 'HTTP/2.0'")[0][0]
    assert over_http2 == sum(KINDS[name].offers for name in direct)
