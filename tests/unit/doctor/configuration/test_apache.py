"""Apache httpd's configuration: which virtual host a URL meets, and where its request goes."""

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
from wsinspect.doctor.configuration.apache.expressions import holds
from wsinspect.doctor.configuration.apache.request import Request
from wsinspect.doctor.configuration.apache.tree import words_of
from wsinspect.doctor.configuration.judging import with_configuration
from wsinspect.doctor.configuration.model import edited
from wsinspect.doctor.configuration.patterns import UndecidedError, search
from wsinspect.doctor.configuration.reading import read_configurations
from wsinspect.doctor.target import parse_target

MAIN = """ServerRoot "/etc/apache2"
Timeout 300
<IfModule mod_proxy.c>
    ProxyRequests Off
</IfModule>
IncludeOptional sites-enabled/*.conf
"""
SITES = """<VirtualHost *:80>
    ServerName app.example
    Redirect permanent / https://app.example/
</VirtualHost>
<VirtualHost *:443>
    ServerName app.example
    ServerAlias *.app.example
    SSLEngine on
    ProxyPreserveHost On
    RewriteEngine On
    RewriteCond %{HTTP:Upgrade} =websocket [NC]
    RewriteCond %{REQUEST_URI} ^/tunnel [OR]
    RewriteCond %{QUERY_STRING} tunnel=1
    RewriteRule ^/(.*)$ ws://127.0.0.1:3000/$1 [P,L]
    RewriteCond %{HTTP_UPGRADE} websocket
    RewriteRule ^/mistaken ws://127.0.0.1:3000/mistaken [P]
    RewriteRule ^/plain/(.*)$ http://127.0.0.1:3000/plain/$1 [P,L]
    RewriteRule ^/old/(.*)$ /new/$1 [PT]
    RewriteRule ^/away https://other.example/ [R=308,L]
    RewriteRule ^/forbidden - [F]
    RewriteCond %{REMOTE_ADDR} ^10\\.
    RewriteRule ^/inside - [F]
    ProxyPass /never !
    ProxyPass /ws http://127.0.0.1:3000/ws
    ProxyPass /good http://127.0.0.1:3000/good upgrade=websocket \\
        timeout=20
    ProxyPass /tunnel2 ws://127.0.0.1:3000/tunnel2
    ProxyPass /new http://127.0.0.1:3000/new upgrade=ANY
    ProxyPass /h2 h2://127.0.0.1:3000/h2
    ProxyPass /moved http://127.0.0.1:3000/elsewhere upgrade=websocket
    ProxyPassMatch ^/match/(\\w+)$ http://127.0.0.1:3000/match/$1
    ProxyPass /many balancer://many/many
    <Proxy balancer://many>
        BalancerMember http://127.0.0.1:3001
        BalancerMember http://127.0.0.1:3002
    </Proxy>
    <Location /inner>
        ProxyPass http://127.0.0.1:3000/inner upgrade=websocket
        RequestHeader unset Origin
        RequestHeader set X-Forwarded-Proto https
    </Location>
    <Location "/closed">
        Require all denied
    </Location>
    <LocationMatch "^/private/">
        AuthType Basic
        Require valid-user
    </LocationMatch>
</VirtualHost>
"""
FILES = {"apache2.conf": MAIN, "sites-enabled/app.conf": SITES}


