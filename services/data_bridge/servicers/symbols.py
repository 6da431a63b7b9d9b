"""The symbols that a subscriber asks for."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from suho.market.v1 import tick_pb2

from mesh.errors import MeshError, Reason
from services.data_bridge import wire
from services.data_bridge.domain.log import LogUnavailableError
from services.data_bridge.domain.progress import SymbolKey
from services.data_bridge.feed_history import History


def asked(symbols: Iterable[tick_pb2.SymbolRef]) -> list[SymbolKey]:
    """Names, an empty one standing for any. Raises MeshError INVALID_ARGUMENT."""
    return [wire.symbol_key(ref, any_name=True) for ref in symbols]


def require_named(keys: Sequence[SymbolKey], from_msc: int, why: str) -> None:
    """Raises MeshError INVALID_ARGUMENT unless every key names its symbol, and `from_msc` is a time."""
    if from_msc < 0:
        raise MeshError(Reason.INVALID_ARGUMENT, f"from_msc is {from_msc}; give server time in milliseconds, or 0")
    if not keys or not all(key.symbol for key in keys):
        raise MeshError(Reason.INVALID_ARGUMENT, f"{why}; name each one in symbols")


async def with_servers(history: History, keys: Iterable[SymbolKey]) -> list[SymbolKey]:
    """Each key once; in place of one without a server those that have ticks.

    Raises:
        MeshError: UNKNOWN_SYMBOL, LOG_UNAVAILABLE.
    """
    found: dict[SymbolKey, None] = {}
    for key in keys:
        if key.server:
            found[key] = None
            continue
        with _answered():
            known = await history.known(key)
        if not known:
            raise unknown(key)
        found.update(dict.fromkeys(known))
    return list(found)


async def require_in_log(history: History, keys: Iterable[SymbolKey]) -> None:
    """A person's slip of the pen would otherwise look like a silent market.

    Raises:
        MeshError: UNKNOWN_SYMBOL, LOG_UNAVAILABLE.
    """
    for key in keys:
        with _answered():
            if not await history.in_log(key):
                raise unknown(key)


async def newest_msc(history: History, key: SymbolKey) -> int:
    """The time of the newest tick in the log; 0: none. Raises MeshError LOG_UNAVAILABLE."""
    with _answered():
        return await history.newest_msc(key)


@contextmanager
def _answered() -> Iterator[None]:
    try:
        yield
    except LogUnavailableError as error:
        raise MeshError(Reason.LOG_UNAVAILABLE, f"what is past can not be asked for: {error}; try again") from None


def unknown(key: SymbolKey) -> MeshError:
    name = key.symbol or "any symbol"
    return MeshError(Reason.UNKNOWN_SYMBOL, f"no tick of {name} has come yet; is the name spelled as the broker does?")
