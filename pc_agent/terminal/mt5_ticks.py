"""Reading a terminal's ticks: live ones of the open symbols, and pages of its history."""

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import numpy as np

from mesh.clock import boot_ns
from mesh.log import get_logger
from mesh.market import BEFORE_FIRST, TickId
from mesh.waiting import backoff
from pc_agent.domain.history import before, touched_digests
from pc_agent.domain.page_size import PageSize
from pc_agent.domain.symbol_names import SymbolNames
from pc_agent.domain.tick_cursor import FIRST_MSC, PAGE_TICKS, Columns, Progress, TickCursor
from pc_agent.terminal.messages import (
    CloseSymbol,
    Credit,
    Event,
    HistoryFound,
    HistoryPage,
    NewestRead,
    ReadHistory,
    Reading,
    ReadNewest,
    TicksRead,
)
from pc_agent.terminal.mt5_session import BrokerLink, answered
from pc_agent.terminal.quote_ages import QuoteAges

log = get_logger(__name__)

_MESSAGE_TICKS = 2_000
# Between two looks whether history has been loaded, from and to; each may keep the terminal busy for a while.
LOADING_PAUSES_S = 0.2, 5.0
_LOADING_TOLD_S = 30.0
# To look whose account it is takes a third of this; with many symbols a round takes much longer.
_HELD_NS = 500_000


class _Reader:
    """One open symbol."""

    def __init__(self, reading: Reading, page_ticks: int) -> None:
        self.symbol = reading.symbol
        self.generation = reading.generation
        self.credit = reading.credit
        self.cursor = TickCursor(reading.after, page_ticks)
        self.anchor_told = False
        self.complained: int | None = None
        self.refused = self.refused_told = 0
        # Monotonic: since when its history is being loaded, when to ask again.
        self.loading_since: float | None = None
        self.loading_told = False
        self.ask_at = 0.0
        self.pauses = backoff(*LOADING_PAUSES_S)


class TickReaders:
    """The open symbols.

    A person may log the terminal in to another account at any moment. So what was read is held, a page or half a
    millisecond, until the account has been seen to be ours still, and only then sent; else it is dropped with all
    readers, and the agent asks anew when the terminal is back.
    """

    def __init__(
        self, mt5: Any, names: SymbolNames, broker: BrokerLink, ages: QuoteAges, send: Callable[[Event], None]
    ) -> None:
        self._pages = TickPages(mt5, names)
        self._mt5 = mt5
        self._names = names
        self._ages = ages
        self._broker = broker
        self._send = send
        self._readers: dict[str, _Reader] = {}
        self._unsent: list[Event] = []
        self._unsent_ticks = 0
        self._unsent_since_ns = 0

    def steer(self, command: Reading | CloseSymbol | Credit) -> None:
        if isinstance(command, Reading):
            self._readers[command.symbol] = _Reader(command, self._pages.size.ticks)
        elif isinstance(command, CloseSymbol):
            self._readers.pop(command.symbol, None)
        elif reader := self._readers.get(command.symbol):
            reader.credit += command.ticks

    def drop(self) -> None:
        """The terminal is gone: nothing is open any more."""
        self._readers.clear()
        self._unsent.clear()
        self._unsent_ticks = 0

    def read_round(self, between: Callable[[], None]) -> bool:
        """One page of every symbol, `between` before each; whether any may have more.

        Raises:
            TerminalGoneError: it does not answer, or has another account.
        """
        more = False
        for symbol in tuple(self._readers):
            between()
            reader = self._readers.get(symbol)
            if reader and reader.credit > 0 and time.monotonic() >= reader.ask_at:
                more |= self._read(reader)
                if self._unsent_ticks >= PAGE_TICKS or self._held_ns() > _HELD_NS:
                    self._hand_over()
        self._hand_over()
        return more

    def _read(self, reader: _Reader) -> bool:
        cursor = reader.cursor
        page = self._pages.read(reader.symbol, cursor)
        read_unix_ns = time.time_ns()
        if page is None:
            self._complain(reader)
            return False
        if self._pages.is_loading(reader.symbol, cursor, page):
            _wait_for_history(reader)
            return False
        reader.loading_since = None
        progress = cursor.accept(page, reader.credit)
        if cursor.anchor and not reader.anchor_told:
            reader.anchor_told = True
            self._unsent.append(HistoryFound(reader.symbol, reader.generation, cursor.anchor))
        if progress.columns is not None:
            self._keep(reader, read_unix_ns, progress.columns, not progress.more)
            if not progress.more:  # else they are of the past
                self._ages.moved(self._names.broker(reader.symbol), boot_ns())
        if progress.refused:
            _tell_refused(reader, progress)
        return progress.more and reader.credit > 0

    def _held_ns(self) -> int:
        return time.monotonic_ns() - self._unsent_since_ns if self._unsent else 0

    def _keep(self, reader: _Reader, read_unix_ns: int, columns: Columns, is_newest: bool) -> None:
        if not self._unsent:
            self._unsent_since_ns = time.monotonic_ns()
        total = len(columns["time_msc"])
        reader.credit -= total
        self._unsent_ticks += total
        self._unsent += messages_of(reader.symbol, reader.generation, read_unix_ns, columns, is_newest)

    def _hand_over(self) -> None:
        if not self._unsent:
            return
        self._broker.require_account()
        for event in self._unsent:
            self._send(event)
        self._unsent.clear()
        self._unsent_ticks = 0

    def _complain(self, reader: _Reader) -> None:
        code, text = self._mt5.last_error()
        if code != reader.complained:
            reader.complained = code
            log.warning("the terminal gives no ticks", symbol=reader.symbol, because=text, code=code)


