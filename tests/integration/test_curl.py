"""The doctor's curl commands: run by a shell, each sends what the doctor sent, and gets the same answer."""

import asyncio
import re
import shutil
import ssl
import subprocess

import pytest

from tests.support.certs import make_certificates
from tests.support.doctor_lab import NOTHING, examined, http, is_upgrade, replies, serving, switching
from wsinspect.doctor.target import Extras

pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")


def accepting(head):
    return switching(head) if is_upgrade(head) else http("426 Upgrade Required")


def choosy(head):
    """Nothing but its own Origin is accepted."""
    return (
        accepting(head)
        if (head.get("origin") or b"").startswith(b"http://127.0.0.1")
        else http("403 Forbidden")
    )


def refusing(head):
    """Every answer is a refusal, so that the doctor tries all that it knows."""
    return http("400 Bad Request", b"no")


def wants_cookie(head):
    return accepting(head) if head.get("cookie") == b"a=b c; d='\"$(x)`" else http("401 Unauthorized")


EXTRAS = Extras(cookies=("a=b c; d='\"$(x)`",), headers=(("X-Empty", ""), ("X-Odd", "%41\\n${HOME} !")))


def head_of(data):
    """Fields of a request, in lower case, without those that differ by nature."""
    lines = data.decode("latin-1").split("\r\n")
    fields = sorted(
        line.partition(":")[0].lower() + ":" + line.partition(":")[2].strip() for line in lines[1:] if line
    )
    return lines[0], fields


async def asked(reply, path, *, extras=NOTHING, tls=None, **options):
    """What the doctor found, and what each curl command sent and got."""
    seen = []

    def noted(head):
        seen.append(head.raw)
        return reply(head)

    async with serving(replies(noted), tls) as port:
        scheme = "ws" if tls is None else "wss"
        found = await examined(f"{scheme}://127.0.0.1:{port}{path}", extras, **options)
        content = found.as_json(include_secrets=True)
        del seen[:]
        ran = []
        for probe in content["probes"]:
            if probe["curl"] is None or probe["request"] is None:
                continue
            done = await shell(probe["curl"])
            ran.append((probe, done, seen.pop() if seen else None))
        first = await shell(content["curl"])
    return content, ran, first


async def shell(command):
    """The command as a person pastes it; an open WebSocket is ended after a moment."""
    process = await asyncio.create_subprocess_shell(
        re.sub(r"(?<!\S)curl ", "timeout 3 curl ", command, count=1) + " --max-time 0.5 --silent",
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    out, _ = await process.communicate()
    match = re.match(rb"HTTP/[\d.]+ (\d{3})", out)
    return int(match[1]) if match else None


@pytest.mark.parametrize("reply", [choosy, refusing, wants_cookie])
@pytest.mark.parametrize(
    "path", ["/chat?room=1&x=[a]{b}&q='\"$(id)", pytest.param("/a/../b", marks=pytest.mark.slow)]
)
def test_each_command_asks_the_same_and_gets_the_same(reply, path):
    content, ran, first = asyncio.run(asked(reply, path, extras=EXTRAS))
    assert len(ran) >= 4
    for probe, status, request in ran:
        assert request is not None, probe["curl"]
        if not probe["url"].startswith("ws://127.0.0.1"):
            continue
        assert head_of(request) == head_of(probe["request"].encode("latin-1")), probe["curl"]
        assert status == probe["status"], probe["curl"]
    assert first == content["probes"][0]["status"]


@pytest.mark.parametrize("how", ["insecure", "trusted", "several"])
def test_a_private_certificate(how, tmp_path):
    certificates = make_certificates(tmp_path)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificates.chain, certificates.key)
    other = make_certificates(tmp_path / "an other's")
    trusted = [other.ca, certificates.ca] if how == "several" else [certificates.ca]
    options = {"is_insecure": True} if how == "insecure" else {"trusted": trusted}
    _, ran, first = asyncio.run(asked(refusing, "/chat", tls=tls, **options))
    assert first == 400
    assert next(status for probe, status, _ in ran if probe["url"].startswith("wss")) == 400


def test_it_is_quoted_for_a_shell():
    """Pasting can do nothing but run curl."""
    content, _, _ = asyncio.run(asked(accepting, "/x?a=$(touch%20/tmp/no)&b=`id`", extras=EXTRAS))
    done = subprocess.run(["sh", "-n", "-c", content["curl"]], check=False)
    assert done.returncode == 0
