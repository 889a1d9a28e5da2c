"""Proxy tables of Vite and webpack-dev-server, read without running the script that they stand in."""

from __future__ import annotations

import pytest

from tests.support.configurations import (
    ends_in_an_answer,
    git_applies,
    judgement,
    kinds,
    mend,
    met_in,
    read_in,
)
from wsinspect.doctor.configuration.judging import with_configuration
from wsinspect.doctor.configuration.literals import Source
from wsinspect.doctor.target import parse_target

VITE = """import { defineConfig } from 'vite'
import vue from '@vitejs/plugin-vue' // a plugin

/* the server: { proxy: {} } of old */
export default defineConfig(({ mode }) => ({
  plugins: [vue({ template: /[/]{2}/g })],
  base: mode === 'x' ? '/a/' : "/b/",
  server: {
    port: 5173,
    proxy: {
      '/api': 'http://localhost:3000',
      '/socket.io': { target: 'ws://localhost:3000' },
      '/ws': { target: 'http://localhost:3000', ws: true, changeOrigin: true },
      '/off': {
        target: 'http://localhost:3000',
        ws: false,
      },
      '^/(a|b)/live$': { target: `http://localhost:3000` },
      '/rewritten': { target: 'http://localhost', ws: true, rewrite: (path) => path.replace(/^\\/x/, '') },
      '/spread': { ...common, target: 'http://localhost:3000' },
      [computed]: { target: 'http://localhost:3000' },
    },
  },
}))
"""
WEBPACK = """const path = require('path');
module.exports = {
  devServer: {
    proxy: [
      { context: ['/api', '/auth'], target: 'http://localhost:3000' },
      { context: '/ws', target: 'http://localhost:3000', ws: true, pathRewrite: { '^/ws': '' } },
      { context: ['/live/**'], target: 'http://localhost:3000', ws: true },
    ],
  },
};
"""
OLD = """module.exports = {
  devServer: { proxy: { '/api': { target: 'http://a:1' }, '/ws': { target: 'http://a:1', ws: true } } },
}
"""
NAMED = """import type { ProxyOptions } from 'vite'
const proxy: Record<string, ProxyOptions> = {
  '/api': { target: 'http://localhost:3000' },
} as const
export default { server: { proxy } }
"""


@pytest.mark.parametrize(
    ("name", "text", "path", "place", "expected"),
    [
        ("vite.config.ts", VITE, "/api/x", "proxy entry '/api'", ["upgrade", "silent"]),
        ("vite.config.ts", VITE, "/socket.io/", "proxy entry '/socket.io'", []),
        ("vite.config.ts", VITE, "/ws", "proxy entry '/ws'", ["host"]),
        ("vite.config.ts", VITE, "/off", "proxy entry '/off'", ["upgrade", "silent"]),
        ("vite.config.ts", VITE, "/b/live", "proxy entry '^/(a|b)/live$'", ["upgrade", "silent"]),
        ("vite.config.ts", VITE, "/rewritten", "proxy entry '/rewritten'", []),
        ("vite.config.ts", VITE, "/spread", "proxy entry '/spread'", []),
        ("vite.config.ts", VITE, "/other", "the proxy table", []),
        ("vite.config.ts", NAMED, "/other", "the proxy table", ["route", "silent"]),
        ("vite.config.ts", NAMED, "/api", "proxy entry '/api'", ["upgrade", "silent"]),
        (
            "vite.config.js",
            "export default { server: { port: 1 } }",
            "/x",
            "the proxy table",
            ["route", "silent"],
        ),
        ("webpack.config.js", WEBPACK, "/auth/x", "proxy entry '/api'", ["upgrade", "silent"]),
        ("webpack.config.js", WEBPACK, "/ws/x", "proxy entry '/ws'", ["path"]),
        ("webpack.config.js", WEBPACK, "/live/x", "proxy entry '/live/**'", []),
        ("vue.config.js", OLD, "/api", "proxy entry '/api'", ["upgrade", "silent"]),
        ("vue.config.js", OLD, "/ws", "proxy entry '/ws'", []),
    ],
)
def test_the_entry_that_a_url_meets(tmp_path, name, text, path, place, expected) -> None:
    found = met_in(tmp_path, {name: text}, f"ws://localhost:5173{path}", name)
    assert (found.words, kinds(found)) == (place, expected)


