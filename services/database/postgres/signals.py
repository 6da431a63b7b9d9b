"""Committed signals of all accounts, after a place in each one's sequence.

There is no order over all accounts, and none is needed: an account's row lock makes its places contiguous and lets
them be committed in turn, so that what one statement sees of an account is the beginning of its sequence, whatever
other transactions are still under way.
"""

from collections.abc import Mapping
from typing import NamedTuple

from services.database.domain.order import AccountRef, Order
from services.database.postgres import rows
from services.database.postgres.pool import Postgres


class Place(NamedTuple):
    """How far an account's signals were handed on; the id tells whether the sequence is still the same."""

    epoch: int
    seq: int
    signal_id: str


Places = Mapping[AccountRef, Place]

_PLACES = "unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[], $5::text[]) AS p(server, login, epoch, seq, id)"


class Signals:
    """The outbox, read without marking anything as delivered."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    async def after(self, places: Places, limit: int) -> list[Order]:
        """At most `limit` signals behind `places` (an account that is not in it: from its first), each account's in
        order."""
        async with self._postgres.connection() as connection:
            found = await connection.fetch(
                f"SELECT o.*, a.server, a.login FROM accounts a LEFT JOIN {_PLACES}"
                " ON p.server = a.server AND p.login = a.login"
                " CROSS JOIN LATERAL (SELECT placed.* FROM outbox q JOIN orders placed USING (signal_id)"
                "  WHERE q.account_id = a.id AND (q.epoch, q.seq) > (COALESCE(p.epoch, 0), COALESCE(p.seq, 0))"
                "  ORDER BY q.epoch, q.seq LIMIT $6) o"
                " WHERE (a.epoch, a.last_seq) > (COALESCE(p.epoch, 0), COALESCE(p.seq, 0))"
                " ORDER BY o.account_id, o.epoch, o.seq LIMIT $6",
                *_columns(places),
                limit,
            )
        return [rows.order(row) for row in found]

    async def lost(self, places: Places) -> list[AccountRef]:
        """Accounts whose signals are not those that were handed on: the database is an older copy."""
        async with self._postgres.connection() as connection:
            found = await connection.fetch(
                f"SELECT a.server, a.login FROM {_PLACES} JOIN accounts a ON p.server = a.server AND p.login = a.login"
                " LEFT JOIN outbox q ON q.account_id = a.id AND q.epoch = p.epoch AND q.seq = p.seq"
                " WHERE a.epoch <= p.epoch AND q.signal_id IS DISTINCT FROM p.id",
                *_columns(places),
            )
        return [AccountRef(*row) for row in found]


def _columns(places: Places) -> tuple[list[str], list[int], list[int], list[int], list[str]]:
    return (
        [account.server for account in places],
        [account.login for account in places],
        [place.epoch for place in places.values()],
        [place.seq for place in places.values()],
        [place.signal_id for place in places.values()],
    )