class TickPages:
    """Reads pages of a size that the terminal hands out fast enough for an order that comes meanwhile."""

    def __init__(self, mt5: Any, names: SymbolNames) -> None:
        self.size = PageSize(PAGE_TICKS)
        self._mt5 = mt5
        self._names = names

    def read(self, symbol: str, cursor: TickCursor) -> Any:
        """What the cursor asks for; None: the terminal gives none.

        Raises:
            TerminalGoneError: it does not answer.
        """
        cursor.page_ticks = self.size.ticks
        asked, start = cursor.count, datetime.fromtimestamp(cursor.from_s, UTC)
        began = time.monotonic_ns()
        page = self._mt5.copy_ticks_from(self._names.broker(symbol), start, asked, self._mt5.COPY_TICKS_ALL)
        took_ns = time.monotonic_ns() - began
        page = answered(self._mt5, page, f"copy_ticks_from {symbol}")
        if page is not None:
            self.size.measured(asked, took_ns)
        return page

    def is_loading(self, symbol: str, cursor: TickCursor, page: Any) -> bool:
        """Whether an empty page says nothing: the terminal shows a newer tick than where it was asked from.

        A terminal that has to load old ticks first answers with none, and with Success.

        Raises:
            TerminalGoneError: it does not answer.
        """
        if len(page):
            return False
        quote = answered(self._mt5, self._mt5.symbol_info_tick(self._names.broker(symbol)), "symbol_info_tick")
        return quote is not None and quote.time_msc // 1000 >= cursor.from_s


