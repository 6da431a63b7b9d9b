"""The terminal: every function that a client may call, answered from the market and the books."""

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from pc_agent.twin import constants as mt5
from pc_agent.twin.account import COMPANY
from pc_agent.twin.back_office import BackOffice, TerminalState
from pc_agent.twin.book_reads import BookReads
from pc_agent.twin.books import Books
from pc_agent.twin.charts import MAX_BARS, Charts
from pc_agent.twin.dealer import Dealer
from pc_agent.twin.domain.interference import Fate, Interference, NoInterference
from pc_agent.twin.market import Market
from pc_agent.twin.operations import Operations
from pc_agent.twin.person import Person
from pc_agent.twin.results import AccountInfo, OrderCheckResult, OrderSendResult, TerminalInfo, TradeRequest
from pc_agent.twin.symbols import Symbols
from pc_agent.twin.wire import SUCCESS, Reply, TerminalError

BUILD = 5000
RELEASED = "1 Jan 2026"
_TERMINAL = 500  # what version() of a MetaTrader 5 begins with

_HISTORY_READS = (
    "copy_ticks_from", "copy_ticks_range", "copy_rates_from", "copy_rates_from_pos", "copy_rates_range",
)  # fmt: skip

P = ParamSpec("P")
V = TypeVar("V")

AUTH_FAILED = (mt5.RES_E_AUTH_FAILED, "Terminal: Authorization failed")
API_DISABLED = (mt5.RES_E_AUTO_TRADING_DISABLED, "Auto-Trading using Python API disabled in Terminal")


class Terminal:
    """One lock around everything: a call sees the market and the account as they are at one moment."""

    def __init__(
        self,
        folder: Path,
        password: str,
        market: Market,
        books: Books,
        dealer: Dealer,
        interference: Interference | None = None,
    ) -> None:
        self._folder = folder
        self._password = password
        self._market = market
        self._books = books
        self._dealer = dealer
        self._interference = interference or NoInterference()
        self._operations = Operations(market, books)
        self._state = TerminalState()
        self._lock = threading.Lock()
        self._closed = False
        self._offline_until = 0.0
        self._person = Person(books, dealer)
        own: tuple[Callable[..., Any], ...] = (
            self.login, self.version, self.terminal_info, self.account_info, self.order_check,
        )  # fmt: skip
        self._functions: dict[str, Callable[..., Any]] = {
            **{function.__name__: function for function in own},
            **Symbols(market, books, dealer).functions,
            **BookReads(books, dealer.account).functions,
            **Charts(market).functions,
            **self._operations.functions,
            **BackOffice(dealer, self._state).functions,
            **self._person.functions,
            **self._interference.functions,
        }

    def handle(self, function: str, arguments: tuple[Any, ...]) -> Reply:
        """Answer one call; what falls due before it happens before it.

        Raises:
            ConnectionError: the terminal has closed meanwhile.
        """
        try:
            self._interference.before_call(function)
            if function in _HISTORY_READS and not self._operations.before_history_read(function, arguments):
                return (*SUCCESS, b"")
            if function == "order_send":
                return (*SUCCESS, self._disturbed_order_send(*arguments))
            answering = self._person.other_account.get(function, self._functions[function])
            return (*SUCCESS, self._locked(answering, *arguments))
        except TerminalError as error:
            return error.code, error.message, None

    def pulse(self) -> None:
        """Let the market move and meet its stops when nobody calls."""
        with self._lock:
            self._advance()
        # These may wait for the disk; nobody waits for them.
        self._market.settle()
        self._books.settle()

    def close(self) -> None:
        """Finish the call that is being answered; answer no more."""
        with self._lock:
            self._closed = True

    def _disturbed_order_send(self, request: TradeRequest) -> OrderSendResult:
        fate = self._interference.before_order(request)
        result = self._locked(self._order_send, request, fate)
        return self._interference.after_order(request, result)

    def _locked(self, function: Callable[P, V], *args: P.args, **kwargs: P.kwargs) -> V:
        with self._lock:
            if self._closed:
                raise ConnectionError("the terminal has closed")
            self._advance()
            return function(*args, **kwargs)

    def _advance(self) -> None:
        for happening in self._interference.happenings():
            if happening.correction is not None:
                self._operations.correct_one(happening.correction)
            self._offline_until = max(self._offline_until, time.monotonic() + happening.offline_s)
        if not self._is_connected():
            return  # what happens meanwhile is heard of later
        with self._books.together():
            self._dealer.pass_time()
            for symbol, fresh in self._market.advance():
                self._dealer.meet(symbol, fresh)

    def _is_connected(self) -> bool:
        return self._state.connected and time.monotonic() >= self._offline_until

    def login(self, login: int | None, password: str | None, server: str | None) -> None:
        """Raises TerminalError unless what is given is this terminal's account; nothing given is its own."""
        account = self._dealer.account.terms
        wrong = (
            login not in (None, account.login)
            or password not in (None, self._password)
            or server not in (None, account.server)
        )
        if wrong:
            raise TerminalError(*AUTH_FAILED)
        if login is not None:
            self._person.leave_other_account()

    def version(self) -> tuple[int, int, str]:
        return _TERMINAL, BUILD, RELEASED

    def terminal_info(self) -> TerminalInfo:
        folder = str(self._folder)
        return TerminalInfo(
            connected=self._is_connected(),
            trade_allowed=self._state.trade_allowed,
            tradeapi_disabled=self._state.tradeapi_disabled,
            build=BUILD,
            maxbars=MAX_BARS,
            ping_last=self._state.ping_us,
            retransmission=self._state.retransmission,
            company=COMPANY,
            name="Suho twin terminal",
            language="English",
            path=folder,
            data_path=folder,
            commondata_path=folder,
        )

    def account_info(self) -> AccountInfo:
        return self._dealer.account.info()

    def order_check(self, request: TradeRequest) -> OrderCheckResult:
        return self._dealer.check(request)

    def _order_send(self, request: TradeRequest, fate: Fate) -> OrderSendResult:
        """The terminal's own state stands before the broker's rules."""
        if self._state.tradeapi_disabled:
            raise TerminalError(*API_DISABLED)
        if self._person.other_account:
            return self._dealer.send(request, self._person.refusal())
        if not self._is_connected():
            return self._dealer.send(request, Fate(retcode=mt5.TRADE_RETCODE_CONNECTION))
        if not self._state.trade_allowed:
            return self._dealer.send(request, Fate(retcode=mt5.TRADE_RETCODE_CLIENT_DISABLES_AT))
        return self._dealer.send(request, fate)
