"""Trades that no signal stands for: messages to domain values and back."""

from suho.common.v1 import account_pb2
from suho.trading.v1 import order_pb2, trading_pb2

from mesh.orders import money, plain, price, volume
from services.database.domain.order import AccountRef, DealCause, ExternalDeal
from services.database.servicers.edge import number, phrase, valid_amounts, word
from services.database.servicers.order_messages import enum_word, side, side_number


def deal(message: order_pb2.ExternalDeal) -> ExternalDeal:
    """What an agent found in the terminal's books.

    Raises:
        MeshError: INVALID_ARGUMENT, naming the field.
    """
    with valid_amounts():
        return ExternalDeal(
            deal=number("deal", message.deal, least=1),
            order=number("order", message.order),
            position=number("position", message.position),
            symbol=word("symbol", message.symbol),
            side=side(message.side),
            volume=volume("volume", message.volume),
            price=price("price", message.price),
            profit=money("profit", message.profit),
            commission=money("commission", message.commission),
            swap=money("swap", message.swap),
            time_unix_ms=number("time_unix_ms", message.time_unix_ms),
            cause=enum_word("cause", order_pb2.DealCause, "DEAL_CAUSE_", message.cause, DealCause),
            signal_id=phrase("signal_id", message.signal_id),
        )


def deal_message(account: AccountRef, deal: ExternalDeal) -> trading_pb2.AccountDeal:
    return trading_pb2.AccountDeal(
        account=account_pb2.AccountRef(server=account.server, login=account.login),
        deal=order_pb2.ExternalDeal(
            deal=deal.deal,
            order=deal.order,
            position=deal.position,
            symbol=deal.symbol,
            side=side_number(deal.side),
            volume=plain(deal.volume),
            price=plain(deal.price),
            profit=plain(deal.profit),
            commission=plain(deal.commission),
            swap=plain(deal.swap),
            time_unix_ms=deal.time_unix_ms,
            cause=order_pb2.DealCause.Value(f"DEAL_CAUSE_{deal.cause}"),
            signal_id=deal.signal_id,
        ),
    )
