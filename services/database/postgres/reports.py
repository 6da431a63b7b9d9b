"""What agents report, and how it moves orders."""

from collections.abc import Sequence

from mesh.clock import unix_ns
from mesh.errors import MeshError, Reason
from services.database.domain.order import Order, Report, State
from services.database.domain.order_states import exposure_change, moved
from services.database.postgres.accounts import expose
from services.database.postgres.orders import find, unknown_order
from services.database.postgres.pool import Connection, Postgres

_INSERT_REPORT = (
    "INSERT INTO reports (report_id, signal_id, state, reason, message, ticket, deal, filled_volume, filled_price,"
    " retcode, received_unix_ns, intent_unix_ns, called_unix_ns, answered_unix_ns, recorded_unix_ns)"
    " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)"
    " ON CONFLICT (report_id) DO NOTHING RETURNING true"
)

_UPDATE_ORDER = (
    "UPDATE orders SET state = $2, reason = $3, message = $4, ticket = $5, deal = $6, filled_volume = $7,"
    " filled_price = $8, retcode = $9, recorded_unix_ns = $10, received_unix_ns = $11, intent_unix_ns = $12,"
    " called_unix_ns = $13, answered_unix_ns = $14 WHERE id = $1"
)


class Reports:
    """The reports table."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    async def record(self, reports: Sequence[Report]) -> list[Order]:
        """Store all or none; each moves its order as far as the states allow. A known report id changes nothing.

        Returns:
            The orders as they stand, one for each signal in the order of its first report.

        Raises:
            MeshError: UNKNOWN_ORDER, REPORT_CONFLICT.
        """
        async with self._postgres.transaction() as connection:
            await _lock_accounts(connection, reports)
            orders: dict[str, Order] = {}
            for report in reports:
                order = orders.get(report.signal_id) or await find(connection, report.signal_id)
                orders[report.signal_id] = await _record(connection, _checked(report, order), report)
            return list(orders.values())


async def _lock_accounts(connection: Connection, reports: Sequence[Report]) -> None:
    """In one order everywhere, so that two batches can not wait for each other."""
    await connection.execute(
        "SELECT 1 FROM accounts WHERE (server, login) IN (SELECT * FROM unnest($1::text[], $2::bigint[]))"
        " ORDER BY id FOR UPDATE",
        [report.account.server for report in reports],
        [report.account.login for report in reports],
    )


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


async def _record(connection: Connection, order: Order, report: Report) -> Order:
    now = unix_ns()
    content = (
        report.state,
        report.reason,
        report.message,
        report.ticket,
        report.deal,
        report.filled_volume,
        report.filled_price,
        report.retcode,
        report.received,
        report.intent,
        report.called,
        report.answered,
    )
    if not await connection.fetchval(_INSERT_REPORT, report.report_id, report.signal_id, *content, now):
        known = await connection.fetchrow("SELECT * FROM reports WHERE report_id = $1", report.report_id)
        if (known["signal_id"], State(known["state"])) != (report.signal_id, report.state):
            raise _conflict(report, f"report id {report.report_id!r} was used for another report")
        return order
    after = moved(order, report, now)
    await _move(connection, order, after)
    await connection.execute(
        "INSERT INTO order_events (signal_id, report_id, state_before, state_after, at_unix_ns)"
        " VALUES ($1, $2, $3, $4, $5)",
        report.signal_id,
        report.report_id,
        order.state,
        after.state,
        now,
    )
    return after


async def _move(connection: Connection, before: Order, after: Order) -> None:
    times = after.times
    await connection.execute(
        _UPDATE_ORDER,
        after.id,
        after.state,
        after.reason,
        after.message,
        after.ticket,
        after.deal,
        after.filled_volume,
        after.filled_price,
        after.retcode,
        times.recorded,
        times.received,
        times.intent,
        times.called,
        times.answered,
    )
    account_id = await connection.fetchval(
        "UPDATE accounts SET revision = revision + 1 WHERE server = $1 AND login = $2 RETURNING id", *after.account
    )
    await expose(connection, account_id, after, exposure_change(before, after))


def _conflict(report: Report, message: str) -> MeshError:
    return MeshError(Reason.REPORT_CONFLICT, message, report_id=report.report_id, signal_id=report.signal_id)
