"""Which browser there is, and the command that starts it: proxied, loopback too, in a profile of its own.

Contract: nothing is started or written here. A browser is of Chromium's or Firefox's kind, by its name. The
profile's own files are `browser_profile`'s, the processes `browser_session`'s.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from wsinspect.errors import LocalError, UsageError


class Family(Enum):
    """What decides the command line."""

    CHROMIUM = "chromium"
    FIREFOX = "firefox"


#: The names of `--browser`, in the order in which one is looked for, and the programs that answer to them.
PROGRAMS = {
    "chromium": ("chromium", "chromium-browser"),
    "chrome": ("google-chrome-stable", "google-chrome", "chrome"),
    "edge": ("microsoft-edge-stable", "microsoft-edge", "msedge"),
    "firefox": ("firefox", "firefox-esr"),
}
_MAC_PROGRAMS = {
    "chromium": "Chromium.app/Contents/MacOS/Chromium",
    "chrome": "Google Chrome.app/Contents/MacOS/Google Chrome",
    "edge": "Microsoft Edge.app/Contents/MacOS/Microsoft Edge",
    "firefox": "Firefox.app/Contents/MacOS/firefox",
}
_FIREFOX_KIN = ("firefox", "librewolf", "waterfox", "iceweasel")
_SNAP = re.compile(rb"/snap/bin/([a-z0-9-]+)")

#: No first-run pages, and as few requests of the browser's own as possible.
_CHROMIUM_FLAGS = (
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-sync",
    "--disable-client-side-phishing-detection",
    "--disable-component-extensions-with-background-pages",
    "--disable-domain-reliability",
    "--metrics-recording-only",
    "--disable-search-engine-choice-screen",
    "--password-store=basic",
    "--use-mock-keychain",
)
#: What asks servers of the browser's maker, as Playwright and chrome-launcher have it. What changes how a
#: page behaves, as the throttling of timers in the background, stays as the user's own browser has it.
_CHROMIUM_NOT: Final = (
    "AutofillServerCommunication",
    "CertificateTransparencyComponentUpdater",
    "DialMediaRouteProvider",
    "InterestFeedContentSuggestions",
    "MediaRouter",
    "NetworkTimeServiceQuerying",
    "OptimizationGuideModelDownloading",
    "OptimizationHints",
    "Translate",
)
_DISABLE_FEATURES: Final = "--disable-features="


@dataclass(frozen=True)
class Browser:
    """A browser on this machine.

    Attributes:
        name: as the user knows it.
        snap: the name of its snap, which sees neither /tmp nor hidden folders; None for others.
    """

    name: str
    program: Path
    family: Family
    snap: str | None = None


@dataclass(frozen=True)
class Launch:
    """What the command line is made of.

    Attributes:
        profile: an empty or prepared folder, thrown away afterwards.
        proxy: "host:port" of an HTTP proxy; None leaves what the system has.
        spki_sha256: the public key that Chromium is to accept, base64.
        url: None for a blank page.
        arguments: the user's own, passed on.
    """

    profile: Path
    proxy: str | None
    spki_sha256: str
    url: str | None = None
    arguments: Sequence[str] = ()


def find_browser(wanted: str | None) -> Browser:
    """The browser of that name or path, or the first one there is.

    Raises:
        LocalError: there is none.
    """
    if wanted is None:
        for name in PROGRAMS:
            if program := _find(name):
                return _describe(name, program)
        raise LocalError(
            "no Chromium, Chrome, Edge or Firefox was found",
            hint="install one, for example with apt-get install chromium, or name one with --browser PATH",
        )
    name = wanted.lower()
    program = _find(name) if name in PROGRAMS else _which(wanted)
    if program is None:
        raise LocalError(f"no browser {wanted!r} was found", hint=_advice(name))
    return _describe(name if name in PROGRAMS else program.name, program)


def _advice(name: str) -> str:
    package = {"chromium": "chromium", "firefox": "firefox-esr or firefox"}.get(name)
    known = f"--browser takes {', '.join(PROGRAMS)} or a path"
    return f"apt-get install {package}" if package else known


def _find(name: str) -> Path | None:
    for program in PROGRAMS[name]:
        if found := _which(program):
            return found
    if sys.platform == "darwin":
        for folder in (Path("/Applications"), Path("~/Applications").expanduser()):
            if (program_path := folder / _MAC_PROGRAMS[name]).exists():
                return program_path
    return None


def _which(program: str) -> Path | None:
    found = shutil.which(program)
    return Path(found).absolute() if found else None


def _describe(name: str, program: Path) -> Browser:
    names = f"{program.name} {program.resolve().name}".lower()
    is_firefox = any(kin in names for kin in _FIREFOX_KIN)
    return Browser(name, program, Family.FIREFOX if is_firefox else Family.CHROMIUM, _snap(program))


def _snap(program: Path) -> str | None:
    """The snap behind a program: /snap/bin/NAME itself, or a script that starts it."""
    if program.resolve().name == "snap":
        return program.name
    try:
        with program.open("rb") as file:
            start = file.read(4096)
    except OSError:
        return None
    found = _SNAP.search(start) if start.startswith(b"#!") else None
    return found[1].decode() if found else None


#: Without this, Chromium takes no proxy for loopback.
_PROXY_ALL = "--proxy-bypass-list=<-loopback>"


def command_line(browser: Browser, launch: Launch, *, is_root: bool) -> list[str]:
    """The command that opens the browser and stays until it is closed."""
    if browser.family is Family.FIREFOX:
        options = ["--no-remote", "--new-instance", "--profile", str(launch.profile)]
    else:
        options = [
            f"--user-data-dir={launch.profile}",
            *([] if launch.proxy is None else [f"--proxy-server=http://{launch.proxy}", _PROXY_ALL]),
            f"--ignore-certificate-errors-spki-list={launch.spki_sha256}",
            *_CHROMIUM_FLAGS,
            *(["--no-sandbox"] if is_root else []),
        ]
    arguments = launch.arguments if browser.family is Family.FIREFOX else _with_features(launch.arguments)
    return [str(browser.program), *options, *arguments, launch.url or "about:blank"]


def _with_features(arguments: Sequence[str]) -> list[str]:
    """The user's arguments, and one list of features to leave out: Chromium heeds the last one alone."""
    theirs = [one[len(_DISABLE_FEATURES) :] for one in arguments if one.startswith(_DISABLE_FEATURES)]
    others = [one for one in arguments if not one.startswith(_DISABLE_FEATURES)]
    return [_DISABLE_FEATURES + ",".join([*_CHROMIUM_NOT, *theirs]), *others]