@pytest.mark.parametrize(
    ("url", "place", "expected"),
    [
        ("ws://app.example/ws", "<VirtualHost *:80>", ["answer"]),
        ("wss://app.example/ws", "ProxyPass /ws", ["upgrade"]),
        ("wss://app.example/ws/x", "ProxyPass /ws", ["upgrade"]),
        ("wss://app.example/wsx", "<VirtualHost *:443>", ["route"]),
        ("wss://a.app.example/good", "ProxyPass /good", []),
        ("wss://app.example/tunnel", "RewriteRule ^/(.*)$", []),
        ("wss://app.example/ws?tunnel=1", "RewriteRule ^/(.*)$", []),
        ("wss://app.example/mistaken", "<VirtualHost *:443>", ["route"]),
        ("wss://app.example/plain/x", "RewriteRule ^/plain/(.*)$", ["upgrade"]),
        ("wss://app.example/tunnel2", "RewriteRule ^/(.*)$", []),
        ("wss://app.example/old/x", "ProxyPass /new", ["path"]),
        ("wss://app.example/away", "<VirtualHost *:443>", ["answer"]),
        ("wss://app.example/forbidden", "<VirtualHost *:443>", ["answer"]),
        ("wss://app.example/inside", "<VirtualHost *:443>", ["route"]),
        ("wss://app.example/never", "<VirtualHost *:443>", ["route"]),
        ("wss://app.example/h2", "ProxyPass /h2", ["h2"]),
        ("wss://app.example/moved", "ProxyPass /moved", ["path"]),
        ("wss://app.example/match/x", "ProxyPassMatch ^/match/(\\w+)$", ["upgrade"]),
        ("wss://app.example/many", "ProxyPass /many", ["upgrade"]),
        ("wss://app.example/inner/x", "<Location /inner>", ["credentials"]),
        ("wss://app.example/closed", "<VirtualHost *:443>", ["answer"]),
        ("wss://app.example/private/x", "<VirtualHost *:443>", ["answer"]),
        ("wss://app.example:8443/good", "ProxyPass /good", []),
    ],
)
def test_what_a_url_meets(tmp_path, url, place, expected) -> None:
    found = met_in(tmp_path, FILES, url)
    assert (found.words, kinds(found)) == (place, expected)


def test_what_is_not_known_is_said(tmp_path) -> None:
    found = met_in(tmp_path, FILES, "wss://app.example/inside")
    assert any("REMOTE_ADDR" in one for one in found.unsure)
    assert any("port 8443" in one for one in met_in(tmp_path, FILES, "wss://app.example:8443/").unsure)
    lost = read_in(
        tmp_path / "lost", {"httpd.conf": "Include gone.conf\n<VirtualHost *:80>\n</VirtualHost>\n"}
    )
    assert any("gone.conf: it is not there" in one for one in lost.problems)


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/ws", "upgrade"),
        ("/plain/x", "upgrade"),
        ("/h2", "h2"),
        ("/moved", "path"),
        ("/many", "upgrade"),
        ("/inner", "credentials"),
    ],
)
def test_the_diff_mends_it_and_applies(tmp_path, path, kind) -> None:
    read = read_in(tmp_path, FILES)
    url = f"wss://app.example{path}"
    found = read.meets(parse_target(url)[0])
    assert found is not None
    assert kind not in kinds(mend(read, found.defects[0], url))
    git_applies(read, found.defects[0])


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ("ProxyPass / http://a/", ["upgrade", "host"]),
        ("ProxyPreserveHost Off\nProxyPass / http://a/ upgrade=websocket", ["host"]),
        ("ProxyPreserveHost On\nProxyPass / http://a/ upgrade=websocket", []),
        (
            "ProxyPreserveHost On\nProxyPass / http://a/ upgrade=websocket\nSetEnv force-proxy-request-1.0 1",
            ["upgrade"],
        ),
        (
            "ProxyPreserveHost On\nProxyPass / http://a/ upgrade=websocket\nRequestHeader unset Upgrade",
            ["upgrade"],
        ),
        ("ProxyPreserveHost On\nProxyPass / ws://a/", []),
        ("LoadModule proxy_module x.so\nProxyPreserveHost On\nProxyPass / ws://a/", ["answer"]),
        (
            "LoadModule x_module x.so\n<IfModule mod_proxy.c>\nProxyPass / http://a/\n</IfModule>\nListen 80",
            ["route"],
        ),
        (
            "<IfModule !mod_x.c>\nProxyPass / http://b/\n</IfModule>\nProxyPreserveHost On\nProxyPass / ws://a/",
            [],
        ),
    ],
)
def test_the_main_server(tmp_path, config, expected) -> None:
    found = met_in(tmp_path, {"httpd.conf": config + "\n"}, "ws://a.example/")
    assert kinds(found) == expected
    for one in found.defects:
        if one.edits:
            read = read_in(tmp_path, {"httpd.conf": config + "\n"})
            assert one.kind not in kinds(mend(read, one, "ws://a.example/"))


