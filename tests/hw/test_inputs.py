"""What is read from outside: regular files only, within limits, and one line where it is not."""

import os
import re

import pytest

from hw.errors import InputError
from hw.inputs import parse_json, parse_toml, read_bytes, read_text, shown, whole


def test_only_regular_files_are_read(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path, kind in ((tmp_path / "pipe", "a pipe or a device"), ("/dev/zero", "a pipe or a device"), (tmp_path, "a folder")):
        with pytest.raises(InputError, match=f"must be a regular file, not {kind}"):
            read_bytes(path)
    with pytest.raises(InputError, match="cannot be read: No such file"):
        read_bytes(tmp_path / "missing")


def test_files_have_a_largest_size_and_links_are_followed(tmp_path):
    (tmp_path / "file").write_bytes(b"12345")
    (tmp_path / "link").symlink_to("file")
    assert read_bytes(tmp_path / "link", most_bytes=5) == b"12345"
    with pytest.raises(InputError, match="too large: at most 4 bytes"):
        read_bytes(tmp_path / "link", most_bytes=4)


def test_text_has_one_kind_of_line_end(tmp_path):
    (tmp_path / "file").write_bytes("ä\r\nb\rc".encode())
    assert read_text(tmp_path / "file") == "ä\nb\nc"
    (tmp_path / "file").write_bytes(b"\xff")
    with pytest.raises(InputError, match="not UTF-8 text"):
        read_text(tmp_path / "file")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("9" * 5000, "f: number 99.*… is too large: at most 9,007,199,254,740,992"),
        ("-9007199254740993", "is too large"),
        ("[" * 100_000, "it nests too deep"),
        ("NaN", "f: NaN is no number of JSON"),
        ("[1,\n2", "f:2: not JSON"),
    ],
)
def test_json_is_bounded(text, message):
    assert parse_json("[9007199254740992, -9007199254740992, 1.5]", "f") == [2**53, -(2**53), 1.5]
    with pytest.raises(InputError, match=message):
        parse_json(text, "f")


@pytest.mark.parametrize("text", ["a = " + "[" * 100_000, "a = " + "9" * 5000, "a = 2000-99-99T00:00:00", "a = "])
def test_toml_is_bounded(text):
    assert parse_toml("a = 0x10", "f") == {"a": 16}
    with pytest.raises(InputError, match=r"^f: "):
        parse_toml(text, "f")


def test_whole_numbers_are_bounded_however_they_are_written():
    assert (whole("0", 7), whole(" 007 ", 7, least=1), whole("0" * 9999 + "7", 7)) == (0, 7, 7)
    for text, message in (
        ("8", "8 is too large: at most 7"),
        ("9" * 5000, "too large: at most 7"),
        ("-1", "at least 1, not '-1'"),
    ):
        with pytest.raises(InputError, match=message):
            whole(text, 7, least=1)
    for text in ("", "1.0", "1e3", "²", "١", "0x1", "1_0"):  # noqa: RUF001 (digits that are none)
        with pytest.raises(InputError, match="must be a whole number"):
            whole(text, 7)


def test_a_wrong_value_is_shown_short():
    assert shown("a") == "'a'" and shown([1, 2]) == "[1, 2]"
    assert shown("x" * 100) == "'" + "x" * 59 + "…"
    assert re.fullmatch("a int too large to show", shown(10**5000))
