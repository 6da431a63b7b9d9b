"""What agents report, and how it moves orders."""

from collections.abc import Mapping, Sequence

import asyncpg

from mesh.clock import unix_ns
from mesh.errors import MeshError, Reason
from mesh.failpoint import failpoint
from services.database.domain.order import Account, AccountRef, Order, Report, State, Times
from services.database.domain.order_states import moved
from services.database.postgres import deals, rows
from services.database.postgres.exposures import Exposures, lock_exposures
from services.database.postgres.orders import unknown_order
from services.database.postgres.pool import Connection, Postgres, storing

# One round trip for all: the account's row is locked meanwhile.
_WRITE = (
    "WITH told AS (INSERT INTO reports (report_id, signal_id, state, reason, message, ticket, deal, filled_volume,"
    "  filled_price, retcode, sent_unix_ns, received_unix_ns, intent_unix_ns, queued_unix_ns, called_unix_ns,"
    "  answered_unix_ns, reported_unix_ns, clock_offset_ns, recorded_unix_ns) SELECT * FROM unnest($1::text[],"
    "  $2::text[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::bigint[], $8::numeric[], $9::numeric[],"
    "  $10::bigint[], $11::bigint[], $12::bigint[], $13::bigint[], $14::bigint[], $15::bigint[], $16::bigint[],"
    "  $17::bigint[], $18::bigint[], $19::bigint[])),"
    " noted AS (INSERT INTO order_events (signal_id, report_id, state_before, state_after, at_unix_ns)"
    "  SELECT * FROM unnest($2::text[], $1::text[], $20::text[], $21::text[], $19::bigint[]))"
    " UPDATE orders o SET state = n.state, reason = n.reason, message = n.message, ticket = n.ticket, deal = n.deal,"
    "  filled_volume = n.filled_volume, filled_price = n.filled_price, retcode = n.retcode,"
    "  recorded_unix_ns = n.recorded, sent_unix_ns = n.sent, received_unix_ns = n.received, intent_unix_ns = n.intent,"
    "  queued_unix_ns = n.queued, called_unix_ns = n.called, answered_unix_ns = n.answered,"
    "  reported_unix_ns = n.reported, clock_offset_ns = n.clock_offset FROM unnest($22::bigint[], $23::text[],"
    "  $24::text[], $25::text[], $26::bigint[], $27::bigint[], $28::numeric[], $29::numeric[], $30::bigint[],"
    "  $31::bigint[], $32::bigint[], $33::bigint[], $34::bigint[], $35::bigint[], $36::bigint[], $37::bigint[],"
    "  $38::bigint[], $39::bigint[]) AS n (id, state, reason, message, ticket, deal, filled_volume, filled_price,"
    "  retcode, recorded, sent, received, intent, queued, called, answered, reported, clock_offset)"
    " WHERE o.id = n.id"
)

_KNOWN = "SELECT report_id, signal_id, state FROM reports WHERE report_id = ANY($1)"


class Reports:
    """The reports table."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    async def record(self, reports: Sequence[Report]) -> tuple[list[Order], list[Account]]:
        """Store all or none; each moves its order as far as the states allow. A known report id changes nothing.

        However many they are, they cost the same few round trips.

        Returns:
            The orders as they stand, one for each signal in the order of its first report; and their accounts.

        Raises:
            MeshError: UNKNOWN_ORDER, REPORT_CONFLICT, INVALID_ARGUMENT.
        """
        with storing("reports"):
            try:
                async with self._postgres.transaction() as connection:
                    recorded = await _record(connection, reports)
            except asyncpg.UniqueViolationError as error:
                if error.constraint_name != "reports_pkey":
                    raise
                # The same id, at the same moment, for another account.
                raise _conflict(reports[0], "a report id was used for another report at the same moment") from None
        failpoint("reports.recorded")
        return recorded


async def _record(connection: Connection, reports: Sequence[Report]) -> tuple[list[Order], list[Account]]:
    exposures = await lock_exposures(connection, sorted({report.account for report in reports}))
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
        batch.move()
        await batch.write(connection)
    return list(batch.orders.values()), [one.account for one in exposures.values()]


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
        # Of each fresh report's order.
        self._before_states: list[State] = []
        self._after_states: list[State] = []
        self._before = before
        self._known = known
        self._exposures = exposures
        self._now_ns = now_ns

    def take(self, report: Report) -> None:
        """Raises MeshError UNKNOWN_ORDER, REPORT_CONFLICT."""
        if report.signal_id not in self.orders:
            self.orders[report.signal_id] = _checked(report, self._before.get(report.signal_id))
        said = (report.signal_id, report.state)
        known = self._known.setdefault(report.report_id, said)
        if known != said:
            raise _conflict(report, f"report id {report.report_id!r} was used for another report")
        if known is said:
            self.fresh.append(report)

    async def give_back(self, connection: Connection) -> None:
        """What the orders report now may have been told as trades from outside before.

        Before they move: else a close would find nothing left of its own, and take from other strategies.
        """
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

    def move(self) -> None:
        """As far as the states allow."""
        for report in self.fresh:
            order = self.orders[report.signal_id]
            after = self.orders[report.signal_id] = moved(order, report, self._now_ns)
            self._before_states.append(order.state)
            self._after_states.append(after.state)
            self._exposures[after.account].move(order, after)

    async def write(self, connection: Connection) -> None:
        moved_orders = {report.signal_id: self.orders[report.signal_id] for report in self.fresh}
        told = zip(*(_report_row(report, self._now_ns) for report in self.fresh), strict=True)
        orders = zip(*(_order_row(order) for order in moved_orders.values()), strict=True)
        await connection.execute(_WRITE, *told, self._before_states, self._after_states, *orders)
        for account in {report.account for report in self.fresh}:
            await self._exposures[account].write(connection)


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
