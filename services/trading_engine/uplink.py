"""What an agent says up its lane, each acknowledged only when the database has it."""

import asyncio
from collections.abc import Awaitable, Callable

from suho.trading.v1 import agent_link_pb2 as link
from suho.trading.v1 import order_pb2

from mesh.errors import MeshError
from mesh.log import get_logger
from services.trading_engine.agent_said import AgentSaid
from services.trading_engine.database import Database, DatabaseAwayError
from services.trading_engine.domain.order import REPORTABLE, AccountId
from services.trading_engine.exposure_news import exposures_of
from services.trading_engine.intake import Intake
from services.trading_engine.messages import account_id, invalid, name, report_id
from services.trading_engine.order_board import OrderBoard
from services.trading_engine.standings import Standing

log = get_logger(__name__)

Send = Callable[[link.StreamSignalsResponse], Awaitable[None]]


class Uplink:
    """One lane's; `send` puts an answer on it."""

    def __init__(
        self,
        account: AccountId,
        said: AgentSaid,
        database: Database,
        standing: Standing,
        board: OrderBoard,
        send: Send,
    ) -> None:
        self._account = account
        self._said = said
        self._standing = standing
        self._database = database
        self._board = board
        self._send = send
        self._exposures_asked = asyncio.Event()
        self._reports = Intake[order_pb2.ExecutionReport](
            "reports", lambda report: report.signal_id, self._store_reports, self._refuse_report
        )
        self._deals = Intake[order_pb2.ExternalDeal](
            "external deals", lambda deal: deal.position, self._store_deals, self._refuse_deal
        )

    async def run(self) -> None:
        """Store and answer, for ever."""
        async with asyncio.TaskGroup() as tasks:
            for work in (self._reports.run(), self._deals.run(), self._tell_exposures()):
                tasks.create_task(work)

    async def done(self) -> None:
        """Returns when all that was said is answered."""
        await self._reports.done()
        await self._deals.done()

    async def take(self, request: link.StreamSignalsRequest) -> None:
        """Raises MeshError INVALID_ARGUMENT."""
        match request.WhichOneof("kind"):
            case "reports":
                for report in request.reports.reports:
                    await self._reports.put(self._checked(report))
            case "deals":
                for deal in request.deals.deals:
                    await self._deals.put(deal)
            case "snapshot":
                self._take_snapshot(request.snapshot)
            case "market":
                self._said.take_market(request.market)
            case "safety":
                safety = self._said.safety = request.safety
                log.info("agent's safety", account=str(self._account), halted=safety.halted, reason=safety.reason)
            case _:
                raise invalid("an empty message; set one of its kinds")

    def _take_snapshot(self, snapshot: link.AccountSnapshot) -> None:
        try:
            self._said.take_snapshot(snapshot)
        except ArithmeticError:
            raise invalid("snapshot: a position's volume is no decimal number") from None
        except ValueError:
            raise invalid("snapshot: a position's side is not BUY or SELL") from None
        self._exposures_asked.set()

    def _checked(self, report: order_pb2.ExecutionReport) -> order_pb2.ExecutionReport:
        report_id(report.report_id)
        name("signal_id", report.signal_id)
        if account_id(report.account) != self._account:
            raise invalid(f"report {report.report_id!r} is of another account; this lane is {self._account}'s")
        if int(report.state) not in REPORTABLE:
            raise invalid(f"report {report.report_id!r} bears state {report.state}, which no agent reports")
        return report

    async def _store_reports(self, reports: list[order_pb2.ExecutionReport]) -> None:
        async with self._standing.turn():
            orders, account = await self._database.record(reports)
            self._standing.learn(account)
        self._board.publish(orders)
        acks = link.ReportAcks(report_ids=[report.report_id for report in reports])
        await self._send(link.StreamSignalsResponse(report_acks=acks))

    async def _refuse_report(self, report: order_pb2.ExecutionReport, error: MeshError) -> None:
        refused = link.RefusedReport(report_id=report.report_id, reason=error.reason, message=error.message)
        await self._send(link.StreamSignalsResponse(report_acks=link.ReportAcks(refused=[refused])))

    async def _store_deals(self, deals: list[order_pb2.ExternalDeal]) -> None:
        async with self._standing.turn():
            self._standing.learn(await self._database.record_deals(self._account, deals))
        acks = link.DealAcks(deals=[deal.deal for deal in deals])
        await self._send(link.StreamSignalsResponse(deal_acks=acks))
        self._exposures_asked.set()

    async def _refuse_deal(self, deal: order_pb2.ExternalDeal, error: MeshError) -> None:
        refused = link.RefusedDeal(deal=deal.deal, reason=error.reason, message=error.message)
        await self._send(link.StreamSignalsResponse(deal_acks=link.DealAcks(refused=[refused])))

    async def _tell_exposures(self) -> None:
        """Whenever it is asked, for ever; many questions at once get one answer."""
        while True:
            await self._exposures_asked.wait()
            self._exposures_asked.clear()
            try:
                async with self._standing.turn():
                    exposures = exposures_of(await self._standing.account(self._database.account, self._account))
            except DatabaseAwayError:
                continue  # the next snapshot asks again
            await self._send(link.StreamSignalsResponse(exposures=exposures))
