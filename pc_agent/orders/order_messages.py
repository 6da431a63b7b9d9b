"""Signals and reports between the contract and the domain."""

from suho.common.v1 import account_pb2
from suho.trading.v1 import agent_link_pb2, order_pb2

from pc_agent.domain.orders import Account, OrderState, Side, Signal, plain
from pc_agent.orders.ledger import Report
from pc_agent.terminal.messages import Connected

_SIDES = {order_pb2.ORDER_SIDE_BUY: Side.BUY, order_pb2.ORDER_SIDE_SELL: Side.SELL}
_STATES = {
    OrderState.INTENT: order_pb2.ORDER_STATE_ACCEPTED,
    OrderState.FILLED: order_pb2.ORDER_STATE_FILLED,
    OrderState.PARTIALLY_FILLED: order_pb2.ORDER_STATE_PARTIALLY_FILLED,
    OrderState.REJECTED: order_pb2.ORDER_STATE_REJECTED,
    OrderState.EXPIRED: order_pb2.ORDER_STATE_EXPIRED,
    OrderState.UNKNOWN: order_pb2.ORDER_STATE_UNKNOWN,
    OrderState.NOT_EXECUTED: order_pb2.ORDER_STATE_NOT_EXECUTED,
}
_TRADE_MODES = {
    0: order_pb2.TRADE_MODE_DEMO,
    1: order_pb2.TRADE_MODE_CONTEST,
    2: order_pb2.TRADE_MODE_REAL,
}


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
    )


def report_of(report: Report) -> order_pb2.ExecutionReport:
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
        received_unix_ns=entry.received_unix_ns,
        intent_unix_ns=entry.intent_unix_ns,
        called_unix_ns=result.called_unix_ns,
        answered_unix_ns=result.answered_unix_ns,
    )


def hello_of(agent: str, facts: Connected, epoch: int, last_seq: int) -> agent_link_pb2.AgentHello:
    account = facts.account
    return agent_link_pb2.AgentHello(
        agent=agent,
        account=_account_ref(Account(account.server, account.login)),
        trade_mode=_TRADE_MODES[account.trade_mode],
        symbols=[
            order_pb2.SymbolSpec(
                symbol=symbol.symbol,
                digits=symbol.digits,
                volume_min=plain(symbol.volume_min),
                volume_max=plain(symbol.volume_max),
                volume_step=plain(symbol.volume_step),
                contract_size=plain(symbol.contract_size),
            )
            for symbol in facts.symbols
        ],
        epoch=epoch,
        last_seq=last_seq,
    )


def _account_ref(account: Account) -> account_pb2.AccountRef:
    return account_pb2.AccountRef(server=account.server, login=account.login)
