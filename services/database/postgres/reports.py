"""What agents report, and how it moves orders."""

from collections.abc import Mapping, Sequence

import asyncpg

from mesh.clock import unix_ns
from mesh.errors import MeshError, Reason
from mesh.failpoint import failpoint
from services.database.domain.order import AccountRef, MarginMode, Order, Report, State, Times
from services.database.domain.order_states import moved
from services.database.postgres import deals, rows
from services.database.postgres.exposures import Exposures, load_exposures
from services.database.postgres.orders import unknown_order
from services.database.postgres.pool import Connection, Postgres

_INSERT_REPORT = (
    "INSERT INTO reports (report_id, signal_id, state, reason, message, ticket, deal, filled_volume, filled_price,"
    " retcode, sent_unix_ns, received_unix_ns, intent_unix_ns, queued_unix_ns, called_unix_ns, answered_unix_ns,"
    " reported_unix_ns, clock_offset_ns, recorded_unix_ns)"
    " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)"
)

_INSERT_EVENT = (
    "INSERT INTO order_events (signal_id, report_id, state_before, state_after, at_unix_ns) VALUES ($1, $2, $3, $4, $5)"
)

_UPDATE_ORDER = (
    "UPDATE orders SET state = $2, reason = $3, message = $4, ticket = $5, deal = $6, filled_volume = $7,"
    " filled_price = $8, retcode = $9, recorded_unix_ns = $10, sent_unix_ns = $11, received_unix_ns = $12,"
    " intent_unix_ns = $13, queued_unix_ns = $14, called_unix_ns = $15, answered_unix_ns = $16,"
    " reported_unix_ns = $17, clock_offset_ns = $18 WHERE id = $1"
)

_KNOWN = "SELECT report_id, signal_id, state FROM reports WHERE report_id = ANY($1)"


