"""Messages of the contract as domain values, and back."""

from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import TypeVar

from suho.common.v1 import account_pb2
from suho.database.v1 import order_service_pb2 as db
from suho.trading.v1 import order_pb2
from suho.trading.v1 import trading_pb2 as pb

from mesh.errors import MeshError, Reason
from mesh.orders import (
    KIND_FIELDS,
    LONGEST_NAME,
    LONGEST_REPORT_ID,
    BadAmountError,
    Kind,
    amount,
    kind_defect,
    plain,
    price,
    volume,
)
from services.trading_engine.agent_said import AgentSaid
from services.trading_engine.domain.completion import to_be_found
from services.trading_engine.domain.order import (
    AccountId,
    AccountView,
    Exposure,
    Intent,
    OrderState,
    Side,
    SymbolSpec,
    SymbolTradeMode,
    TradingState,
    is_open,
)
from services.trading_engine.domain.risk import Denial

T = TypeVar("T")
# They have the fields of an order in common.
OrderMessage = pb.SubmitSignalRequest | order_pb2.Order

_LARGEST = 2**63 - 1


def account_id(message: account_pb2.AccountRef) -> AccountId:
    """Raises MeshError INVALID_ARGUMENT."""
    if not message.login:
        raise invalid("account.login is 0; give the account's number")
    return AccountId(name("account.server", message.server), message.login)


def account_ref(account: AccountId) -> account_pb2.AccountRef:
    return account_pb2.AccountRef(server=account.server, login=account.login)


def name(field: str, text: str, longest: int = LONGEST_NAME) -> str:
    """A name that is there and not absurdly long.

    Raises:
        MeshError: INVALID_ARGUMENT.
    """
    if not text or len(text) > longest or not text.isprintable():
        raise invalid(f"{field} is {text[:40]!r}; give 1 to {longest} printable characters")
    return text


def report_id(text: str) -> str:
    """Raises MeshError INVALID_ARGUMENT."""
    return name("report_id", text, LONGEST_REPORT_ID)


def side(value: int) -> Side:
    """Raises MeshError INVALID_ARGUMENT."""
    if value not in set(Side):
        raise invalid(f"side is {value or 'not set'}; say BUY or SELL")
    return Side(value)


def decimal(read: Callable[[str, str], T], field: str, text: str) -> T:
    """Raises MeshError INVALID_ARGUMENT."""
    try:
        return read(field, text)
    except BadAmountError as error:
        raise invalid(str(error)) from None


def symbol_specs(messages: Iterable[order_pb2.SymbolSpec]) -> Mapping[str, SymbolSpec]:
    """Raises MeshError INVALID_ARGUMENT."""
    return {
        name("symbols.symbol", message.symbol): SymbolSpec(
            decimal(amount, f"{message.symbol}: volume_min", message.volume_min),
            decimal(amount, f"{message.symbol}: volume_max", message.volume_max),
            decimal(amount, f"{message.symbol}: volume_step", message.volume_step),
            _trade_mode(message.trade_mode),
        )
        for message in messages
    }


def view_of(account: db.Account, said: AgentSaid | None, now_unix_ms: int) -> AccountView:
    """An account as the database has it, with what its agent says; None: no agent is connected."""
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
        symbols=said.symbols if said else None,
        now_unix_ms=now_unix_ms,
        hedging=said.hedging if said else False,
        halt=said.halt if said else None,
        books=said.books if said else None,
        markets=said.markets if said else {},
        state_reason=account.state_reason,
    )


