"""The directory of a program: what it may hold in the place of what it should."""

from __future__ import annotations

import os
import socket
import threading

import psutil
import pytest

from runner.contract import ErrorCode
from runner.directory import TaskDirectory
from runner.result import ResultRefused

MAX_BYTES = 1000


@pytest.fixture
def directory(tmp_path):
    return TaskDirectory(tmp_path)


def refusal(directory, max_bytes=MAX_BYTES):
    with pytest.raises(ResultRefused) as caught:
        directory.read_result(max_bytes)
    return caught.value.code, str(caught.value)


def test_the_input_is_written_once_and_nothing_else_is_left(directory, tmp_path):
    directory.write_input(b'{"first": 1}')
    directory.write_input(b'{"second": 2}')
    assert [path.name for path in tmp_path.iterdir()] == ["input.json"]
    assert (tmp_path / "input.json").read_bytes() == b'{"first": 1}'


def test_an_input_is_not_written_through_a_link(directory, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    (tmp_path / "input.json").symlink_to(elsewhere)
    directory.write_input(b"{}")
    assert not elsewhere.exists()


@pytest.mark.parametrize(
    ("text", "progress"),
    [
        ("42.5", (42.5, "")),
        (" 7 \n", (7.0, "")),
        ("7%", (7.0, "")),
        ("100 all of it", (100.0, "all of it")),
        ("999", (100.0, "")),
        ("5\n\nsecond line\nthird line", (5.0, "second line")),
        ("5 \x1b[31mred\x00", (5.0, "[31mred")),
        ("5 caf\u00e9", (5.0, "caf\u00e9")),
        ("", None),
        ("-1", None),
        ("nan", None),
        ("1e3", None),
        ("1000", None),
        ("half", None),
        ("\u0665", None),
    ],
)
def test_progress_is_a_number_and_what_follows_it(directory, tmp_path, text, progress):
    (tmp_path / "progress").write_text(text)
    assert directory.read_progress() == progress


def test_of_progress_only_the_beginning_is_read(directory, tmp_path):
    (tmp_path / "progress").write_bytes(b"50 " + b"\xff" * 100_000_000)
    percent, words = directory.read_progress()
    assert percent == 50.0
    assert len(words) < 5000


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("null", "null"),
        (' {"a" : [1, 2.50, true]} ', '{"a":[1,2.5,true]}'),
        ('"caf\u00e9 \\u00e9"', '"caf\u00e9 \u00e9"'),
        ("9007199254740992", "9007199254740992"),
        ("-9007199254740993", '"-9007199254740993"'),
        ("1" * 900, f'"{"1" * 900}"'),
        ("-0", "0"),
    ],
)
def test_a_result_is_json_said_anew(directory, tmp_path, text, result):
    (tmp_path / "result.json").write_text(text)
    assert directory.read_result(MAX_BYTES) == result


def test_no_result_is_null(directory):
    assert directory.read_result(MAX_BYTES) == "null"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "result.json is not JSON: Expecting value"),
        (b"\xef\xbb\xbf1", "result.json is not JSON: Unexpected UTF-8 BOM"),
        (b'"\xed\xa0\x80"', "result.json is not UTF-8: byte 1 is 0xed"),
        (b"[1,]", "result.json is not JSON"),
        (b"Infinity", "result.json has Infinity, which JSON cannot say"),
        (b"-1e400", "result.json has the number -1e400"),
        (b'{"\\udfff": 1}', "A string in result.json is not Unicode text"),
    ],
)
def test_what_is_no_result_says_why(directory, tmp_path, data, words):
    (tmp_path / "result.json").write_bytes(data)
    code, message = refusal(directory)
    assert code is ErrorCode.RESULT_INVALID
    assert words in message


def test_a_result_may_be_as_long_as_is_delivered_and_no_longer(directory, tmp_path):
    (tmp_path / "result.json").write_text(f'"{"x" * (MAX_BYTES - 2)}"')
    assert len(directory.read_result(MAX_BYTES)) == MAX_BYTES
    assert refusal(directory, MAX_BYTES - 1)[0] is ErrorCode.RESULT_TOO_LARGE
    (tmp_path / "result.json").write_text("1" * MAX_BYTES)
    assert refusal(directory) == (ErrorCode.RESULT_TOO_LARGE, "The result has more than 1000 bytes")


def make_link(path):
    path.symlink_to("/proc/self/environ")


def make_socket(path):
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))


@pytest.mark.parametrize("make", [make_link, make_socket, os.mkfifo, os.mkdir], ids=["link", "socket", "fifo", "dir"])
def test_what_is_no_regular_file_is_not_read(directory, tmp_path, make):
    make(tmp_path / "result.json")
    make(tmp_path / "progress")
    assert refusal(directory) == (
        ErrorCode.RESULT_INVALID,
        "result.json cannot be read: it is not a regular file",
    )
    before = psutil.Process().num_fds()
    for _ in range(20):
        assert directory.read_progress() is None
    assert psutil.Process().num_fds() == before, "no handle is left open"


def test_a_file_that_grows_while_it_is_read_is_read_to_its_bound(directory, tmp_path):
    long_enough, over = threading.Event(), threading.Event()

    def grow():
        with (tmp_path / "result.json").open("wb", buffering=0) as file:
            while not over.is_set() and file.tell() < 50_000_000:
                file.write(b"[" * 1000)
                if file.tell() > 2 * MAX_BYTES:
                    long_enough.set()

    growing = threading.Thread(target=grow)
    growing.start()
    try:
        assert long_enough.wait(10)
        assert refusal(directory)[0] is ErrorCode.RESULT_TOO_LARGE
    finally:
        over.set()
        growing.join()


def test_what_becomes_of_the_path_does_not_matter(directory, tmp_path):
    (tmp_path / "result.json").write_text("1")
    moved = tmp_path.with_name("moved")
    tmp_path.rename(moved)
    tmp_path.symlink_to("/proc/self")
    assert directory.read_result(MAX_BYTES) == "1"
    tmp_path.unlink()
    moved.rename(tmp_path)