class Reports:
    """The reports table."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    async def record(self, reports: Sequence[Report]) -> list[Order]:
        """Store all or none; each moves its order as far as the states allow. A known report id changes nothing.

        However many they are, they cost the same few round trips.

        Returns:
            The orders as they stand, one for each signal in the order of its first report.

        Raises:
            MeshError: UNKNOWN_ORDER, REPORT_CONFLICT.
        """
        try:
            async with self._postgres.transaction() as connection:
                orders = await _record(connection, reports)
        except asyncpg.UniqueViolationError:  # the same id, at the same moment, for another account
            raise _conflict(reports[0], "a report id was used for another report at the same moment") from None
        failpoint("reports.recorded")
        return orders


async def _record(connection: Connection, reports: Sequence[Report]) -> list[Order]:
    exposures = await _lock_accounts(connection, reports)
    found = await connection.fetch(
        f"{rows.SELECT_ORDERS} WHERE o.signal_id = ANY($1)", [report.signal_id for report in reports]
    )
    stored = await connection.fetch(_KNOWN, [report.report_id for report in reports])
    batch = _Batch(
        {row["signal_id"]: rows.order(row) for row in found},
        {row["report_id"]: (row["signal_id"], State(row["state"])) for row in stored},
        exposures,
        unix_ns(),
    )
    for report in reports:
        batch.take(report)
    if batch.fresh:
        await batch.give_back(connection)
        await batch.write(connection)
    return list(batch.orders.values())


class _Batch:
    """Reports taken in turn, and then written at once.

    Args:
        before: Orders by signal id.
        known: Signal and state of the reports that are stored, by report id.
        exposures: Of the locked accounts.
    """

    def __init__(
        self,
        before: Mapping[str, Order],
        known: dict[str, tuple[str, State]],
        exposures: Mapping[AccountRef, Exposures],
        now_ns: int,
    ) -> None:
        self.orders: dict[str, Order] = {}
        self.fresh: list[Report] = []
        self._events: list[tuple[object, ...]] = []
        self._before = before
        self._known = known
        self._exposures = exposures
        self._now_ns = now_ns

    def take(self, report: Report) -> None:
        """Raises MeshError UNKNOWN_ORDER, REPORT_CONFLICT."""
        order = self.orders.get(report.signal_id) or _checked(report, self._before.get(report.signal_id))
        self.orders[report.signal_id] = order
        said = (report.signal_id, report.state)
        known = self._known.setdefault(report.report_id, said)
        if known != said:
            raise _conflict(report, f"report id {report.report_id!r} was used for another report")
        if known is not said:
            return
        after = moved(order, report, self._now_ns)
        self.orders[report.signal_id] = after
        self.fresh.append(report)
        self._events.append((report.signal_id, report.report_id, order.state, after.state, self._now_ns))
        self._exposures[after.account].move(order, after)

    async def give_back(self, connection: Connection) -> None:
        """What the orders report now may have been told as trades from outside before."""
        fills = [report for report in self.fresh if report.filled_volume > 0]
        for account in {report.account for report in fills}:
            own = [report for report in fills if report.account == account]
            exposures = self._exposures[account]
            await deals.give_back(
                connection,
                exposures.account_id,
                exposures,
                [report.deal for report in own],
                [report.ticket for report in own],
            )

    async def write(self, connection: Connection) -> None:
        moved_orders = {report.signal_id: self.orders[report.signal_id] for report in self.fresh}
        await connection.executemany(_INSERT_REPORT, [_report_row(report, self._now_ns) for report in self.fresh])
        await connection.executemany(_INSERT_EVENT, self._events)
        await connection.executemany(_UPDATE_ORDER, [_order_row(order) for order in moved_orders.values()])
        for account in {report.account for report in self.fresh}:
            await self._exposures[account].write(connection)


async def _lock_accounts(connection: Connection, reports: Sequence[Report]) -> dict[AccountRef, Exposures]:
    """In one order everywhere, so that two batches can not wait for each other."""
    found = await connection.fetch(
        "SELECT id, server, login, margin_mode FROM accounts"
        " WHERE (server, login) IN (SELECT * FROM unnest($1::text[], $2::bigint[])) ORDER BY id FOR UPDATE",
        [report.account.server for report in reports],
        [report.account.login for report in reports],
    )
    return {
        AccountRef(row["server"], row["login"]): await load_exposures(
            connection, row["id"], MarginMode(row["margin_mode"])
        )
        for row in found
    }


def _checked(report: Report, order: Order | None) -> Order:
    if order is None:
        raise unknown_order(report.signal_id)
    if order.account != report.account:
        raise _conflict(
            report, f"signal {report.signal_id!r} belongs to account {order.account.login}, not to the report's"
        )
    if order.state is State.DENIED:
        raise _conflict(
            report, f"signal {report.signal_id!r} was denied and never relayed: nothing can be reported of it"
        )
    return order


def _report_row(report: Report, recorded_ns: int) -> tuple[object, ...]:
    return (
        report.report_id,
        report.signal_id,
        report.state,
        report.reason,
        report.message,
        report.ticket,
        report.deal,
        report.filled_volume,
        report.filled_price,
        report.retcode,
        *_way(report.times),
        recorded_ns,
    )


def _order_row(order: Order) -> tuple[object, ...]:
    return (
        order.id,
        order.state,
        order.reason,
        order.message,
        order.ticket,
        order.deal,
        order.filled_volume,
        order.filled_price,
        order.retcode,
        order.times.recorded,
        *_way(order.times),
    )


def _way(times: Times) -> tuple[int, ...]:
    return (
        times.sent,
        times.received,
        times.intent,
        times.queued,
        times.called,
        times.answered,
        times.reported,
        times.offset,
    )


def _conflict(report: Report, message: str) -> MeshError:
    return MeshError(Reason.REPORT_CONFLICT, message, report_id=report.report_id, signal_id=report.signal_id)