def test_before_its_parameter_there_was_another_scheme(tmp_path) -> None:
    found = met_in(tmp_path, FILES, "wss://app.example/ws", version=(2, 4, 38))
    text = edited(SITES, found.defects[0].at.file, found.defects[0].edits)
    assert "ProxyPass /ws ws://127.0.0.1:3000/ws\n" in text


@pytest.mark.parametrize(
    ("path", "seen", "explains"),
    [
        ("/tunnel", "300.2 s", "'Timeout 300'"),
        ("/good", "300.2 s", "'Timeout 300', which is longer than 'timeout=20'"),  # of both sides
        ("/good", "20.1 s", None),
        ("/good", "60.1 s", None),
    ],
)
def test_the_timeout_that_ended_it(tmp_path, path, seen, explains) -> None:
    read = read_in(tmp_path, FILES)
    target = parse_target(f"wss://app.example{path}")[0]
    better, explained = with_configuration(judgement("WS-DROP-002", f"silence {seen}"), (read,), target)
    if explains is None:
        assert explained is None
        return
    assert explained is not None
    assert explains in better.headline
    git_applies(read, explained.defect)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a b", ("a", "b")),
        ('a "b c" d', ("a", "b c", "d")),
        ("a 'b c'", ("a", "b c")),
        ('a "b \\" c"', ("a", 'b " c')),
        ('a ""', ("a", "")),
        ("", ()),
    ],
)
def test_words(text, expected) -> None:
    assert words_of(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "<VirtualHost *:80>\n" * 2000,
        "</VirtualHost>\n" * 50 + "ProxyPass\nProxyPass /\nRewriteRule\nListen\n",
        (
            "<VirtualHost>\nServerName\nProxyPass /\n<Location>\n<LocationMatch "
            "(a+)+$>\nRequire\n</LocationMatch>\n</Location>\n"
        ),
        (
            "RewriteEngine on\nRewriteCond\nRewriteCond %{HTTP:Upgrade}\nRewriteRule "
            "((a*)*)*$ $9%9 [P,,R=x\nListen 80\n"
        ),
        "Include httpd.conf\nDefine A ${A}${A}\nProxyPass / ${A}\n",
        "ProxyPass / \\\n" * 5000,
        "RewriteEngine on\nRewriteRule ^/(.*)$ /$1$1 [N]\nProxyPass / !\n",
    ],
)
def test_odd_files_end_in_an_answer(tmp_path, text) -> None:
    ends_in_an_answer(tmp_path / "httpd.conf", text, "ws://h/" + "a" * 40)


