"""Nothing a stranger wrote can drive the terminal."""

import json

from protocol.printable import one_line, printable
from quern.console import complain, say, say_json, say_table


def test_control_characters_are_shown_not_sent():
    assert printable("a\x1b[2Jb\x07\x9b\r\x7f") == "a\\x1b[2Jb\\x07\\x9b\\x0d\\x7f"


def test_text_with_lines_tabs_and_other_alphabets_stays_as_it_is():
    assert printable("dos\tños\n数 ✓") == "dos\tños\n数 ✓"


def test_marks_that_reorder_a_line_are_shown():
    assert printable("pay \u202e0001 ceiw") == "pay \\u202e0001 ceiw"


def test_what_ends_a_line_somewhere_ends_none_in_a_log():
    assert one_line("a\nb\u2028c\u2029d") == "a\\x0ab\\u2028c\\u2029d"


def test_a_lone_surrogate_can_be_printed(capsys):
    say("x\ud800")
    assert capsys.readouterr().out == "x\\ud800\n"


def test_an_error_is_one_line_on_standard_error(capsys):
    complain("first\nsecond\x1b")
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err == "quern: first second\\x1b\n"


def test_json_is_ascii_and_reads_back(capsys):
    say_json({"text": "\x1b é"})
    out = capsys.readouterr().out
    assert out.isascii()
    assert "\x1b" not in out
    assert json.loads(out) == {"text": "\x1b é"}


def test_a_table_is_aligned_after_escaping(capsys):
    say_table(("A", "B"), [("\x1b", "1"), ("xx", "2")])
    assert capsys.readouterr().out == "A     B\n\\x1b  1\nxx    2\n"