@pytest.mark.parametrize(
    ("path", "words"),
    [("/rewritten", "is a function"), ("/spread", "more than literals"), ("/other", "computed")],
)
def test_what_cannot_be_read_without_running_it_is_said(tmp_path, path, words) -> None:
    found = met_in(tmp_path, {"vite.config.ts": VITE}, f"ws://localhost:5173{path}", "vite.config.ts")
    assert any(words in one for one in found.unsure)


@pytest.mark.parametrize(
    "table", ["makeProxy()", "await load()", "mode === 'x' ? {} : {}", "{ ...other }.proxy", "imported"]
)
def test_a_table_that_is_not_a_literal_is_said(tmp_path, table) -> None:
    head = "import { defineConfig } from 'vite'"
    text = f"{head}\nexport default defineConfig({{ server: {{ proxy: {table} }} }})\n"
    found = met_in(tmp_path, {"vite.config.ts": text}, "ws://localhost:5173/ws", "vite.config.ts")
    assert kinds(found) == []
    assert any("without running it" in one for one in found.unsure)


@pytest.mark.parametrize(
    ("name", "text", "path"),
    [
        ("vite.config.ts", VITE, "/api"),
        ("vite.config.ts", VITE, "/off"),
        ("vite.config.ts", VITE, "/b/live"),
        ("vite.config.ts", VITE, "/ws"),
        ("vite.config.ts", NAMED, "/api"),
        ("webpack.config.js", WEBPACK, "/api"),
        ("vue.config.js", OLD, "/api"),
    ],
)
def test_the_diff_mends_it_and_applies(tmp_path, name, text, path) -> None:
    read = read_in(tmp_path, {name: text}, name)
    url = f"ws://localhost:5173{path}"
    found = read.meets(parse_target(url)[0])
    assert found is not None
    assert kinds(mend(read, found.defects[0], url)) == []
    git_applies(read, found.defects[0])


def test_a_handshake_that_nobody_answers_is_explained(tmp_path) -> None:
    read = read_in(tmp_path, {"vite.config.ts": VITE}, "vite.config.ts")
    target = parse_target("ws://localhost:5173/api")[0]
    better, explained = with_configuration(judgement("WS-HS-036", "no answer within 10 s"), (read,), target)
    assert explained is not None
    assert "lacks 'ws: true'" in better.headline
    assert "+      '/api': { target: 'http://localhost:3000', ws: true }," in str(
        better.findings[0].fixes[0].diff
    )
    better, explained = with_configuration(
        judgement("WS-HS-036", "no answer"), (read,), parse_target("ws://localhost:5173/ws")[0]
    )
    assert explained is None


def test_literals() -> None:
    source = Source(
        "const a = { b: 'c\\'d', \"e-f\": [1, true, `g`], h, ...i, [j]: k, l() { return "
        "{ m: 1 } }, n: x / 2 / y }"
    )
    (found,) = source.named("a")
    shown = [(key, one.kind) for key, one in found.entries()]
    assert shown[:3] == [("b", "text"), ("e-f", "array"), ("h", "word")]
    assert {kind for key, kind in shown if key is None} == {"unknown"}
    assert ("n", "unknown") in shown
    b = found.get("b")
    assert b is not None
    assert b.value == "c'd"


@pytest.mark.parametrize(
    "text",
    [
        "",
        pytest.param("server: {" * 20000, marks=pytest.mark.slow),
        "server: { proxy: " + "[" * 20000,
        "devServer: { proxy: [{ context: [], target }, {}, [], 'x', ] }",
        "const a = a\nserver: { proxy: a }",
        "server: { proxy: { '/a': b, '/b': { ws: c } } } // \\u2028",
        "server = { proxy: { '^((a+)+)+$': 'x', '^(': 'y' } }",
        "`${`${`${`" * 1000,
        "/* server: {",
        "const x = 1; " * 20000 + "server: { proxy: x }",
    ],
    ids=range(10),
)
def test_odd_files_end_in_an_answer(tmp_path, text) -> None:
    for name in ("vite.config.ts", "webpack.config.js"):
        ends_in_an_answer(tmp_path / name, text, "ws://x.example/" + "a" * 40)
