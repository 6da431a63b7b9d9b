"""A signal on the PC: what it asks, how far it got, what is reported of it."""

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from hashlib import blake2b

from mesh.orders import PENDING_KINDS, Kind

MAX_SIGNALS = 100


class Side(StrEnum):
    BUY = "BUY"
    SELL = "SELL"


class OrderState(StrEnum):
    """How far a signal got. RECEIVED, INTENT and SENT are the ledger's own; the others are reported."""

    RECEIVED = "RECEIVED"
    INTENT = "INTENT"
    # The worker said that it was about to call `order_send`.
    SENT = "SENT"
    # A pending order that waits at the broker.
    PLACED = "PLACED"
    FILLED = "FILLED"
    PARTIALLY_FILLED = "PARTIALLY_FILLED"
    REJECTED = "REJECTED"
    EXPIRED = "EXPIRED"
    UNKNOWN = "UNKNOWN"
    NOT_EXECUTED = "NOT_EXECUTED"
    CANCELED = "CANCELED"
    # A change was made: nothing was bought or sold.
    DONE = "DONE"


_S = OrderState
# At the terminal's door, or in its hands.
_ON_ITS_WAY = frozenset({_S.INTENT, _S.SENT})
_WORKING = frozenset({_S.PLACED, _S.PARTIALLY_FILLED})
_CALLED_DEAD = frozenset({_S.REJECTED, _S.EXPIRED, _S.NOT_EXECUTED, _S.CANCELED})

# From where a state can be reached. What may have been executed is never sent again and never called rejected; a deal
# is proof, and proof beats a conclusion.
REACHED_FROM: dict[OrderState, frozenset[OrderState]] = {
    _S.INTENT: frozenset({_S.RECEIVED}),
    _S.SENT: _ON_ITS_WAY,
    _S.PLACED: _ON_ITS_WAY | {_S.UNKNOWN},
    _S.FILLED: _ON_ITS_WAY | _WORKING | _CALLED_DEAD | {_S.UNKNOWN},
    _S.PARTIALLY_FILLED: _ON_ITS_WAY | _WORKING | _CALLED_DEAD | {_S.UNKNOWN},
    _S.REJECTED: _ON_ITS_WAY | {_S.RECEIVED},
    _S.EXPIRED: _ON_ITS_WAY | _WORKING | {_S.RECEIVED},
    _S.CANCELED: _WORKING,
    _S.UNKNOWN: _ON_ITS_WAY | {_S.RECEIVED},
    _S.NOT_EXECUTED: frozenset({_S.UNKNOWN}),
    _S.DONE: _ON_ITS_WAY | {_S.UNKNOWN},
}

_FINAL = _CALLED_DEAD | {_S.FILLED, _S.DONE}


def is_final(kind: Kind | None, state: OrderState) -> bool:
    """Nothing more is to come of it. What a partial fill leaves over is cancelled, except of a pending order."""
    return state in _FINAL or (state is _S.PARTIALLY_FILLED and kind not in PENDING_KINDS)


@dataclass(frozen=True, slots=True)
class Account:
    server: str
    login: int


@dataclass(frozen=True, slots=True)
class Signal:
    """As it came down lane 0; `side` None: unset. Volume, stop and target are decimal strings, empty: none.

    `kind` None: not said, or not known to this agent; such a one is never executed.
    """

    signal_id: str
    account: Account
    epoch: int
    seq: int
    void: bool
    redelivered: bool
    symbol: str
    side: Side | None
    volume: str
    stop_loss: str
    take_profit: str
    not_after_unix_ms: int
    kind: Kind | None = Kind.MARKET
    # Of a pending order: where it waits, and where a stop-limit's limit stands; decimal strings.
    price: str = ""
    limit_price: str = ""
    # Tickets at the terminal, 0: none.
    position: int = 0
    opposite_position: int = 0
    order_ticket: int = 0
    # When the broker drops a pending order, by the server's clock; 0: never.
    expires_unix_ms: int = 0
    # 0: as the agent is set; never more than that.
    deviation_points: int = 0
    # By the server's clock: committed, and put on the lane.
    committed_unix_ns: int = 0
    sent_unix_ns: int = 0


@dataclass(frozen=True, slots=True)
class Result:
    """What is known of an order after an attempt to execute it, or after the books were read. Times: PC's clock."""

    state: OrderState
    reason: str = ""
    message: str = ""
    ticket: int = 0
    deal: int = 0
    volume: str = ""
    price: str = ""
    retcode: int = 0
    called_unix_ns: int = 0
    answered_unix_ns: int = 0


@dataclass(frozen=True, slots=True)
class Entry:
    """A signal in the ledger. Times: PC's clock, 0: not (yet); when it was called and answered stands in `result`."""

    signal: Signal
    result: Result
    # From the wire.
    received_unix_ns: int
    # On disk from here on: it may be executed.
    intent_unix_ns: int = 0
    # Handed to the terminal's worker.
    queued_unix_ns: int = 0
    # Final, and acknowledged by the engine.
    resolved_unix_ns: int = 0
    # The engine's clock less the PC's; 0: not known.
    clock_offset_ns: int = 0

    @property
    def state(self) -> OrderState:
        return self.result.state

    @property
    def is_final(self) -> bool:
        return is_final(self.signal.kind, self.state)

    @property
    def is_local(self) -> bool:
        """The agent's own: in no place of the engine's sequence, and the engine hears nothing of it."""
        return self.signal.seq == 0


@dataclass(frozen=True, slots=True)
class Mark:
    """What an order of ours bears at the terminal, so that its books can prove execution."""

    magic: int
    comment: str


def mark_of(signal_id: str) -> Mark:
    """Magic in 63 bits; 16 characters of comment, as many as brokers keep."""
    digest = blake2b(signal_id.encode(), digest_size=8).digest()
    return Mark(int.from_bytes(digest, "big") >> 1, f"s{digest.hex()[:15]}")


def plain(value: float) -> str:
    """A terminal's double as the shortest decimal string that means it: 1.1, 0.01, 100000.

    With at most twelve decimals, which is what the mesh takes: a mean price has more.
    """
    return format(Decimal(repr(float(value))), ".12f").rstrip("0").rstrip(".")
