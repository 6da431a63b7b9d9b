"""What the engine counts of an account, for its agent to compare with the terminal."""

from collections import defaultdict
from decimal import Decimal

from suho.database.v1 import order_service_pb2 as db
from suho.trading.v1 import agent_link_pb2 as link

from mesh.orders import plain


def exposures_of(account: db.Account) -> link.EngineExposures:
    """Of each symbol, whoever traded it."""
    net: dict[str, Decimal] = defaultdict(Decimal)
    open_orders: dict[str, int] = defaultdict(int)
    for exposure in account.exposures:
        net[exposure.symbol] += Decimal(exposure.net_volume)
        open_orders[exposure.symbol] += exposure.open_orders
    return link.EngineExposures(
        exposures=[
            link.EngineExposure(symbol=symbol, net_volume=plain(net[symbol]), open_orders=open_orders[symbol])
            for symbol in sorted(net)
        ]
    )
