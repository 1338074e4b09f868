"""The contract of service and runner: the states, and the callback's body."""

from __future__ import annotations

import json

from runner import scripts
from runner.contract import (
    ENDS,
    EXIT_TERMINATED,
    MOVES,
    Error,
    State,
    changes_channel,
    delivery_id,
    format_time,
    key_prefix,
    outcome_body,
)

WALK = """
local seen = {}
for from, following in pairs(MOVES) do
  seen[#seen + 1] = from
  for to in pairs(following) do
    seen[#seen + 1] = from .. '>' .. to
  end
end
return seen
"""


async def test_the_lua_library_knows_the_same_moves(redis_client):
    library = (scripts.LUA_DIRECTORY / "library.lua").read_text()
    seen = {text.decode() for text in await redis_client.eval(f"{library}\n{WALK}", 1, "{x}:")}
    assert seen == {state.value for state in State} | {
        f"{state}>{following}" for state, all_following in MOVES.items() for following in all_following
    }


def test_ends_are_the_states_that_nothing_follows():
    assert {State.DONE, State.FAILED, State.CANCELLED} == ENDS
    assert set(MOVES) == set(State)


def test_keys_of_an_instance_share_a_hash_tag():
    assert key_prefix("one") == "{taskpost:one}:"
    assert changes_channel("one") == "{taskpost:one}:changes"


def test_times_are_utc_with_milliseconds():
    assert format_time(0) == "1970-01-01T00:00:00.000Z"
    assert format_time(1_795_573_562_007) == "2026-11-25T02:26:02.007Z"


def test_the_body_holds_the_result_as_it_is():
    body = outcome_body(
        task_id="id",
        task_type="sleep",
        status=State.DONE,
        result_json='{"text":"ä"}',
        error=None,
        attempt=2,
        created_ms=0,
        started_ms=1,
        finished_ms=2,
    )
    assert body.decode() == (
        '{"task_id":"id","task_type":"sleep","status":"done","result":{"text":"ä"},"error":null,"attempt":2,'
        '"created_at":"1970-01-01T00:00:00.000Z","started_at":"1970-01-01T00:00:00.001Z",'
        '"finished_at":"1970-01-01T00:00:00.002Z"}'
    )


def test_the_body_of_a_task_that_never_started():
    error = Error(code="cancelled", message="by request")
    body = outcome_body(
        task_id="id",
        task_type="sleep",
        status=State.CANCELLED,
        result_json="null",
        error=error,
        attempt=0,
        created_ms=0,
        started_ms=None,
        finished_ms=2,
    )
    assert json.loads(body)["started_at"] is None
    assert json.loads(body)["error"] == error


def test_one_delivery_id_for_each_task():
    assert delivery_id("abc") == "msg_abc"


def test_the_exit_code_of_a_terminated_runner_is_the_number_of_the_signal():
    assert EXIT_TERMINATED == 15
