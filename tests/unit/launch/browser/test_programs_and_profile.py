"""Which browser is found, what starts it, and what lies in its profile."""

from __future__ import annotations

import stat
import sys
import tempfile
from pathlib import Path

import pytest

from wsinspect.cli.browser import split_arguments
from wsinspect.errors import LocalError, UsageError
from wsinspect.launch.browser.profile import prepare_profile, throw_away_folder, user_js
from wsinspect.launch.browser.programs import Browser, Family, Launch, command_line, find_browser, page_url

CHROMIUM = Browser("chromium", Path("/usr/bin/chromium"), Family.CHROMIUM)
FIREFOX = Browser("firefox", Path("/usr/bin/firefox"), Family.FIREFOX)


@pytest.fixture
def path(tmp_path, monkeypatch):
    """A folder that is all of PATH, with no Mac applications beside it."""
    place = tmp_path / "bin"
    place.mkdir()
    monkeypatch.setenv("PATH", str(place))
    monkeypatch.setattr(sys, "platform", "linux")
    return place


def program(folder: Path, name: str, text: str = "#!/bin/sh\n") -> Path:
    file = folder / name
    file.write_text(text)
    file.chmod(0o755)
    return file


def test_without_a_browser_one_line_says_what_to_install(path):
    with pytest.raises(LocalError) as caught:
        find_browser(None)
    assert str(caught.value) == (
        "no Chromium, Chrome, Edge or Firefox was found"
        " (install one, for example with apt-get install chromium, or name one with --browser PATH)"
    )
    assert caught.value.exit_code == 3


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("chromium", "apt-get install chromium"),
        ("Firefox", "apt-get install firefox-esr or firefox"),
        ("edge", "--browser takes chromium, chrome, edge, firefox or a path"),
        ("/no/such", "--browser takes chromium, chrome, edge, firefox or a path"),
    ],
)
def test_a_named_browser_that_is_missing(path, name, hint):
    program(path, "google-chrome")
    with pytest.raises(LocalError) as caught:
        find_browser(name)
    assert str(caught.value) == f"no browser {name!r} was found ({hint})"


def test_chromium_comes_first_and_firefox_last(path):
    for name in ("firefox", "microsoft-edge", "google-chrome", "chromium-browser"):
        program(path, name)
    found = []
    for name in ("chromium-browser", "google-chrome", "microsoft-edge", "firefox"):
        browser = find_browser(None)
        assert browser.program == path / name
        found.append((browser.name, browser.family))
        browser.program.unlink()
    assert found == [
        ("chromium", Family.CHROMIUM),
        ("chrome", Family.CHROMIUM),
        ("edge", Family.CHROMIUM),
        ("firefox", Family.FIREFOX),
    ]


def test_a_family_is_known_by_the_name_of_a_path_or_what_it_links_to(path, tmp_path):
    real = program(tmp_path, "firefox-140")
    (path / "mine").symlink_to(real)
    assert find_browser("mine").family is Family.FIREFOX
    assert find_browser(str(program(tmp_path, "LibreWolf"))).family is Family.FIREFOX
    assert find_browser(str(program(tmp_path, "brave"))) == Browser(
        "brave", tmp_path / "brave", Family.CHROMIUM
    )


def test_a_snap_is_known_by_its_link_or_its_script(path, tmp_path):
    snap = program(tmp_path, "snap", "\x7fELF")
    (path / "chromium").symlink_to(snap)
    assert find_browser("chromium").snap == "chromium"
    program(path, "firefox", '#!/bin/sh\nexec /snap/bin/firefox "$@"\n')
    assert find_browser("firefox").snap == "firefox"


def test_chromium_gets_everything_on_its_command_line():
    launch = Launch(Path("/p"), "127.0.0.1:8080", "KEY=", "http://x/", ("--headless", "--lang=de"))
    words = command_line(CHROMIUM, launch, is_root=False)
    assert words[0] == "/usr/bin/chromium"
    assert {
        "--user-data-dir=/p",
        "--proxy-server=http://127.0.0.1:8080",
        "--proxy-bypass-list=<-loopback>",
        "--ignore-certificate-errors-spki-list=KEY=",
        "--no-first-run",
    } <= set(words)
    assert "--no-sandbox" not in words
    assert words[-3:] == ["--headless", "--lang=de", "http://x/"]
    assert "--no-sandbox" in command_line(CHROMIUM, launch, is_root=True)


def test_firefox_gets_its_profile():
    words = command_line(FIREFOX, Launch(Path("/p"), "127.0.0.1:8080", "KEY="), is_root=True)
    assert words == ["/usr/bin/firefox", "--no-remote", "--new-instance", "--profile", "/p", "about:blank"]


