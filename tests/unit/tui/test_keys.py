"""The key table: what users change in it, and what the docs say of it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from textual.binding import Binding

from wsinspect.errors import UsageError
from wsinspect.tui.keys import BY_ID, FOOTER, PANE_BY_ID, PANE_FOOTER, read_keymap
from wsinspect.tui.screens.findings import FindingsPane
from wsinspect.tui.screens.intercept import HeldPane
from wsinspect.tui.screens.timeline import TimelinePane
from wsinspect.tui.widgets.bar import BarInput
from wsinspect.tui.widgets.base import LinePane
from wsinspect.tui.widgets.connections import ConnectionsPane
from wsinspect.tui.widgets.frames import FrameTable
from wsinspect.tui.widgets.inspector import InspectorPane
from wsinspect.tui.widgets.overview import OverviewPane
from wsinspect.tui.widgets.playback import PlaybackPane

PANES = (
    LinePane,
    ConnectionsPane,
    OverviewPane,
    FrameTable,
    InspectorPane,
    PlaybackPane,
    TimelinePane,
    FindingsPane,
    HeldPane,
    BarInput,
)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[keys]\nnothing = 'x'", "unknown key binding 'nothing'"),
        ("[keys", "key map"),
        ("keys = 1", "must be a table"),
        ("[keys]\nquit = 1", "quit"),
    ],
)
def test_a_wrong_key_map_says_what_is_wrong(tmp_path, text, words):
    path = tmp_path / "keys.toml"
    path.write_text(text)
    with pytest.raises(UsageError, match=words):
        read_keymap(path, frozenset({"quit"}))


def test_a_key_map_is_read(tmp_path):
    path = tmp_path / "keys.toml"
    assert read_keymap(path, frozenset()) == {}
    path.write_text('[keys]\n"frames.follow" = "f8"')
    assert read_keymap(path, frozenset({"frames.follow"})) == {"frames.follow": "f8"}


def test_every_id_that_docs_name_is_a_binding():
    docs = (Path(__file__).parents[3] / "docs" / "keys.md").read_text("utf-8")
    known = set(BY_ID)
    for kind in PANES:
        known |= {one.id for one in kind.BINDINGS if isinstance(one, Binding) and one.id}
    named = set(re.findall(r"`([a-z]+\.[a-z_]+)`", docs)) - {"keys.toml"}
    assert named <= known
    own = {one.id for kind in PANES for one in kind.BINDINGS if isinstance(one, Binding)}
    assert {one for one in own if one} <= named


def test_keys_of_panes_in_the_footer_are_those_of_the_panes():
    bound = {one.id: one for kind in PANES for one in kind.BINDINGS if isinstance(one, Binding)}
    for key in PANE_BY_ID.values():
        assert (bound[key.id].key, bound[key.id].action) == (key.keys, key.action)
    for keys in (*PANE_FOOTER.values(), *FOOTER.values()):
        assert {key.id for key in keys} <= set(BY_ID) | set(PANE_BY_ID)
        assert keys[0].id in ("help", "back", "bar.apply")


def test_ids_of_earlier_versions_still_work(tmp_path):
    path = tmp_path / "keys.toml"
    path.write_text('[keys]\n"scrubber.play" = "k"\n"frames.freeze" = "p"\n')
    known = frozenset({"playback.play", "frames.pause"})
    assert read_keymap(path, known) == {"playback.play": "k", "frames.pause": "p"}
