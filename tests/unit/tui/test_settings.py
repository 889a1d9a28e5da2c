"""What is remembered between runs, and files that say something else."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from wsinspect.tui.settings import Settings, read_settings, settings_path, write_settings

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.sampled_from(["id", "utc", "lane"]),
    lambda x: st.lists(x, max_size=4) | st.dictionaries(st.sampled_from(["id", "lane", "x"]), x, max_size=3),
    max_leaves=8,
)


def test_what_is_written_is_read_again(tmp_path):
    path = tmp_path / "new" / "timeline.json"
    kept = Settings("textual-light", "utc", ["time", "id"], {"lane": 9}, ["op:close"])
    write_settings(path, kept)
    assert read_settings(path) == kept
    assert [one.name for one in path.parent.iterdir()] == ["timeline.json"]


def test_what_cannot_be_read_is_left_out(tmp_path):
    path = tmp_path / "timeline.json"
    assert read_settings(path) == Settings()
    path.write_bytes(b"\xff{")
    assert read_settings(path) == Settings()
    path.write_text(
        json.dumps({"clock": "moon", "columns": ["id", "id", 3, "x"], "widths": {"id": 0, "op": 5}})
    )
    assert read_settings(path) == Settings(columns=["id"], widths={"op": 5})


@given(st.dictionaries(st.sampled_from(["theme", "clock", "columns", "widths", "filters", "other"]), JSON))
def test_nothing_in_the_file_raises(tmp_path_factory, loaded):
    path = tmp_path_factory.mktemp("settings") / "timeline.json"
    path.write_text(json.dumps(loaded))
    write_settings(path, read_settings(path))


def test_filters_are_saved_once_the_newest_first():
    settings = Settings()
    assert [settings.save_filter(text) for text in ("a", "b", "a")] == [True, True, False]
    assert settings.filters == ["b"]


def test_the_folder_is_the_users(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert settings_path() == tmp_path / "wsinspect" / "timeline.json"