def order_of(intent: Intent, denial: Denial | None) -> order_pb2.Order:
    """The order to be committed: PENDING, or DENIED with its reason."""
    return order_pb2.Order(
        signal_id=intent.signal_id,
        account=account_ref(intent.account),
        symbol=intent.symbol,
        side=order_pb2.OrderSide.ValueType(intent.side or 0),
        volume=plain(intent.volume),
        stop_loss=plain(intent.stop_loss),
        take_profit=plain(intent.take_profit),
        strategy=intent.strategy,
        state=order_pb2.ORDER_STATE_DENIED if denial else order_pb2.ORDER_STATE_PENDING,
        reason=denial.reason if denial else "",
        message=denial.message if denial else "",
        times=order_pb2.OrderTimes(submitted_unix_ns=intent.submitted_unix_ns),
        not_after_unix_ms=intent.not_after_unix_ms,
        kind=order_pb2.OrderKind.Value(f"ORDER_KIND_{intent.kind}"),
        price=plain(intent.price),
        limit_price=plain(intent.limit_price),
        position=intent.position,
        opposite_position=intent.opposite_position,
        order_ticket=intent.order_ticket,
        expires_unix_ms=intent.expires_unix_ms,
        deviation_points=intent.deviation_points,
    )


def intent_of(message: OrderMessage, strategy: str, submitted_unix_ns: int, not_after_unix_ms: int) -> Intent:
    """What a request or an order asks for.

    Raises:
        MeshError: INVALID_ARGUMENT, naming the field.
    """
    wanted = kind(message.kind)
    defect = kind_defect(wanted, [field for field in KIND_FIELDS if getattr(message, field)], to_be_found(wanted))
    if defect:
        raise invalid(defect)
    may_be_empty = "symbol" in to_be_found(wanted) and not message.symbol
    return Intent(
        signal_id=name("signal_id", message.signal_id),
        account=account_id(message.account),
        symbol="" if may_be_empty else name("symbol", message.symbol),
        side=side(message.side) if message.side else None,
        volume=decimal(volume, "volume", message.volume) if message.volume else None,
        stop_loss=decimal(price, "stop_loss", message.stop_loss),
        take_profit=decimal(price, "take_profit", message.take_profit),
        strategy=strategy,
        submitted_unix_ns=submitted_unix_ns,
        not_after_unix_ms=not_after_unix_ms,
        kind=wanted,
        price=decimal(price, "price", message.price),
        limit_price=decimal(price, "limit_price", message.limit_price),
        position=_ticket("position", message.position),
        opposite_position=_ticket("opposite_position", message.opposite_position),
        order_ticket=_ticket("order_ticket", message.order_ticket),
        expires_unix_ms=_moment("expires_unix_ms", message.expires_unix_ms),
        deviation_points=message.deviation_points,
    )


def intent_of_order(order: order_pb2.Order) -> Intent:
    """Raises MeshError INVALID_ARGUMENT."""
    return intent_of(order, order.strategy, order.times.submitted_unix_ns, order.not_after_unix_ms)


def kind(value: int) -> Kind:
    """Raises MeshError INVALID_ARGUMENT."""
    if value not in order_pb2.OrderKind.values() or value == 0:
        raise invalid(f"kind is {value or 'not set'}; say one of {', '.join(Kind)}")
    return Kind(order_pb2.OrderKind.Name(order_pb2.OrderKind.ValueType(value)).removeprefix("ORDER_KIND_"))


def _trade_mode(value: int) -> SymbolTradeMode:
    """One of a newer contract is as good as none: the terminal has the say."""
    return SymbolTradeMode(value) if value in set(SymbolTradeMode) else SymbolTradeMode.UNKNOWN


def _ticket(field: str, value: int) -> int:
    if value > _LARGEST:
        raise invalid(f"{field} is {value}; that is no ticket")
    return value


def _moment(field: str, unix_ms: int) -> int:
    if unix_ms < 0:
        raise invalid(f"{field} is {unix_ms}; give unix milliseconds, or 0 for none")
    return unix_ms


def state_of(order: order_pb2.Order) -> OrderState:
    return OrderState(order.state)


def still_open(order: order_pb2.Order) -> bool:
    """More may come of it."""
    return is_open(kind(order.kind), state_of(order))


def invalid(sentence: str) -> MeshError:
    return MeshError(Reason.INVALID_ARGUMENT, sentence)
