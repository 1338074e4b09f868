"""With which exit code a runner ends, and what it says then."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runner.attempt import EnvironmentInvalid, forget_secrets, read_attempt
from runner.connect import connect
from runner.contract import EXIT_OK, EXIT_REDIS_REFUSAL, EXIT_REFUSED, EXIT_UNREACHABLE, EXIT_USAGE
from runner.report import RedisRefusalError, Refused, Report, Unreachable
from runner.texts import say

if TYPE_CHECKING:
    from collections.abc import Callable

    from runner.attempt import Attempt


def exit_code_of(run: Callable[[Attempt, Report], None]) -> int:
    """Run the attempt that the environment names; return the exit code (`runner.contract.EXIT_*`)."""
    try:
        attempt = read_attempt()
        forget_secrets()
        run(attempt, Report(connect(attempt.redis_url), attempt))
    except EnvironmentInvalid as error:
        say(str(error))
        return EXIT_USAGE
    except Refused as refusal:
        say(f"refused: {refusal}")
        return EXIT_REFUSED
    except Unreachable as fault:
        say(str(fault))
        return EXIT_UNREACHABLE
    except RedisRefusalError as refusal:
        say(str(refusal))
        return EXIT_REDIS_REFUSAL
    return EXIT_OK
