"""Bounds the delivery attempts of a service: in number and bytes, for each receiver and each address. Pure."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from api.queue.shapes import Lane, Pool, Room

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from api.queue.shapes import DueDelivery

QUICK_PLACES: Final = 160
"""Places for receivers that are not slow. An attempt may hold one for a second; after that it counts as slow."""
UNKNOWN_PLACES: Final = 144
"""How many of them new receivers may take: the others are left to receivers that answer."""
UNKNOWN_PER_ACCOUNT: Final = 112
"""How many of those may be at one address: a client can invent any number of names and ports."""
KNOWN_PER_ACCOUNT: Final = 32
"""How many other attempts may be at one address: if all fall silent, places for other addresses remain."""
AGAIN_PLACES: Final = 240
PER_RECEIVER: Final = 16
PER_ACCOUNT: Final = 16
"""How many slow attempts may be at one address."""

MEBIBYTE: Final = 2**20
QUICK_BYTES: Final = 32 * MEBIBYTE
AGAIN_BYTES: Final = 32 * MEBIBYTE
"""Bytes for the bodies of quick, and of slow, attempts: 64 MiB together, of the 512 MiB of a service in the chart."""
SHARE_BYTES: Final = 16 * MEBIBYTE
"""How much of that one receiver may take, or all slow receivers at one address."""
SMALL_BYTES: Final = 64 * 1024
"""Bodies up to this size are not counted: those of all attempts together are 25 MiB."""


ANSWERED: Final = " answered"
"""At the end of the account of slow receivers that have answered before. `runner/lua/endings.lua` has it too."""


class NoPlaceError(Exception):
    """The address that an attempt was about to connect to has no free place."""


@dataclass(eq=False, slots=True)
class Flight:
    """A delivery attempt under way, under the lease `token`. `holds_body` until its body is no longer in memory.

    `account` is what it is counted under, `address` the account of the address that was connected to ("": none yet).
    """

    delivery: DueDelivery
    token: str
    is_quick: bool
    account: str
    address: str = ""
    holds_body: bool = True

    @property
    def large_bytes(self) -> int:
        """The bytes that count towards the bounds."""
        size = self.delivery.body_bytes
        return size if self.holds_body and size > SMALL_BYTES else 0


class Places:
    """Counts the attempts in progress."""

    def __init__(self) -> None:
        self._flights: set[Flight] = set()

    def __iter__(self) -> Iterator[Flight]:
        return iter(self._flights)

    def enter(self, delivery: DueDelivery, token: str) -> Flight:
        """Take the place that a delivery was claimed for."""
        flight = Flight(delivery, token, is_quick=delivery.lane is not Lane.AGAIN, account=delivery.account)
        self._flights.add(flight)
        return flight

    def leave(self, flight: Flight) -> None:
        """Give an attempt's place back."""
        self._flights.discard(flight)

    def room(self) -> Room:
        """Return the free places and bytes."""
        quick = [flight for flight in self._flights if flight.is_quick]
        again = [flight for flight in self._flights if not flight.is_quick]
        known = [flight for flight in quick if flight.delivery.lane is Lane.KNOWN]
        return Room(
            quick=Pool(QUICK_PLACES - len(quick), _bytes_of(quick), QUICK_BYTES),
            again=Pool(AGAIN_PLACES - len(again), _bytes_of(again), AGAIN_BYTES),
            per_receiver=PER_RECEIVER,
            per_unknown=1,
            per_account=PER_ACCOUNT,
            known_per_account=KNOWN_PER_ACCOUNT,
            unknown=UNKNOWN_PLACES - (len(quick) - len(known)),
            share_bytes=SHARE_BYTES,
            small_bytes=SMALL_BYTES,
            receivers=_used(self._flights, lambda flight: flight.delivery.host),
            accounts=_used(again, lambda flight: flight.account),
            known_accounts=_used(known, lambda flight: flight.account),
        )

    def connecting(self, flight: Flight, account: str) -> None:
        """Count an attempt under the account of the address that it is about to connect to.

        Raises:
            NoPlaceError: if too many attempts of new receivers are there already.
        """
        flight.address = account
        if flight.is_quick:
            flight.account = account
        if flight.is_quick and flight.delivery.lane is Lane.FIRST:
            beside = [one for one in self._flights if one.is_quick and one.delivery.lane is Lane.FIRST]
            if sum(one.account == account for one in beside) > UNKNOWN_PER_ACCOUNT:
                raise NoPlaceError(account)

    def stay(self, flight: Flight) -> bool:
        """Move a quick attempt that takes long to a slow place, if one is free."""
        again = [one for one in self._flights if not one.is_quick]
        if flight.delivery.lane is Lane.KNOWN:
            flight.account = flight.account + ANSWERED
        beside = [one for one in again if one.account == flight.account]
        needed = flight.large_bytes
        flight.is_quick = not (
            len(again) < AGAIN_PLACES
            and len(beside) < PER_ACCOUNT
            and _fits(needed, _bytes_of(again), AGAIN_BYTES)
            and _fits(needed, _bytes_of(beside), SHARE_BYTES)
        )
        return not flight.is_quick


def _fits(needed: int, used: int, most: int) -> bool:
    return not needed or not used or used + needed <= most


def _bytes_of(flights: list[Flight]) -> int:
    return sum(flight.large_bytes for flight in flights)


def _used(flights: set[Flight] | list[Flight], name_of: Callable[[Flight], str]) -> Mapping[str, tuple[int, int]]:
    used: defaultdict[str, tuple[int, int]] = defaultdict(lambda: (0, 0))
    for flight in flights:
        number, held = used[name_of(flight)]
        used[name_of(flight)] = (number + 1, held + flight.large_bytes)
    return dict(used)
