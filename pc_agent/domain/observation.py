"""What a look at a terminal tells of its broker, its installation and its account."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from pc_agent.domain.books import BookDeal
from pc_agent.domain.reference import (
    AccountType,
    Broker,
    Content,
    Instance,
    SpreadType,
    Status,
    TradingAccount,
    account_id,
    broker_id,
    instance_id,
)

# MT5's numbers of trade modes.
_ACCOUNT_TYPES = (AccountType.DEMO, AccountType.CONTEST, AccountType.LIVE)
_MONEY = Decimal("0.00000001")
_HUNDRED = Decimal(100)


@dataclass(frozen=True, slots=True)
class TerminalLook:
    """As `terminal_info`, `account_info` and the symbols say; `trade_mode` is MT5's number."""

    path: str
    connected: bool
    server: str
    company: str
    login: int
    trade_mode: int
    currency: str
    leverage: int
    balance: float
    equity: float
    cpu_limit_percent: float
    memory_limit_mb: float
    # By the mesh's names.
    pairs: Sequence[str]
    floating_spread: bool
    commission_per_lot: float | None = None


def seen(agent: str, look: TerminalLook) -> list[Content]:
    """Each after what it refers to."""
    status = Status.ACTIVE if look.connected else Status.INACTIVE
    broker = Broker(
        broker_id(look.server),
        look.company,
        look.server,
        None if look.commission_per_lot is None else money(look.commission_per_lot),
        SpreadType.VARIABLE if look.floating_spread else SpreadType.FIXED,
        (_HUNDRED / look.leverage).quantize(_MONEY) if look.leverage else None,
        tuple(sorted(look.pairs)),
    )
    instance = Instance(
        instance_id(agent, look.path, look.server),
        look.path,
        status,
        broker.broker_id,
        look.cpu_limit_percent,
        look.memory_limit_mb,
    )
    account = TradingAccount(
        account_id(look.server, look.login),
        broker.broker_id,
        instance.instance_id,
        _ACCOUNT_TYPES[look.trade_mode],
        look.currency,
        float(look.leverage),
        money(look.balance),
        money(look.equity),
        status,
        look.login,
    )
    return [broker, instance, account]


def money(value: float) -> Decimal:
    """The shortest decimal that means this double, as the terminal shows it."""
    return Decimal(repr(value)).quantize(_MONEY)


def commission_per_lot(deals: Iterable[BookDeal], known: float | None) -> float | None:
    """What the newest of the trades that cost a commission cost a lot; `known` where none did."""
    paid = [deal for deal in deals if deal.commission and deal.volume]
    if not paid:
        return known
    newest = max(paid, key=lambda deal: deal.ticket)
    return abs(newest.commission) / newest.volume