MACROS = """<IfModule mod_macro.c>
<Macro Site $name $port $p>
    <VirtualHost *:443>
        ServerName $name
        ProxyPreserveHost On
        RewriteEngine On
        RewriteCond %{HTTP:Upgrade} =websocket [NC]
        RewriteRule ^/rw(.*)$ http://127.0.0.1:$port/rw$1 [P]
        Use Inside /deep
        ProxyPass $p http://127.0.0.1:$port$p
    </VirtualHost>
</Macro>
</IfModule>
<Macro Inside $path>
    ProxyPass $path http://127.0.0.1:1$path
</Macro>
Use Site other.example 3001 /ws
Use Site app.example 3000 /ws
"""


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("/ws", "ProxyPass $p http://127.0.0.1:$port$p"),
        ("/rw", "RewriteRule ^/rw(.*)$ http://127.0.0.1:$port/rw$1 [P]"),
        ("/deep", "ProxyPass $path http://127.0.0.1:1$path"),
    ],
)
def test_a_macro_is_mended_where_it_is_written(tmp_path, path, line) -> None:
    url = f"wss://app.example{path}"
    read = read_in(tmp_path, {"httpd.conf": MACROS})
    assert read.problems == ()
    met = read.meets(parse_target(url)[0])
    assert met is not None
    (defect,) = met.defects
    assert (defect.kind, MACROS.splitlines()[defect.at.line - 1].strip()) == ("upgrade", line)
    assert kinds(mend(read, defect, url)) == []
    git_applies(read, defect)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("<Macro A>\nUse A\n</Macro>\nUse A\nDocumentRoot /", "it uses itself"),
        ("<Macro A $x>\nProxyPass / $x\n</Macro>\nUse A\nDocumentRoot /", "1 arguments are needed, not 0"),
        ("Use Nothing a\nDocumentRoot /", "no such macro"),
        ("DocumentRoot /\n<Macro A $x>\nProxyPass / $x", "<Macro> is not closed"),
        (
            "<Macro A>\n" + "DocumentRoot /\n" * 500 + "</Macro>\n" + "Use A\n" * 100,
            "too many macros",
        ),
    ],
)
def test_macros_that_httpd_refuses_are_said(tmp_path, text, problem) -> None:
    read = read_in(tmp_path, {"httpd.conf": text})
    assert any(problem in one for one in read.problems), read.problems


SECTIONS = """ProxyPreserveHost On
SetEnvIfNoCase Upgrade ^websocket$ is_socket
SetEnvIf Request_URI ^/env-ok fine
SetEnvIf X-Never yes never
SetEnvIf User-Agent Bad unknown
ProxyPass / http://127.0.0.1:3000/ upgrade=websocket
<Location />
    <If "%{HTTP:Upgrade} == 'websocket' && %{REQUEST_URI} =~ m#^/if-denied#">
        Require all denied
    </If>
    <If "%{REQUEST_URI} =~ m#^/else#i && -z %{QUERY_STRING}">
        Require all granted
    </If>
    <ElseIf "%{REQUEST_URI} == '/else-if'">
        Require all denied
    </ElseIf>
    <Else>
        <If "%{REQUEST_URI} in { '/nested', '/other' }">
            RequestHeader unset Upgrade
        </If>
    </Else>
    <If "%{REMOTE_ADDR} -ipmatch '10.0.0.0/8' && %{REQUEST_URI} =~ m#^/unknown#">
        Require all denied
    </If>
</Location>
<Location /env-denied>
    <RequireAll>
        Require all granted
        Require not env is_socket
    </RequireAll>
</Location>
<Location /env-ok>
    <RequireAny>
        Require ip 10.0.0.0/8
        Require env fine
    </RequireAny>
</Location>
<Location /env-never>
    Require env never
</Location>
<Location /env-unknown>
    Require env unknown
</Location>
<Location /none>
    <RequireNone>
        Require env is_socket
    </RequireNone>
</Location>
<Location /expr>
    Require expr %{HTTP:Upgrade} !~ /websocket/
</Location>
<Location /method>
    Require method POST
</Location>
<Location /old>
    Order allow,deny
    Deny from env=is_socket
</Location>
<Location /moved>
    Redirect 307 https://else.example/
</Location>
<Location /handled>
    SetHandler "proxy:http://127.0.0.1:3000"
</Location>
"""


