"""The query of the list."""

from __future__ import annotations

from contextlib import suppress

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.web.list_query import ListQuery, is_task_id, read_query
from api.web.problems import Code, Problem
from api.web.schemas import EXAMPLE_ID
from runner.contract import State


def pointers(*parameters: tuple[str, str]) -> list[str]:
    with pytest.raises(Problem) as caught:
        read_query(parameters)
    assert caught.value.code is Code.INVALID_QUERY
    return [fault.pointer for fault in caught.value.errors]


def test_defaults() -> None:
    assert read_query([]) == ListQuery(tuple(State), None, 100, None)


def test_all_parameters() -> None:
    query = read_query(
        [("status", "done,queued"), ("status", "done"), ("task_type", "x"), ("limit", "1000"), ("cursor", EXAMPLE_ID)]
    )
    assert query == ListQuery((State.QUEUED, State.DONE), "x", 1000, EXAMPLE_ID)


@pytest.mark.parametrize("limit", ["0", "1001", "-1", "+1", "1.0", "1e2", "", " 1", "x", "\uff11", "9" * 5000])
def test_bad_limits(limit: str) -> None:
    assert pointers(("limit", limit)) == ["/limit"]


@pytest.mark.parametrize("cursor", ["", "x", EXAMPLE_ID.upper(), EXAMPLE_ID + "\n", EXAMPLE_ID.replace("-", "")])
def test_bad_cursors(cursor: str) -> None:
    assert pointers(("cursor", cursor)) == ["/cursor"]


@pytest.mark.parametrize("status", ["", "nope", "Queued", "queued,", "queued, done"])
def test_bad_states(status: str) -> None:
    assert set(pointers(("status", status))) == {"/status"}


def test_an_answer_does_not_grow_with_what_was_sent() -> None:
    with pytest.raises(Problem) as caught:
        read_query([("status", "x" * 100_000), ("y" * 100_000, "")])
    assert max(len(fault.pointer + fault.detail) for fault in caught.value.errors) < 500


def test_all_that_is_wrong_is_named() -> None:
    found = pointers(
        ("offset", "1"), ("limit", "1"), ("limit", "2"), ("status", "x"), ("task_type", ""), ("cursor", "x")
    )
    assert found == ["/offset", "/limit", "/status", "/task_type", "/cursor"]


@given(st.lists(st.tuples(st.sampled_from(["status", "task_type", "limit", "cursor"]) | st.text(), st.text())))
def test_nothing_else_is_raised(parameters: list[tuple[str, str]]) -> None:
    with suppress(Problem):
        read_query(parameters)


@given(
    st.lists(st.sampled_from(State), min_size=1, unique=True),
    st.none() | st.text(min_size=1),
    st.integers(1, 1000),
)
def test_a_link_leads_to_the_same_query(states: list[State], task_type: str | None, limit: int) -> None:
    query = ListQuery(tuple(state for state in State if state in states), task_type, limit)
    link = query.link_to(EXAMPLE_ID)
    assert link.isascii()
    url = httpx.URL("http://h/prefix/api/tasks?old=1").join(link[1 : link.index(">")])
    assert url.path == "/prefix/api/tasks"
    assert read_query(url.params.multi_items()) == ListQuery(query.states, task_type, limit, EXAMPLE_ID)


def test_ids() -> None:
    assert is_task_id(EXAMPLE_ID)
    assert not is_task_id("..")
