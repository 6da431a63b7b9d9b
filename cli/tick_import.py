"""`suho ticks import`: exported days and tick files into the store, by the backfill log."""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import grpc
import numpy as np
import typer
from rich.progress import Progress
from suho.database.v1 import tick_service_pb2
from suho.market.v1 import bridge_pb2, tick_pb2

from cli.connection import DEFAULT_STATE, JsonOption, StateOption, mesh, run
from cli.moments import DAY_MS, date_of, day_of
from cli.output import EXIT_REFUSED, fail, print_json, progress
from cli.tick_columns import get_ticks, import_ticks
from cli.tick_days import FILE, MANIFEST, ManifestError, day_folders, verified
from cli.tick_export import digests_of
from cli.tick_known import Known
from cli.tick_parquet import Columns, read_groups
from mesh.clock import unix_ns
from mesh.market import BEFORE_FIRST, Batch, codec
from mesh.market.batch import COLUMNS, ordinals
from mesh.market.digest import digests, tick_hashes
from mesh.market.tick import FLAG_MASK
from pc_agent.twin.tick_source import TickFileError, read_ticks

_MESSAGE_TICKS = 2000
# Messages that may be on their way at once.
_UNDER_WAY = 8
_AGENT = "suho-import"


@dataclass(frozen=True)
class Day:
    """One symbol's ticks of one server day, to be read when it is their turn."""

    file: Path
    symbol: tick_pb2.SymbolRef
    from_msc: int
    to_msc: int
    count: int
    hash: int
    columns: Callable[[], Iterable[Columns]]


def import_(
    sources: Annotated[
        list[Path], typer.Argument(metavar="DIR|FILE...", exists=True, help="What `export` wrote, or tick files.")
    ],
    symbol: Annotated[str, typer.Option("--symbol", help="Of a tick file: its symbol.")] = "",
    server: Annotated[str, typer.Option("--server", help="Of a tick file: its trade server.")] = "",
    state: StateOption = DEFAULT_STATE,
    as_json: JsonOption = False,
) -> None:
    """Store ticks from files; what is stored already is left out, so that it can be run again."""
    days = [day for source in sources for day in _days(source, symbol, server)]

    async def work() -> list[dict[str, Any]]:
        with progress("importing", sum(day.count for day in days)) as bar:
            async with mesh(state) as channel:
                return [await _import_day(channel, day, bar) for day in days]

    done = run(work)
    facts: dict[str, Any] = {
        name: sum(day[name] for day in done) for name in ("imported", "there", "differing", "quarantined")
    }
    if as_json:
        print_json({**facts, "days": done})
    else:
        print(f"{facts['imported']:,} ticks imported, {facts['there']:,} were there already ({len(done)} days)")
    if facts["differing"]:
        sys.stderr.write(
            f"suho: {facts['differing']:,} ticks are stored with other values: they were left as they are\n"
        )
    if facts["quarantined"]:
        sys.stderr.write(f"suho: {facts['quarantined']:,} ticks were refused for values that no price can have\n")
    if facts["differing"] or facts["quarantined"]:
        raise typer.Exit(EXIT_REFUSED)


def _days(source: Path, symbol: str, server: str) -> Iterator[Day]:
    """Everything that is to be imported from `source`, each file checked before anything is sent."""
    exported = [source] if (source / MANIFEST).is_file() else []
    if source.is_dir():
        exported = exported or list(day_folders(source))
        if not exported:
            fail(f"{source} holds no exported day: give the folder that `suho ticks export` wrote to, or a tick file")
    elif source.name == FILE and (source.parent / MANIFEST).is_file():
        exported = [source.parent]
    if not exported:
        yield from _file_days(source, symbol, server)
        return
    if symbol or server:
        fail(f"{source}: exported days know their symbol and server; leave --symbol and --server out")
    for folder in exported:
        yield _exported_day(folder)


