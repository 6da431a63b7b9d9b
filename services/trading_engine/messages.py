"""Messages of the contract as domain values, and back."""

from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import TypeVar

from suho.common.v1 import account_pb2
from suho.database.v1 import order_service_pb2 as db
from suho.trading.v1 import order_pb2

from mesh.errors import MeshError, Reason
from services.trading_engine.domain import decimals
from services.trading_engine.domain.order import (
    AccountId,
    AccountView,
    Exposure,
    Intent,
    OrderState,
    Side,
    SymbolSpec,
    TradingState,
)
from services.trading_engine.domain.risk import Denial

T = TypeVar("T")

_LONGEST_NAME = 128
# An agent makes it of the signal's id and the state; the database takes as many.
_LONGEST_REPORT_ID = 200


def account_id(message: account_pb2.AccountRef) -> AccountId:
    """Raises MeshError INVALID_ARGUMENT."""
    if not message.login:
        raise invalid("account.login is 0; give the account's number")
    return AccountId(name("account.server", message.server), message.login)


def account_ref(account: AccountId) -> account_pb2.AccountRef:
    return account_pb2.AccountRef(server=account.server, login=account.login)


def name(field: str, text: str, longest: int = _LONGEST_NAME) -> str:
    """A name that is there and not absurdly long.

    Raises:
        MeshError: INVALID_ARGUMENT.
    """
    if not text or len(text) > longest or not text.isprintable():
        raise invalid(f"{field} is {text[:40]!r}; give 1 to {longest} printable characters")
    return text


def report_id(text: str) -> str:
    """Raises MeshError INVALID_ARGUMENT."""
    return name("report_id", text, _LONGEST_REPORT_ID)


def side(value: int) -> Side:
    """Raises MeshError INVALID_ARGUMENT."""
    if value not in set(Side):
        raise invalid("side is not set; say BUY or SELL")
    return Side(value)


def decimal(read: Callable[[str, str], T], field: str, text: str) -> T:
    """Raises MeshError INVALID_ARGUMENT."""
    try:
        return read(field, text)
    except decimals.BadDecimalError as error:
        raise invalid(str(error)) from None


def symbol_specs(messages: Iterable[order_pb2.SymbolSpec]) -> Mapping[str, SymbolSpec]:
    """Raises MeshError INVALID_ARGUMENT."""
    return {
        name("symbols.symbol", message.symbol): SymbolSpec(
            decimal(decimals.parse, f"{message.symbol}: volume_min", message.volume_min),
            decimal(decimals.parse, f"{message.symbol}: volume_max", message.volume_max),
            decimal(decimals.parse, f"{message.symbol}: volume_step", message.volume_step),
        )
        for message in messages
    }


def view_of(account: db.Account, symbols: Mapping[str, SymbolSpec] | None, now_unix_ms: int) -> AccountView:
    """An account as the database has it, with what its agent can trade."""
    return AccountView(
        account=AccountId(account.account.server, account.account.login),
        trading_state=TradingState(account.trading_state),
        revision=account.revision,
        exposures=tuple(
            Exposure(
                exposure.symbol,
                exposure.strategy,
                Decimal(exposure.net_volume),
                exposure.open_orders,
                exposure.unknown_orders,
            )
            for exposure in account.exposures
        ),
        symbols=symbols,
        now_unix_ms=now_unix_ms,
    )


def order_of(intent: Intent, denial: Denial | None) -> order_pb2.Order:
    """The order to be committed: PENDING, or DENIED with its reason."""
    return order_pb2.Order(
        signal_id=intent.signal_id,
        account=account_ref(intent.account),
        symbol=intent.symbol,
        side=order_pb2.OrderSide.ValueType(intent.side),
        volume=decimals.text(intent.volume),
        stop_loss=decimals.text(intent.stop_loss),
        take_profit=decimals.text(intent.take_profit),
        strategy=intent.strategy,
        state=order_pb2.ORDER_STATE_DENIED if denial else order_pb2.ORDER_STATE_PENDING,
        reason=denial.reason if denial else "",
        message=denial.message if denial else "",
        times=order_pb2.OrderTimes(submitted_unix_ns=intent.submitted_unix_ns),
        not_after_unix_ms=intent.not_after_unix_ms,
    )


def state_of(order: order_pb2.Order) -> OrderState:
    return OrderState(order.state)


def invalid(sentence: str) -> MeshError:
    return MeshError(Reason.INVALID_ARGUMENT, sentence)