@pytest.mark.parametrize(
    ("path", "expected", "words"),
    [
        ("/ws", [], ""),
        ("/if-denied", ["answer"], "'Require all denied'"),
        ("/else", [], ""),
        ("/ELSE", [], ""),
        ("/else-if", [], ""),  # the If before it holds as well
        ("/else?x=1", [], ""),
        ("/nested", ["upgrade"], "RequestHeader unset Upgrade"),
        ("/unknown", [], ""),
        ("/env-denied", ["answer"], "'Require not env is_socket'"),
        ("/env-ok", [], ""),
        ("/env-never", ["answer"], "'Require env never'"),
        ("/env-unknown", [], ""),
        ("/none", ["answer"], "RequireNone"),
        ("/expr", ["answer"], "Require expr"),
        ("/method", ["answer"], "Require method POST"),
        ("/old", ["answer"], "Deny from env=is_socket"),
        ("/moved", ["answer"], "Redirect 307"),
    ],
)
def test_sections_decide_by_what_a_handshake_says(tmp_path, path, expected, words) -> None:
    found = met_in(tmp_path, {"httpd.conf": SECTIONS}, f"ws://localhost{path}")
    assert kinds(found) == expected
    assert words in "".join(one.words for one in found.defects)
    assert bool(found.unsure) == (path == "/unknown"), found.unsure


def test_a_section_that_is_not_known_is_said(tmp_path) -> None:
    found = met_in(tmp_path, {"httpd.conf": SECTIONS}, "ws://localhost/unknown")
    assert any("-ipmatch" in one for one in found.unsure)


HTACCESS = """RewriteEngine On
RewriteCond %{HTTP:Upgrade} =websocket [NC]
RewriteRule ^socket/(.*)$ http://127.0.0.1:3000/socket/$1 [P,L]
RewriteRule ^good(.*)$ ws://127.0.0.1:3000/good$1 [P,L]
RewriteRule ^gone - [G]
Redirect 301 /old https://app.example/new
RewriteCond %{REQUEST_FILENAME} !-f
RewriteRule . /index.html [L]
"""


@pytest.mark.parametrize(
    ("path", "expected", "line"),
    [
        ("/socket/1", ["upgrade"], "RewriteRule ^socket"),
        ("/good", [], ""),
        ("/gone", ["answer"], "RewriteRule ^gone"),
        ("/old", ["answer"], "Redirect 301"),
        ("/closed/x", ["answer"], "Require all denied"),
        ("/index.html", ["route"], "DocumentRoot"),
    ],
)
@pytest.mark.parametrize("is_alone", [False, True])
def test_htaccess(tmp_path, path, expected, line, is_alone) -> None:
    files = {
        "html/.htaccess": HTACCESS,
        "html/closed/.htaccess": "Require all denied\n",
        "html/index.html": "",
    }
    main = (
        f"DocumentRoot {tmp_path}/html\nProxyPreserveHost On\n"
        f"<Directory {tmp_path}>\nAllowOverride All\nRequire all granted\n</Directory>\n"
    )
    if not is_alone:
        files["httpd.conf"] = main
    names = ("html/.htaccess", "html/closed/.htaccess") if is_alone else ("httpd.conf",)
    read = read_in(tmp_path, files, *names)
    url = f"ws://localhost{path}"
    met = read.meets(parse_target(url)[0])
    assert met is not None
    defects = [one for one in met.defects if one.kind != "host"]
    assert [one.kind for one in defects] == expected
    for one in defects if not is_alone or expected != ["route"] else ():
        text = {**files, "httpd.conf": main}[one.at.file.removeprefix(f"{tmp_path}/")].splitlines()
        assert line in text[one.at.line - 1]
    if expected == ["upgrade"]:
        assert [one.kind for one in mend(read, defects[0], url).defects if one.kind != "host"] == []
        git_applies(read, defects[0])
    assert any("is taken for the DocumentRoot" in one for one in met.unsure) == is_alone


