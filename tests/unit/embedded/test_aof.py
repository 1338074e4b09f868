"""Where a file of commands is damaged: every place of a small one is tried."""

from __future__ import annotations

import pytest

from api.embedded.aof import EXEC, MULTI, Damage, examine


def command(*words: bytes) -> bytes:
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)


def transaction(*commands: bytes) -> bytes:
    return MULTI + b"".join(commands) + EXEC


FIRST = command(b"SET", b"one", b"1")
SECOND = transaction(command(b"SET", b"two", b"x" * 40), command(b"DEL", b"one"))
LAST = transaction(command(b"SET", b"three", b"y" * 40), command(b"ZADD", b"z", b"1", b"\0\0"))
FILE = b"#TS:1764250000\r\n" + FIRST + SECOND + LAST
ENDS = [len(FILE[: -len(LAST + SECOND + FIRST)]), len(FILE) - len(SECOND + LAST), len(FILE) - len(LAST), len(FILE)]


def last_whole(length: int) -> int:
    return max((end for end in ENDS if end <= length), default=0)


def test_a_whole_file_is_not_damaged() -> None:
    assert examine(FILE) is None
    assert examine(b"") is None


def test_a_file_that_stops_short_is_left_to_valkey() -> None:
    assert {examine(FILE[:length]) for length in range(len(FILE))} == {None}


@pytest.mark.parametrize("zeros", [1, 40, 512, 4096])
def test_zeros_behind_any_length_are_found_to_the_byte(zeros: int) -> None:
    damages = {length: examine(FILE[:length] + bytes(zeros)) for length in range(len(ENDS), len(FILE) + 1)}
    for length, damage in damages.items():
        if damage is None:  # all of the zeros may be in the value that was being written
            assert zeros <= 40 + 2
        else:
            assert damage.is_tail
            assert damage.offset == last_whole(length)
            assert damage.offset <= damage.at
            assert examine(FILE[: damage.offset]) is None
    assert damages[len(FILE)] == Damage(len(FILE), len(FILE), is_tail=True)


@pytest.mark.parametrize("behind", [b"", bytes(4096)])
def test_zeros_anywhere_in_the_last_transaction_cost_no_other(behind: bytes) -> None:
    begin = len(FILE) - len(LAST)
    for start in range(begin, len(FILE)):
        for end in range(start + 1, len(FILE) + 1):
            damaged = FILE[:start] + bytes(end - start) + FILE[end:] + behind
            damage = examine(damaged)
            if damage is not None and damage.is_tail:
                assert damage.offset in {begin, len(FILE)}
            elif damage is not None:  # the zeros end within a number, and what is read behind them is no zero
                assert damaged[damage.at : damage.at + 1] != b"\0"


def test_zeros_before_other_commands_are_not_the_end() -> None:
    begin = ENDS[1]
    for start in range(begin, begin + len(SECOND)):
        damage = examine(FILE[:start] + bytes(10) + FILE[start + 10 :])
        assert damage is None or not damage.is_tail or start + 10 > ENDS[2]


@pytest.mark.parametrize("rubbish", [b"\x01", b"\xff\xfe", b"rubbish" * 100, b"\r\n"])
def test_what_is_no_zero_is_never_cut(rubbish: bytes) -> None:
    for at in (0, ENDS[1], ENDS[2], len(FILE)):
        damage = examine(FILE[:at] + rubbish + FILE[at:])
        assert damage is None or not damage.is_tail


def test_a_command_without_a_transaction_may_be_the_last() -> None:
    whole = command(b"SET", b"k", b"v" * 5000)
    damaged = FILE + whole[:100] + bytes(4096) + whole[100 + 4096 :]
    assert examine(damaged) is None, "zeros in a value are a value"
    damaged = FILE + bytes(4096) + whole[4096:]
    assert examine(damaged) == Damage(len(FILE), len(FILE), is_tail=True)
    assert examine(damaged + FIRST) == Damage(len(FILE), len(FILE), is_tail=False)


def test_huge_numbers_cost_no_time() -> None:
    assert examine(b"*999999999\r\n") is None
    assert examine(b"*2\r\n$999999999999\r\nabc") is None
    damage = examine(FILE + bytes(10) + b"*1\r\n$1\r\n" * 20_000)
    assert damage is not None
    assert not damage.is_tail