def _exported_day(folder: Path) -> Day:
    try:
        manifest = verified(folder)
    except ManifestError as error:
        fail(f"nothing was imported: {error}")
    ref = tick_pb2.SymbolRef(server=manifest.server, symbol=manifest.symbol)
    file = folder / FILE
    return Day(file, ref, manifest.from_msc, manifest.to_msc, manifest.ticks, manifest.hash, partial(read_groups, file))


def _file_days(path: Path, symbol: str, server: str) -> Iterator[Day]:
    if not symbol or not server:
        fail(f"{path} does not say whose ticks it holds: give --symbol and --server")
    try:
        records = read_ticks(path).ticks
    except TickFileError as error:
        fail(f"nothing was imported: {error}")
    columns = {name: records[name].astype(kind) for name, kind in COLUMNS.items() if name != "ordinal"}
    columns["ordinal"] = ordinals(columns["time_msc"])
    columns["flags"] &= np.uint32(FLAG_MASK)
    ref = tick_pb2.SymbolRef(server=server, symbol=symbol)
    starts = np.unique(columns["time_msc"] // DAY_MS) * DAY_MS
    edges = np.searchsorted(columns["time_msc"], [*starts, starts[-1] + DAY_MS])
    for start, first, last in zip(starts.tolist(), edges[:-1], edges[1:], strict=True):
        part = {name: column[first:last] for name, column in columns.items()}
        (digest,) = digests(part, start, start + DAY_MS, DAY_MS)
        yield Day(path, ref, start, start + DAY_MS, digest.count, digest.hash, partial(iter, [part]))


async def _import_day(channel: grpc.aio.Channel, day: Day, bar: Progress) -> dict[str, Any]:
    facts = {
        "file": str(day.file),
        "server": day.symbol.server,
        "symbol": day.symbol.symbol,
        "date": date_of(day_of(day.from_msc)),
        "ticks": day.count,
    }
    (stored,) = await digests_of(channel, day.symbol, day.from_msc, day.to_msc, day.to_msc - day.from_msc)
    if (stored.count, stored.hash) == (day.count, day.hash):
        bar.advance(bar.task_ids[0], day.count)
        return {**facts, "there": day.count, "differing": 0, "imported": 0, "quarantined": 0}
    known = await _stored(channel, day) if stored.count else Known()
    imported, quarantined = await _send(channel, day, known, bar)
    return {
        **facts,
        "there": known.same,
        "differing": known.different,
        "imported": imported,
        "quarantined": quarantined,
    }


async def _stored(channel: grpc.aio.Channel, day: Day) -> Known:
    """The day as it is stored."""
    request = tick_service_pb2.GetTicksRequest(symbol=day.symbol, from_msc=day.from_msc, to_msc=day.to_msc)
    pieces = [
        (batch.time_msc, batch.ordinal, tick_hashes(batch.columns()))
        async for response in get_ticks(channel, request)
        if len(batch := codec.decode(response.batch))
    ]
    known = Known()
    known.learn(*(np.concatenate(parts) for parts in zip(*pieces, strict=True)))
    return known


async def _send(channel: grpc.aio.Channel, day: Day, known: Known, bar: Progress) -> tuple[int, int]:
    """Ticks that are durable in the log, and those that were refused."""
    window = asyncio.Semaphore(_UNDER_WAY)

    async def requests() -> AsyncIterator[bridge_pb2.ImportTicksRequestTwin]:
        for batch in _batches(day, known):
            await window.acquire()
            yield bridge_pb2.ImportTicksRequestTwin(batches=[tick_pb2.TickBatchTwin(**codec.fields(batch))])

    imported = quarantined = 0
    async for response in import_ticks(channel, requests()):
        window.release()
        imported += response.ticks
        quarantined += response.quarantined
        bar.advance(bar.task_ids[0], response.ticks + response.quarantined)
    return imported, quarantined


def _batches(day: Day, known: Known) -> Iterator[Batch]:
    for columns in day.columns():
        missing: dict[str, Any] = known.missing(columns)
        if len(missing["time_msc"]):
            whole = Batch(day.symbol.server, day.symbol.symbol, _AGENT, unix_ns(), BEFORE_FIRST, **missing)
            yield from whole.chunks(_MESSAGE_TICKS)
