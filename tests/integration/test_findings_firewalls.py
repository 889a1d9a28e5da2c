"""ModSecurity, a web application firewall, in nginx (version 3) and Apache (version 2), between two taps.

It carries open WebSockets, also where it only detects or reads responses: what it does to them is refuse.
"""

import asyncio
import contextlib

import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import serve
from websockets.exceptions import WebSocketException

from tests.support.fix_hops import apache_waf, nginx_waf
from tests.support.hop_taps import attempts, record_around
from tests.support.hops import LOOPBACK
from tests.support.sandwich_lab import afterwards, stored, told
from wsinspect.findings.fixes import FIXES

pytestmark = [pytest.mark.lab, pytest.mark.slow]

AGENT = 'SecRule REQUEST_HEADERS:User-Agent "@contains scanner" "id:1,phase:{phase},{action}"\n'
RULES = {
    "denied": "SecRuleEngine On\n" + AGENT.format(phase=1, action="deny,status:403"),
    "denied-2": "SecRuleEngine On\n" + AGENT.format(phase=2, action="deny,status:403"),
    "denied-101": "SecRuleEngine On\n" + AGENT.format(phase=3, action="deny,status:403"),
    "dropped": "SecRuleEngine On\n" + AGENT.format(phase=1, action="drop"),
    "detects": "SecRuleEngine DetectionOnly\nSecRequestBodyAccess On\nSecResponseBodyAccess On\n"
    + AGENT.format(phase=1, action="deny,status:403"),
    "reads-bodies": "SecRuleEngine On\nSecRequestBodyAccess On\nSecResponseBodyAccess On\n"
    "SecResponseBodyMimeType null text/plain text/html\n"
    'SecRule RESPONSE_BODY "@contains hello" "id:2,phase:4,deny,status:403"\n',
}
MODULES = {"nginx": nginx_waf, "apache": apache_waf}


async def echo(socket):
    with contextlib.suppress(WebSocketException):
        async for message in socket:
            await socket.send(message)


async def ask(port, agent):
    with contextlib.suppress(WebSocketException, OSError, TimeoutError, EOFError):
        async with connect(
            f"ws://{LOOPBACK}:{port}/ws", user_agent_header=agent, ping_interval=None, proxy=None
        ) as socket:
            for _ in range(3):
                await socket.send("hello")
                await asyncio.wait_for(socket.recv(), 20)


async def _play(folder, software, rules):
    async def talk(port):
        await ask(port, "browser")
        await ask(port, "scanner")

    def hop(place, origin):
        return MODULES[software](place, origin, None, RULES[rules])

    async with serve(echo, LOOPBACK, 0, ping_interval=None) as server:
        return await record_around(folder, hop, next(iter(server.sockets)).getsockname()[1], talk)


#: What a rule makes of the scanner's attempt: its status, and the first finding of one tap and of two.
REFUSED = (403, "WS-HS-010", "WS-HS-010")
EXPECTED = {
    ("denied", "nginx"): REFUSED,
    ("denied", "apache"): REFUSED,
    ("denied-2", "nginx"): REFUSED,
    ("denied-2", "apache"): REFUSED,
    # In nginx a rule over the response's header sees the 101, which it throws away; in Apache it does not.
    ("denied-101", "nginx"): (403, "WS-HS-010", "WS-HS-107"),
    ("dropped", "nginx"): REFUSED,  # version 3 cannot drop
    ("dropped", "apache"): (None, "WS-HS-035", "WS-HS-035"),
}
NAMES = {"nginx": "nginx", "apache": "Apache httpd"}


@pytest.mark.parametrize("software", MODULES)
@pytest.mark.parametrize("rules", RULES)
def test_a_firewall_s_refusal_is_the_firewall_s(tmp_path, software, rules):
    engine = asyncio.run(_play(tmp_path, software, rules))
    assert told(engine.events) == stored(engine.capture) == afterwards(engine.capture)
    good, bad = attempts(engine.capture)
    assert (good.status, good.one, good.all) == (101, [], [])
    expected = EXPECTED.get((rules, software))
    if expected is None:
        assert (bad.status, bad.one, bad.all) == (101, [], []), "it carries what it lets in"
        return
    assert (bad.status, bad.one[0].id, bad.all[0].id) == expected
    assert bad.all[0].fault_of == "hop"
    if bad.status is None:
        assert any("firewall in the server's place" in one.cause for one in bad.one[0].causes)
        assert "ModSecurity's drop" in bad.all[0].causes[0].cause
    if bad.status == 403:
        one = bad.one[0]
        assert (one.fault_of, one.hop) == ("hop", NAMES[software])
        assert one.title.startswith(f"403: {NAMES[software]} itself refuses this request; ")
        assert one.title.endswith("was accepted with another User-Agent")
        assert "ModSecurity" in one.causes[1].cause
        assert FIXES["waf"][software] in [fix.text for fix in one.fixes][:2]
        assert bad.all[0].fixes[0].text == FIXES["waf"][software]