def is_root() -> bool:
    """Chromium's sandbox does not work for root."""
    return hasattr(os, "geteuid") and os.geteuid() == 0


_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:(//|(?!\d))")


#: What a browser would search for, or refuse with an error page.
_NO_HOST = re.compile(r"""[\s"<>\\^`{|}]""")


def page_url(text: str) -> str:
    """The address of a page: http is understood, and a WebSocket's URL means the site it is on.

    Raises:
        UsageError: a browser cannot open it.
    """
    url = text.strip()
    for scheme, page in (("ws://", "http://"), ("wss://", "https://")):
        if url.lower().startswith(scheme):
            url = page + url[len(scheme) :]
    url = url if _SCHEME.match(url) else f"http://{url}"
    if url.lower().startswith(("http:", "https:")) and not _has_host(url):
        raise UsageError(f"not a page URL: {text!r}", hint="write http://localhost:3000")
    return url


def _has_host(url: str) -> bool:
    """Whether a URL says where to connect to: a host, and a port only as there are some."""
    try:
        parts = urlsplit(url)
        return bool(parts.hostname) and parts.port != 0 and not _NO_HOST.search(re.split(r"[/?#]", url)[2])
    except (ValueError, IndexError):
        return False


__all__ = ["PROGRAMS", "Browser", "Family", "Launch", "command_line", "find_browser", "is_root", "page_url"]