def test_firefox_is_proxied_for_loopback_too():
    lines = user_js("127.0.0.1", 8080).splitlines()
    assert all(line.startswith('user_pref("') and line.endswith(");") for line in lines)
    assert {
        'user_pref("network.proxy.type", 1);',
        'user_pref("network.proxy.ssl", "127.0.0.1");',
        'user_pref("network.proxy.ssl_port", 8080);',
        'user_pref("network.proxy.allow_hijacking_localhost", true);',
        'user_pref("network.proxy.no_proxies_on", "");',
    } <= set(lines)


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("http://localhost:3000/a?b#c", "http://localhost:3000/a?b#c"),
        ("localhost:3000", "http://localhost:3000"),
        ("example.org/x", "http://example.org/x"),
        ("127.0.0.1:80/x:y", "http://127.0.0.1:80/x:y"),
        ("[::1]:80", "http://[::1]:80"),
        ("ws://h:1/socket", "http://h:1/socket"),
        ("WSS://h/socket", "https://h/socket"),
        ("about:config", "about:config"),
        ("file:///tmp/x.html", "file:///tmp/x.html"),
        ("data:text/html,x", "data:text/html,x"),
    ],
)
def test_an_address_may_be_written_short(text, url):
    assert page_url(text) == url


@pytest.mark.parametrize(
    "text",
    [
        "not a url",
        "http://",
        "https:///x",
        "ws://",
        "http:",
        "http://h:99999",
        "h:0",
        "http://[::1",
        "a\tb",
        "<x>",
    ],
)
def test_what_no_browser_could_open_is_refused(text):
    with pytest.raises(UsageError, match="not a page URL"):
        page_url(text)


def test_spaces_around_an_address_and_in_its_path_are_none_of_its_host():
    assert page_url(" localhost:1/a b ") == "http://localhost:1/a b"


@pytest.mark.parametrize(
    ("arguments", "url", "rest"),
    [
        ((), None, ()),
        (("x.org",), "x.org", ()),
        (("--headless",), None, ("--headless",)),
        (("x.org", "--headless", "y.org"), "x.org", ("--headless", "y.org")),
    ],
)
def test_arguments_after_the_dashes_go_to_the_browser(arguments, url, rest):
    assert split_arguments(arguments) == (url, rest)


def test_the_profile_is_private_and_is_gone_afterwards(tmp_path):
    with throw_away_folder(CHROMIUM) as folder:
        prepare_profile(CHROMIUM, folder / "profile", ("127.0.0.1", 1), tmp_path)
        (folder / "profile/Default").mkdir()
        (folder / "profile/Default/Cookies").touch()
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert list((folder / "profile").iterdir()) == [folder / "profile/Default"]
    assert not folder.exists()


def test_the_profile_of_a_snap_is_where_it_can_see_it(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    with throw_away_folder(Browser("firefox", Path("/f"), Family.FIREFOX, "firefox")) as folder:
        assert folder.parent == tmp_path / "snap/firefox/common"


def test_a_long_temporary_folder_is_not_used(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / ("x" * 60)))
    with throw_away_folder(CHROMIUM) as folder:
        assert folder.parent == Path("/tmp")


def test_firefox_without_certutil_is_one_line(path, tmp_path):
    with pytest.raises(LocalError) as caught:
        prepare_profile(FIREFOX, tmp_path / "profile", ("127.0.0.1", 1), tmp_path / "ca.pem")
    assert "apt-get install libnss3-tools" in str(caught.value)


def test_what_certutil_complains_of_is_said(path, tmp_path):
    program(
        path,
        "certutil",
        '#!/bin/sh\n[ "$1" = -N ] && exit 0\necho "bad" >&2\necho "database" >&2\nexit 255\n',
    )
    with pytest.raises(LocalError) as caught:
        prepare_profile(FIREFOX, tmp_path / "profile", ("127.0.0.1", 1), tmp_path / "ca.pem")
    assert str(caught.value) == "certutil -A failed: bad database"


def test_a_user_s_list_of_features_to_leave_out_is_joined_with_ours():
    arguments = ("--disable-features=Theirs,Others", "--window-size=9,9")
    launch = Launch(Path("/p"), "h:1", "k", arguments=arguments)
    words = command_line(CHROMIUM, launch, is_root=False)
    (features,) = (one for one in words if one.startswith("--disable-features="))
    assert features.endswith(",Translate,Theirs,Others")
    assert "NetworkTimeServiceQuerying" in features
    assert "--window-size=9,9" in words
    assert not any(
        "features" in one for one in command_line(FIREFOX, Launch(Path("/p"), "h:1", "k"), is_root=False)
    )
