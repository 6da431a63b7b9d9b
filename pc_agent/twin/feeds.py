"""What a twin's market is made of: the synthetic walk, or files to replay."""

import hashlib
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from pc_agent.twin.tick_source import TickFileError, check_shape

SYNTHETIC = "synthetic"

_SYMBOL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._#+-]{0,28}")
# A name such as broker_eurusd_ticks_2014.csv.gz says its symbol plainly: six letters standing alone.
_PAIR_IN_NAME = re.compile(r"(?<![A-Za-z0-9])[A-Za-z]{6}(?![A-Za-z0-9])")
_CURRENCIES = re.compile(
    "AUD|BRL|CAD|CHF|CNH|CZK|DKK|EUR|GBP|HKD|HUF|ILS|INR|JPY|KRW|MXN|NOK|NZD|PLN|RON|SEK|SGD|THB|TRY|TWD|USD|ZAR"
    "|XAG|XAU|XPD|XPT"
)
_PARTS_READ = 1 << 20


class FeedError(Exception):
    """A feed that can not be played; the message says why."""


def plan_feeds(arguments: Iterable[str]) -> tuple[str, ...]:
    """Check feeds as a person gives them and spell them as the twin's settings want them.

    Each argument is "synthetic", "SYMBOL=FILE", or a bare file whose name holds the symbol. Returns ("synthetic",) or
    "SYMBOL=absolute path" for each file.

    Raises:
        FeedError: a missing file, an unknown shape, no plain symbol, a symbol twice, files mixed with synthetic.
    """
    given = tuple(arguments)
    if all(argument == SYNTHETIC for argument in given):
        return (SYNTHETIC,)
    if SYNTHETIC in given:
        raise FeedError("a terminal plays the synthetic market or files, not both: leave 'synthetic' out")
    files = [_symbol_and_path(argument) for argument in given]
    _refuse_twice([symbol for symbol, _ in files])
    for _, path in files:
        if not path.is_file():
            raise FeedError(f"feed file {path} does not exist")
        try:
            check_shape(path)
        except TickFileError as error:
            raise FeedError(str(error)) from None
    return tuple(f"{symbol}={path.resolve()}" for symbol, path in files)


def replayed_files(feeds: Sequence[str]) -> dict[str, Path]:
    """File by symbol, of feeds as `plan_feeds` spells them; empty: the synthetic market."""
    if tuple(feeds) == (SYNTHETIC,):
        return {}
    return dict(_symbol_and_path(feed) for feed in feeds)


def server_name(feeds: Sequence[str], seed: int) -> str:
    """The terminal's one server name: two markets that differ never share one."""
    files = replayed_files(feeds)
    if not files:
        return f"twin-{seed}"
    whole = hashlib.blake2b(digest_size=4)
    for symbol, path in sorted(files.items()):
        whole.update(f"{symbol}={file_digest(path)};".encode())
    return f"replay-{whole.hexdigest()}"


def check_speed(speed: str, feeds: Sequence[str]) -> None:
    """Raise FeedError unless `feeds` can be played at `speed`: "max", or how many times faster than they happened."""
    if speed == "max":
        if not replayed_files(feeds):
            raise FeedError("speed max needs a feed that ends: replay a file with SYMBOL=FILE")
        return
    try:
        factor = float(speed)
    except ValueError:
        factor = 0.0
    if not 0 < factor <= 1_000_000:
        raise FeedError(f"speed is 'max' or a number above 0 and at most 1000000, not {speed!r}")


def file_digest(path: Path) -> str:
    """Short hash of the file's content.

    Raises:
        FeedError: the file can not be read.
    """
    digest = hashlib.blake2b(digest_size=8)
    try:
        with path.open("rb") as file:
            while part := file.read(_PARTS_READ):
                digest.update(part)
    except OSError as error:
        raise FeedError(f"feed file {path} can not be read: {error.strerror}") from None
    return digest.hexdigest()


def _symbol_and_path(argument: str) -> tuple[str, Path]:
    symbol, equals, file = argument.partition("=")
    if not equals or "/" in symbol or "\\" in symbol:  # the '=' of a folder's name is none of ours
        return _symbol_in_name(Path(argument)), Path(argument)
    if not _SYMBOL.fullmatch(symbol):
        raise FeedError(f"feed {argument!r}: {symbol!r} is no symbol: letters, digits and . _ # + -, at most 29")
    if not file:
        raise FeedError(f"feed {argument!r}: expected SYMBOL=FILE")
    return symbol, Path(file)


def _symbol_in_name(path: Path) -> str:
    words: set[str] = {word.upper() for word in _PAIR_IN_NAME.findall(path.name.replace("_", " "))}
    pairs = [word for word in words if _CURRENCIES.fullmatch(word[:3]) and _CURRENCIES.fullmatch(word[3:])]
    if len(pairs) != 1:
        raise FeedError(f"feed {str(path)!r}: its name holds no plain symbol, say SYMBOL={path}")
    return pairs[0]


def _refuse_twice(symbols: Sequence[str]) -> None:
    for symbol in symbols:
        # One file a symbol, and file systems that ignore case must keep them apart.
        if sum(symbol.upper() == other.upper() for other in symbols) > 1:
            raise FeedError(f"feed {symbol} is given twice: one terminal has one feed a symbol")
