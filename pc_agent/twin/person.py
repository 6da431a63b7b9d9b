"""The person at the terminal: trades by hand, logs in to another account, and looks into the books."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from pc_agent.twin import constants as mt5
from pc_agent.twin.books import Books
from pc_agent.twin.dealer import Dealer
from pc_agent.twin.domain.interference import Fate
from pc_agent.twin.results import AccountInfo, OrderSendResult, TradeDeal, TradeOrder, TradePosition, TradeRequest

_FILLINGS = ((1, mt5.ORDER_FILLING_FOK), (2, mt5.ORDER_FILLING_IOC))  # bits of a symbol's filling_mode


class TwinBooks(NamedTuple):
    """Everything that was ever ordered and dealt, by ticket, whatever account is shown."""

    positions: tuple[TradePosition, ...]
    orders: tuple[TradeOrder, ...]  # that wait
    history: tuple[TradeOrder, ...]
    deals: tuple[TradeDeal, ...]


class Person:
    """Called under the terminal's lock.

    While another account is logged in, `other_account` answers what clients ask of the account; it holds nothing and
    may not trade.
    """

    def __init__(self, books: Books, dealer: Dealer) -> None:
        self._books = books
        self._dealer = dealer
        self._strays = 0
        self.other_account: Mapping[str, Callable[..., Any]] = {}
        functions: tuple[Callable[..., Any], ...] = (
            self.request_by_hand, self.log_in_as, self.stray_orders, self.all_books,
        )  # fmt: skip
        self.functions = {function.__name__: function for function in functions}

    def request_by_hand(self, fields: dict[str, Any]) -> OrderSendResult:
        """Fields of TradeRequest; AutoTrading may be off."""
        symbol = fields.get("symbol", "")
        terms = self._dealer.quotes.terms.get(symbol)
        if "type_filling" not in fields and terms is not None:
            fitting = (filling for bit, filling in _FILLINGS if terms.filling_mode & bit)
            fields = {**fields, "type_filling": next(fitting, mt5.ORDER_FILLING_RETURN)}
        return self._dealer.send(TradeRequest(**fields), Fate(reason=mt5.ORDER_REASON_CLIENT))

    def log_in_as(self, login: int, server: str) -> None:
        """Another account is shown until a client logs in to the terminal's own."""
        own = self._dealer.account.info()
        info = AccountInfo(
            login=login, trade_mode=own.trade_mode, leverage=own.leverage, trade_allowed=True, trade_expert=True,
            margin_mode=own.margin_mode, currency_digits=2, name="Another", server=server, currency=own.currency,
            company=own.company,
        )  # fmt: skip
        self.other_account = {
            "account_info": lambda: info,
            **dict.fromkeys(("positions_total", "orders_total", "history_orders_total", "history_deals_total"), _zero),
            **dict.fromkeys(("positions_get", "orders_get", "history_orders_get", "history_deals_get"), _nothing),
        }

    def leave_other_account(self) -> None:
        self.other_account = {}

    def refusal(self) -> Fate:
        """What becomes of a request while another account is shown: it is counted."""
        self._strays += 1
        return Fate(retcode=mt5.TRADE_RETCODE_TRADE_DISABLED)

    def stray_orders(self) -> int:
        """Requests that clients sent while another account was shown."""
        return self._strays

    def all_books(self) -> TwinBooks:
        return TwinBooks(
            positions=tuple(self._dealer.account.positions()),
            orders=tuple(self._books.working.values()),
            history=tuple(self._books.orders_of()),
            deals=tuple(self._books.deals_of()),
        )


def _zero(*_: object) -> int:
    return 0


def _nothing(*_: object) -> tuple[()]:
    return ()
