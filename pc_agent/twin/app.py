"""Puts the twin terminal together and runs it until it is told to stop."""

import asyncio
import time
from contextlib import ExitStack, closing, suppress

from mesh.clock import unix_ms
from mesh.config import SettingsError
from mesh.log import get_logger
from pc_agent.file_lock import LockedError, file_lock
from pc_agent.twin import constants as mt5
from pc_agent.twin.books import Books, ForeignFolderError
from pc_agent.twin.config import TwinSettings
from pc_agent.twin.dealer import Dealer
from pc_agent.twin.domain.random_walk import HABITS
from pc_agent.twin.domain.terms import AccountTerms
from pc_agent.twin.faults import Faults
from pc_agent.twin.feeds import FeedError, check_speed, plan_feeds, replayed_files, server_name
from pc_agent.twin.listener import TerminalListener
from pc_agent.twin.market import Clock, open_market
from pc_agent.twin.terminal import Terminal
from pc_agent.twin.tick_source import TickFileError

_MARGIN_MODES = {
    "netting": mt5.ACCOUNT_MARGIN_MODE_RETAIL_NETTING,
    "exchange": mt5.ACCOUNT_MARGIN_MODE_EXCHANGE,
    "hedging": mt5.ACCOUNT_MARGIN_MODE_RETAIL_HEDGING,
}
_TRADE_MODES = {
    "demo": mt5.ACCOUNT_TRADE_MODE_DEMO,
    "contest": mt5.ACCOUNT_TRADE_MODE_CONTEST,
    "real": mt5.ACCOUNT_TRADE_MODE_REAL,
}

# How late a stop may be met while no client asks for anything.
_PULSE_S = 0.05


async def main(settings: TwinSettings, stop: asyncio.Event) -> None:
    """Own the folder and serve the terminal.

    Raises:
        SettingsError: the folder is taken or another account's, or a feed can not be played.
    """
    log = get_logger(__name__)
    try:
        with ExitStack() as stack:
            terminal = _open_terminal(settings, stack)
            stack.enter_context(TerminalListener(terminal, settings.folder))
            log.info("the terminal serves", folder=str(settings.folder), feeds=settings.feeds, speed=settings.speed)
            while not stop.is_set():
                terminal.pulse()
                with suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), _PULSE_S)
    except LockedError:
        raise SettingsError(f"setting 'folder': {settings.folder} is in use by another terminal") from None
    except ForeignFolderError as error:
        raise SettingsError(f"setting 'folder': {error}") from None
    except (FeedError, TickFileError) as error:
        raise SettingsError(f"setting 'feeds', 'hidden' or 'speed': {error}") from None


def _open_terminal(settings: TwinSettings, stack: ExitStack) -> Terminal:
    feeds = plan_feeds(settings.feeds)
    check_speed(settings.speed, feeds)
    clock = _steady_clock()
    settings.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    stack.enter_context(file_lock(settings.folder / "lock"))
    names = {symbol: symbol + settings.suffix for symbol in replayed_files(feeds) or HABITS}
    terms = {name: settings.terms_of(symbol) for symbol, name in names.items()}
    books = stack.enter_context(closing(Books(settings.folder / "books.sqlite", settings.durability)))
    market = stack.enter_context(
        open_market(
            settings.folder / "market", books, feeds, settings.seed, settings.speed, clock, settings.hidden,
            settings.suffix, {name: one.sessions for name, one in terms.items()},
        )
    )  # fmt: skip
    dealer = Dealer(_account_terms(settings, server_name(feeds, settings.seed)), market, books, clock, terms)
    faults = Faults(settings.faults, settings.fault_seed, settings.latency_ms)
    terminal = Terminal(settings.folder, settings.password.get_secret_value(), market, books, dealer, faults)
    stack.callback(terminal.close)
    return terminal


def _account_terms(settings: TwinSettings, server: str) -> AccountTerms:
    return AccountTerms(
        server=server,
        login=settings.login,
        currency=settings.currency,
        leverage=settings.leverage,
        deposit=settings.balance,
        margin_mode=_MARGIN_MODES[settings.margin_mode],
        trade_mode=_TRADE_MODES[settings.trade_mode],
        fifo_close=settings.fifo_close,
        hedge_prohibited=settings.hedge_prohibited,
        limit_orders=settings.limit_orders,
        limit_positions=settings.limit_positions,
        requests_per_s=settings.requests_per_s,
        margin_call=settings.margin_call,
        stop_out=settings.stop_out,
    )


def _steady_clock() -> Clock:
    """Unix milliseconds that never step back."""
    begin = unix_ms() - time.monotonic_ns() // 1_000_000
    return lambda: begin + time.monotonic_ns() // 1_000_000
