"""What the agent serves to the person at the PC."""

from collections.abc import Callable, Sequence
from functools import partial
from importlib.metadata import version

from suho.agent.v1 import agent_pb2_grpc, store_pb2_grpc

from mesh.clock import unix_ms
from mesh.server import Service, service
from pc_agent.control.accounts import Accounts
from pc_agent.control.lane_status import LanesStatus, SymbolsStatus
from pc_agent.control.servicer import AgentServicer, StatusSource
from pc_agent.control.status import ConfirmationsStatus, IdentityStatus, LedgerStatus, TroublesStatus
from pc_agent.control.store_servicer import StoreServicer
from pc_agent.control.terminal_status import Seat, TerminalsStatus
from pc_agent.desk import Desk
from pc_agent.domain.symbols import SymbolFacts
from pc_agent.market.status import MarketStatus
from pc_agent.orders.account_control import AccountControl
from pc_agent.parts import Parts
from pc_agent.settings.status import SettingsStatus
from pc_agent.ticks.sources import Place


def accounts_of(desks: Sequence[Desk]) -> Accounts:
    """What the person asks of all of them."""
    return Accounts(
        lambda: [desk.truth.control for desk in desks if desk.truth],
        lambda: [desk.title for desk in desks if desk.truth is None],
    )


def services_of(parts: Parts, accounts: Accounts, missing: Callable[[], str]) -> list[Service]:
    """The agent's own service, and that of its store."""
    desks = parts.desks
    sources: list[StatusSource] = [
        IdentityStatus(parts.settings.instance, version("suho"), unix_ms(), missing),
        LanesStatus([desk.signals for desk in desks], parts.ticks),
        TerminalsStatus([Seat(desk.pool, desk.signals, partial(_control, desk)) for desk in desks]),
        SymbolsStatus(parts.ticks),
        MarketStatus(parts.sources, parts.markets, partial(_facts_of, desks)),
        LedgerStatus(parts.kept.ledger, accounts.known),
        ConfirmationsStatus(parts.confirmations),
        TroublesStatus(),
        SettingsStatus(parts.keeper),
    ]
    agent = AgentServicer(accounts, sources, parts.confirmations, parts.kept.safety.switch)
    store = StoreServicer(parts.kept.store, parts.kept.preferences, "person")
    return [
        service(agent_pb2_grpc.add_AgentServiceServicer_to_server, agent, "suho.agent.v1.AgentService"),
        service(store_pb2_grpc.add_StoreServiceServicer_to_server, store, "suho.agent.v1.StoreService"),
    ]


def _control(desk: Desk) -> AccountControl | None:
    return desk.truth.control if desk.truth else None


def _facts_of(desks: Sequence[Desk], place: Place) -> SymbolFacts | None:
    server, symbol = place
    having = (desk.pool.symbols for desk in desks if desk.pool.server == server)
    return next((symbols[symbol] for symbols in having if symbol in symbols), None)
