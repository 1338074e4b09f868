"""An outage of Redis in the log: its lines become rarer, and its end is one line."""

from __future__ import annotations

import logging
from itertools import pairwise

import pytest

from api import outage as module
from api.outage import CALM_SECONDS, FIRST_PAUSE_SECONDS, FORGET_SECONDS, LONGEST_PAUSE_SECONDS, Outage


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def outage(clock):
    return Outage(clock)


def failing(outage, clock, seconds, step=1.0):
    """Fail every `step` seconds; return when lines were logged, in seconds from the beginning."""
    began, told = clock.now, []
    while clock.now < began + seconds:
        if (facts := outage.failed()) is not None:
            told.append((clock.now - began, facts))
        clock.now += step
    return told


def test_the_pauses_between_lines_double_up_to_a_limit(outage, clock):
    told = failing(outage, clock, 7200)
    times = [at for at, _ in told]
    pauses = [later - earlier for earlier, later in pairwise(times)]
    assert times[0] == 0
    assert pauses[:4] == [FIRST_PAUSE_SECONDS * 2**n for n in range(4)]
    assert pauses[-1] == LONGEST_PAUSE_SECONDS
    assert pauses == sorted(pauses)
    assert told[3][1] == {"for_seconds": 14, "more": 7}


def test_the_end_is_logged_once_after_a_calm_while(outage, clock, caplog):
    caplog.set_level(logging.INFO, logger=module.logger.name)
    failing(outage, clock, 5)
    outage.answered()
    assert caplog.records == []
    clock.now += CALM_SECONDS + 1
    for _ in range(3):
        outage.answered()
    (record,) = caplog.records
    assert (record.getMessage(), record.after_seconds) == ("redis_answers_again", 4)


def test_calls_that_succeed_beside_others_that_fail_are_no_end(outage, clock, caplog):
    """The clock of the queue ticks while Redis has no memory left for anything else."""
    caplog.set_level(logging.INFO, logger=module.logger.name)
    lines = 0
    for _ in range(600):
        lines += outage.failed() is not None
        outage.answered()
        clock.now += 1
    assert caplog.records == []
    assert lines < 10


def test_a_redis_that_comes_and_goes_does_not_fill_the_log(outage, clock, caplog):
    caplog.set_level(logging.INFO, logger=module.logger.name)
    lines = 0
    for _ in range(200):
        lines += len(failing(outage, clock, 3))
        clock.now += CALM_SECONDS + 1
        outage.answered()
    assert lines + len(caplog.records) < 40


def test_a_later_outage_is_logged_at_once(outage, clock):
    failing(outage, clock, 1000)
    outage.end()
    clock.now += FORGET_SECONDS + 1
    assert outage.failed() == {"for_seconds": 0, "more": 0}


def test_without_an_outage_nothing_ends(outage, caplog):
    caplog.set_level(logging.INFO, logger=module.logger.name)
    outage.answered()
    outage.end()
    assert caplog.records == []
