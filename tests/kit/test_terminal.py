"""What commands print: readable, greppable, and harmless to the terminal it is printed on."""

from __future__ import annotations

import json

import pytest

from kit.terminal import epoch_time, local_time, print_json, print_pairs, print_table, progress, visible

HOSTILE = "日本 \x1b[31mred\x07\r\n\u202eleft\U000e0041"


def test_visible_text_is_what_a_terminal_does_not_obey() -> None:
    shown = visible(HOSTILE)
    assert shown == r"日本 \x1b[31mred\x07\r\n\u202eleft\U000e0041"
    assert shown.isprintable()


def test_json_is_the_same_value_without_control_characters(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"text": HOSTILE})
    printed = capsys.readouterr().out
    assert json.loads(printed) == {"text": HOSTILE}
    assert all(char.isprintable() or char == "\n" for char in printed)
    assert "日本" in printed


def test_table_has_one_line_for_each_row(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("name", "n"), [("a\nb", None), ("c", 12)])
    assert capsys.readouterr().out == "name  n\na\\nb\nc     12\n"


def test_pairs_name_what_goes_on_only_once(capsys: pytest.CaptureFixture[str]) -> None:
    print_pairs([("zone", "one"), ("zone", "two"), ("at", "\x1b")])
    assert capsys.readouterr().out == "zone  one\n      two\nat    \\x1b\n"
    print_pairs([])
    assert capsys.readouterr().out == ""


def test_progress_goes_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    progress("working\x07")
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "working\\x07\n")


def test_times_are_local_with_their_offset() -> None:
    assert epoch_time(1_800_000_000.4)[-6] in "+-"
    assert local_time("2027-01-15T08:00:00Z") == epoch_time(1_800_000_000)
    assert (epoch_time(None), epoch_time(0), local_time(None), local_time("")) == ("", "", "", "")