class History:
    """Pages of the past, and what the newest tick is. An order goes `between` two reads of the same question."""

    def __init__(self, mt5: Any, names: SymbolNames, broker: BrokerLink, between: Callable[[], None]) -> None:
        self._pages = TickPages(mt5, names)
        self._mt5 = mt5
        self._names = names
        self._broker = broker
        self._between = between

    def read(self, ask: ReadHistory) -> HistoryPage:
        """One page; more than one read only where a second holds more ticks than a page.

        Raises:
            TerminalGoneError: it does not answer, or has another account.
        """
        cursor = TickCursor(ask.after)
        progress = Progress(None, True)
        while progress.columns is None and progress.more:
            self._between()
            page = self._pages.read(ask.symbol, cursor)
            if page is None:
                code, text = self._mt5.last_error()
                return HistoryPage(ask.request, error=f"the terminal gives no ticks of {ask.symbol}: {text} ({code})")
            if self._pages.is_loading(ask.symbol, cursor, page):
                return HistoryPage(ask.request, ask.after, is_loading=True)
            progress = cursor.accept(page, PAGE_TICKS)
        read_unix_ns = time.time_ns()
        self._broker.require_account()
        return history_page(ask, cursor.after, progress, read_unix_ns)

    def newest(self, ask: ReadNewest) -> NewestRead:
        """The newest tick, with its place in its millisecond.

        Raises:
            TerminalGoneError: it does not answer, or has another account.
        """
        quote = self._mt5.symbol_info_tick(self._names.broker(ask.symbol))
        quote = answered(self._mt5, quote, "symbol_info_tick")
        if quote is None or quote.time_msc < FIRST_MSC:
            return NewestRead(ask.request, BEFORE_FIRST)
        cursor, more = TickCursor(before(quote.time_msc // 1000 * 1000)), True
        while more:
            self._between()
            page = self._pages.read(ask.symbol, cursor)
            more = page is not None and cursor.accept(page, len(page)).more
        self._broker.require_account()
        # The quote may be ahead of the history.
        return NewestRead(ask.request, max(cursor.after, TickId(quote.time_msc, 0)))


def messages_of(
    symbol: str, generation: int, read_unix_ns: int, columns: Columns, is_newest: bool
) -> Iterator[TicksRead]:
    """Ticks in pieces that a message holds."""
    total = len(columns["time_msc"])
    for at in range(0, total, _MESSAGE_TICKS):
        part = {name: column[at : at + _MESSAGE_TICKS].tobytes() for name, column in columns.items()}
        yield TicksRead(symbol, generation, read_unix_ns, part, is_newest and at + _MESSAGE_TICKS >= total)


def history_page(ask: ReadHistory, last: TickId, progress: Progress, read_unix_ns: int) -> HistoryPage:
    """What a page brought, as the answer to `ask`."""
    if progress.columns is None:
        return HistoryPage(ask.request, last)
    stop = int(np.searchsorted(progress.columns["time_msc"], ask.to_msc))
    columns = {name: column[:stop] for name, column in progress.columns.items()}
    ended = stop < len(progress.columns["time_msc"]) or not progress.more
    if ask.bucket_ms:
        found = touched_digests(columns, ask.from_msc, ask.bucket_ms)
        return HistoryPage(ask.request, last, ended, digests=tuple(found))
    given = {name: column.tobytes() for name, column in columns.items()} if stop else {}
    return HistoryPage(ask.request, last, ended, read_unix_ns, given)


def _wait_for_history(reader: _Reader) -> None:
    """Ask less and less often, but for ever: what is read is behind what comes."""
    now = time.monotonic()
    if reader.loading_since is None:
        reader.loading_since, reader.loading_told, reader.pauses = now, False, backoff(*LOADING_PAUSES_S)
    reader.ask_at = now + next(reader.pauses)
    if now - reader.loading_since > _LOADING_TOLD_S and not reader.loading_told:
        reader.loading_told = True
        log.warning("HISTORY_UNAVAILABLE: the terminal has not loaded its old ticks yet", symbol=reader.symbol)


def _tell_refused(reader: _Reader, progress: Progress) -> None:
    """At once, then each time that there are twice as many."""
    reader.refused += progress.refused
    if reader.refused >= 2 * reader.refused_told:
        reader.refused_told = reader.refused
        log.error(
            "ticks of an impossible time are refused: before 1970 or after 2099",
            symbol=reader.symbol,
            ticks=reader.refused,
        )
