"""The byte checker is itself checked: nothing found through a plain forwarder, every saboteur found out."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.support.cases import all_cases
from tests.support.certs import make_certificates
from tests.support.forwarder import C2S, S2C, Forwarder
from tests.support.origin import Origin
from tests.support.routes import Checker, Route


class OneBit(Forwarder):
    """Flips one bit of a message that only some cases send."""

    def alter(self, way: str, data: bytes) -> bytes:
        return data.replace(b"from the server", b"from the servez") if way == S2C else data


class FinForRst(Forwarder):
    """Stock relays do this: a reset arrives as an orderly end."""

    def end(self, way: str, how: str) -> str:
        return "fin"


class NoHalfClose(Forwarder):
    """An end of one direction ends both."""

    def end(self, way: str, how: str) -> str:
        return "both" if how == "fin" else how


class Inventor(Forwarder):
    """Adds a close frame of its own before a FIN that came without one."""

    def alter(self, way: str, data: bytes) -> bytes:
        return data + b"\x88\x00" if way == C2S and data.endswith(b"\x00" * 4) else data


async def findings(
    kind: type[Forwarder], folder: Path, families: set[str], timeout: float
) -> dict[str, list[str]]:
    cases = [case for case in all_cases() if not families or case.family in families]
    async with Origin(make_certificates(folder).server_context()) as origin:
        checker = Checker(origin, timeout=timeout)
        async with kind(origin.port) as forwarder:
            return await checker.failures(cases, Route("forwarder", forwarder.port))


def test_there_are_over_200_cases_in_each_direction():
    cases = all_cases()
    for way in ("c2s", "s2c"):
        assert len([case for case in cases if case.name.startswith(way)]) > 200


def test_nothing_is_found_when_a_forwarder_is_transparent(tmp_path):
    assert asyncio.run(findings(Forwarder, tmp_path, set(), 10)) == {}


@pytest.mark.slow
def test_nothing_is_found_over_tls_when_a_forwarder_is_transparent(tmp_path):
    async def run() -> dict[str, list[str]]:
        context = make_certificates(tmp_path).server_context()
        async with Origin(context) as origin, Forwarder(origin.tls_port) as forwarder:
            route = Route("forwarder", forwarder.port, client_tls=True, server_tls=True)
            return await Checker(origin, timeout=10).failures(all_cases(), route)

    assert asyncio.run(run()) == {}


@pytest.mark.parametrize(
    ("kind", "families", "caught"),
    [
        (OneBit, {"ends"}, "ends-server-fin"),
        (FinForRst, {"ends"}, "ends-server-rst"),
        (NoHalfClose, {"half-close"}, "half-close-client-half"),
        (Inventor, {"strangers-c2s"}, "c2s-zeros"),
    ],
)
def test_a_bad_relay_is_found_out(tmp_path, kind, families, caught):
    assert caught in asyncio.run(findings(kind, tmp_path, families, 1))