def test_htaccess_says_nothing_where_it_may_not(tmp_path) -> None:
    files = {"html/.htaccess": "Require all denied\n", "httpd.conf": f"DocumentRoot {tmp_path}/html\n"}
    assert kinds(met_in(tmp_path, files, "ws://localhost/ws", "httpd.conf")) == ["route"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("true", True),
        ("! ( false || true )", False),
        ("%{HTTP:Upgrade} == 'websocket'", True),
        ("req('Upgrade') =~ /^WEBSOCKET$/i", True),
        ("tolower(%{HTTP_HOST}) in {'a', 'localhost'}", True),
        ("-n %{QUERY_STRING}", False),
        ("%{SERVER_PORT} -eq 80 && %{SERVER_PORT} lt 443", True),
        ("%{REQUEST_URI} != '/ws' && %{REMOTE_ADDR} == 'x'", False),
        ("%{REMOTE_ADDR} == 'x' || %{REQUEST_URI} == '/ws'", True),
        ("'%{REQUEST_URI}x' == '/wsx'", True),
        ("%{REMOTE_ADDR} == 'x'", None),
        ("-R '10.0.0.0/8'", None),
        ("%{TIME_HOUR} -gt 8", None),
        ("%{HTTP:Upgrade} ==", None),
        ("(" * 200, None),
        ("! " * 200 + "true", None),
        ("'unclosed", None),
        ("", None),
    ],
)
def test_expressions(tmp_path, text, expected) -> None:
    request = Request(parse_target("ws://localhost/ws")[0], [])
    try:
        assert holds(text, request.variable) is expected
    except UndecidedError:
        assert expected is None


@pytest.mark.parametrize("path", ["/ws", "/ws/room"])
@pytest.mark.parametrize("parameter", ["", " upgrade=websocket"])
def test_a_pattern_whose_group_may_be_empty(tmp_path, path, parameter) -> None:
    text = f"ProxyPreserveHost On\nProxyPassMatch ^/ws(.*)$ http://a/ws$1{parameter}\n"
    read = read_in(tmp_path, {"httpd.conf": text}, "httpd.conf")
    found = read.meets(parse_target(f"ws://h{path}")[0])
    assert found is not None
    # httpd 2.4.71: what a parameter says does not hold where the group is empty.
    assert kinds(found) == ([] if parameter and path != "/ws" else ["upgrade"])
    if found.defects:
        assert kinds(mend(read, found.defects[0], f"ws://h{path}")) == []
        git_applies(read, found.defects[0])


@pytest.mark.parametrize(
    ("lines", "rule"),
    [("RemoteIPProxyProtocol On", "WS-HS-035"), ("SSLVerifyClient require", "WS-TLS-015")],
)
def test_what_ends_a_connection_before_its_request(tmp_path, lines, rule) -> None:
    text = "ProxyPreserveHost On\nProxyPass / http://a/ upgrade=websocket\n"
    for more, is_found in ((f"{lines}\n", True), ("", False)):
        read = read_in(tmp_path, {"httpd.conf": more + text}, "httpd.conf")
        found = with_configuration(judgement(rule, "seen"), (read,), parse_target("ws://h/ws")[0])[1]
        assert (found is not None) == is_found


def test_a_page_of_its_own_may_be_what_was_answered(tmp_path) -> None:
    text = "ProxyPass / http://a/\n<Location /ws>\nRequire all denied\n</Location>\n"
    said = judgement("WS-HS-010", "403", "the answer says: closed on Sundays")
    for more, is_found in (("", False), ("ErrorDocument 403 /closed.html\n", True)):
        read = read_in(tmp_path, {"httpd.conf": more + text}, "httpd.conf")
        assert (with_configuration(said, (read,), parse_target("ws://h/ws")[0])[1] is not None) == is_found


def test_bytes_that_are_not_utf_8_leave_a_pattern_undecided(tmp_path) -> None:
    text = """<VirtualHost *:80>
    ProxyPassMatch ^/caf\xe9/(.*)$ http://127.0.0.1:3000/$1
    ProxyPass / http://127.0.0.1:3000/ upgrade=websocket
</VirtualHost>
"""
    (tmp_path / "a.conf").write_bytes(text.encode("latin-1"))
    (read,) = read_configurations([str(tmp_path / "a.conf")])
    met = read.meets(parse_target("ws://h/ws")[0])
    assert met is not None
    assert "answer" not in kinds(met)
    with pytest.raises(UndecidedError):
        search("^/caf", "/caf\udce9")
