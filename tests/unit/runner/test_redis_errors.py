"""Which errors of Redis are worth repeating: as a server words them, through the client's own parser."""

from __future__ import annotations

import pytest
import redis
from redis._parsers.base import BaseParser

from runner.redis_errors import describe, error_code, passes

PASSING = [
    "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.",
    "CLUSTERDOWN The cluster is down",
    "ERR max number of clients reached",
    "LOADING Redis is loading the dataset in memory",
    "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
    "MISCONF Errors writing to the AOF file: No space left on device",
    "NOAUTH Authentication required.",
    "NOREPLICAS Not enough good replicas to write.",
    "NOSCRIPT No matching script. Please use EVAL.",
    "OOM command not allowed when used memory > 'maxmemory'. script: 3f2, on @user_script:1.",
    "READONLY You can't write against a read only replica. script: 3f2, on @user_script:1.",
    "TRYAGAIN Multiple keys request during rehashing of slot",
    "WRONGPASS invalid username-password pair or user is disabled.",
    "ERR Error running script (call to 3f2): Script killed by user with SCRIPT KILL. script: 3f2, on @user_script:1.",
]
REFUSED = [
    "NOPERM User runner has no permissions to run the 'evalsha' command",
    "NOPERM No permissions to access a key",
    "WRONGTYPE Operation against a key holding the wrong kind of value script: 3f2, on @user_script:1.",
    "ERR user_script:3: attempt to index a nil value",
    "ERR ACL failure in script: User runner has no permissions to run the 'del' command script: 3f2",
    "ERR unknown command 'EVALSHA'",
    "ERR DB index is out of range",
    "NOTLEADING another service leads",
    "MOVED 3999 127.0.0.1:6381",
    "CROSSSLOT Keys in request don't hash to the same slot",
    "EXECABORT Transaction discarded because of previous errors.",
    "BUSYGROUP Consumer Group name already exists",
]


@pytest.mark.parametrize("line", PASSING)
def test_what_passes_by_itself_is_repeated(line: str) -> None:
    assert passes(BaseParser.parse_error(line))


@pytest.mark.parametrize("line", REFUSED)
def test_what_does_not_is_refused_at_once_in_the_words_of_redis(line: str) -> None:
    error = BaseParser.parse_error(line)
    assert not passes(error)
    assert describe(error).startswith("Redis refuses: ")
    assert line.partition(" ")[2] in describe(error)


@pytest.mark.parametrize("code", ["BUSY", "NOPERM", "OOM", "READONLY", "NOSCRIPT", "UNKILLABLE", "WRONGTYPE"])
def test_codes_are_read_whether_the_client_takes_them_off_or_not(code: str) -> None:
    error = BaseParser.parse_error(f"{code} and why")
    assert error_code(error) == code
    assert f"{code} and why" in describe(error)


def test_silence_passes() -> None:
    for error in (redis.ConnectionError("refused"), redis.TimeoutError("late"), OSError("gone")):
        assert passes(error)
        assert describe(error).startswith("Redis does not answer: ")


def test_a_mistake_of_ours_does_not() -> None:
    assert not passes(redis.DataError("Invalid input of type: 'NoneType'"))
    assert not passes(ValueError("x"))
