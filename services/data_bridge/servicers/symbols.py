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
    """Each key once, in place of one without a server those that are known. Raises MeshError LOG_UNAVAILABLE."""
    found: dict[SymbolKey, None] = {}
    for key in keys:
        found.update(dict.fromkeys([key] if key.server else await in_log(history, key)))
    return list(found)


async def in_log(history: History, key: SymbolKey) -> list[SymbolKey]:
    """Raises MeshError LOG_UNAVAILABLE."""
    with _the_log_answers():
        return await history.known(key)


async def newest_msc(history: History, key: SymbolKey) -> int:
    """The time of the newest tick in the log; 0: none. Raises MeshError LOG_UNAVAILABLE."""
    with _the_log_answers():
        return await history.newest_msc(key)


@contextmanager
def _the_log_answers() -> Iterator[None]:
    try:
        yield
    except LogUnavailableError as error:
        raise MeshError(Reason.LOG_UNAVAILABLE, f"the log can not be asked: {error}; try again") from None
