"""Signals and reports between the contract and the domain."""

from suho.common.v1 import account_pb2
from suho.trading.v1 import agent_link_pb2, order_pb2

from mesh.orders import Kind
from pc_agent.domain.orders import Account, OrderState, Side, Signal, plain
from pc_agent.domain.symbols import CLOSE_ONLY, DISABLED, FULL, LONG_ONLY, SHORT_ONLY, SymbolFacts
from pc_agent.orders.ledger import Report
from pc_agent.terminal.messages import Connected

_SIDES = {order_pb2.ORDER_SIDE_BUY: Side.BUY, order_pb2.ORDER_SIDE_SELL: Side.SELL}
_KINDS = {order_pb2.OrderKind.Value(f"ORDER_KIND_{kind}"): kind for kind in Kind}
_UNTOLD = (OrderState.RECEIVED, OrderState.INTENT, OrderState.SENT)
_STATES = {
    OrderState.INTENT: order_pb2.ORDER_STATE_ACCEPTED,
    **{state: order_pb2.OrderState.Value(f"ORDER_STATE_{state}") for state in OrderState if state not in _UNTOLD},
}
_TRADE_MODES = {
    0: order_pb2.TRADE_MODE_DEMO,
    1: order_pb2.TRADE_MODE_CONTEST,
    2: order_pb2.TRADE_MODE_REAL,
}
_MARGIN_MODES = {
    0: agent_link_pb2.MARGIN_MODE_NETTING,
    1: agent_link_pb2.MARGIN_MODE_EXCHANGE,
    2: agent_link_pb2.MARGIN_MODE_HEDGING,
}
_SYMBOL_TRADE_MODES = {
    DISABLED: order_pb2.SYMBOL_TRADE_MODE_DISABLED,
    LONG_ONLY: order_pb2.SYMBOL_TRADE_MODE_LONG_ONLY,
    SHORT_ONLY: order_pb2.SYMBOL_TRADE_MODE_SHORT_ONLY,
    CLOSE_ONLY: order_pb2.SYMBOL_TRADE_MODE_CLOSE_ONLY,
    FULL: order_pb2.SYMBOL_TRADE_MODE_FULL,
}


def state_of(state: OrderState) -> "order_pb2.OrderState.ValueType":
    """As it is told; UNSPECIFIED for the ledger's own states."""
    return _STATES.get(state, order_pb2.ORDER_STATE_UNSPECIFIED)


def signal_of(message: agent_link_pb2.Signal) -> Signal:
    return Signal(
        signal_id=message.signal_id,
        account=Account(message.account.server, message.account.login),
        epoch=message.epoch,
        seq=message.seq,
        void=message.void,
        redelivered=message.redelivered,
        symbol=message.symbol,
        side=_SIDES.get(message.side),
        volume=message.volume,
        stop_loss=message.stop_loss,
        take_profit=message.take_profit,
        not_after_unix_ms=message.not_after_unix_ms,
        kind=_KINDS.get(message.kind),
        price=message.price,
        limit_price=message.limit_price,
        position=message.position,
        opposite_position=message.opposite_position,
        order_ticket=message.order_ticket,
        expires_unix_ms=message.expires_unix_ms,
        deviation_points=message.deviation_points,
        committed_unix_ns=message.committed_unix_ns,
        sent_unix_ns=message.sent_unix_ns,
    )


def report_of(report: Report, reported_unix_ns: int) -> order_pb2.ExecutionReport:
    """`reported_unix_ns`: when it is, or was, put on the lane for the first time."""
    entry = report.entry
    result = entry.result
    return order_pb2.ExecutionReport(
        report_id=report.report_id,
        signal_id=entry.signal.signal_id,
        account=_account_ref(entry.signal.account),
        state=_STATES[entry.state],
        reason=result.reason,
        message=result.message,
        ticket=result.ticket,
        deal=result.deal,
        filled_volume=result.volume,
        filled_price=result.price,
        retcode=result.retcode,
        sent_unix_ns=entry.signal.sent_unix_ns,
        received_unix_ns=entry.received_unix_ns,
        intent_unix_ns=entry.intent_unix_ns,
        queued_unix_ns=entry.queued_unix_ns,
        called_unix_ns=result.called_unix_ns,
        answered_unix_ns=result.answered_unix_ns,
        reported_unix_ns=reported_unix_ns,
        clock_offset_ns=entry.clock_offset_ns,
    )


def hello_of(
    agent: str, facts: Connected, epoch: int, last_seq: int, ledger: str, safety: agent_link_pb2.AgentSafety
) -> agent_link_pb2.AgentHello:
    account = facts.account
    return agent_link_pb2.AgentHello(
        agent=agent,
        account=_account_ref(Account(account.server, account.login)),
        trade_mode=_TRADE_MODES[account.trade_mode],
        margin_mode=_MARGIN_MODES[account.margin_mode],
        currency=account.currency,
        symbols=[_spec_of(symbol) for symbol in facts.symbols],
        epoch=epoch,
        last_seq=last_seq,
        ledger=ledger,
        safety=safety,
    )


def _spec_of(symbol: SymbolFacts) -> order_pb2.SymbolSpec:
    return order_pb2.SymbolSpec(
        symbol=symbol.symbol,
        terminal_symbol=symbol.terminal_symbol or symbol.symbol,
        digits=symbol.digits,
        point=plain(symbol.point),
        tick_size=plain(symbol.tick_size),
        tick_value=plain(symbol.tick_value),
        volume_min=plain(symbol.volume_min),
        volume_max=plain(symbol.volume_max),
        volume_step=plain(symbol.volume_step),
        contract_size=plain(symbol.contract_size),
        stops_level=symbol.stops_level,
        freeze_level=symbol.freeze_level,
        trade_mode=_SYMBOL_TRADE_MODES.get(symbol.trade_mode, order_pb2.SYMBOL_TRADE_MODE_UNSPECIFIED),
        margin_per_lot=plain(symbol.margin_per_lot) if symbol.margin_per_lot else "",
        currency_base=symbol.currency_base,
        currency_profit=symbol.currency_profit,
    )


def _account_ref(account: Account) -> account_pb2.AccountRef:
    return account_pb2.AccountRef(server=account.server, login=account.login)
