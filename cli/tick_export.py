"""`suho ticks export`: stored ticks as parquet, a file a symbol and server day."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any

import grpc
import numpy as np
import typer
from rich.progress import Progress
from suho.database.v1 import tick_service_pb2, tick_service_pb2_grpc
from suho.market.v1 import tick_pb2

from cli.connection import DEFAULT_STATE, JsonOption, StateOption, mesh, run
from cli.moments import DAY_MS, FromOption, ToOption, check_order, date_of, day_of
from cli.output import fail, print_json, progress
from cli.symbols import ServerOption, find
from cli.tick_columns import get_ticks
from cli.tick_days import FILE, Manifest, ManifestError, checksum, day_folder, verified, write_manifest
from cli.tick_parquet import ANNOTATIONS, Columns, TickWriter
from mesh.market import codec

# Digests of many days are read from every tick.
DIGEST_TIMEOUT_S = 120.0
# A day that grows is read again when what was read is not what is stored.
_ATTEMPTS = 3


def export(
    symbols: Annotated[list[str], typer.Argument(metavar="SYMBOL...", help="As the terminal names them.")],
    out: Annotated[Path, typer.Option("--out", help="Folder to write to; what it has already is kept.")],
    from_msc: FromOption = None,
    to_msc: ToOption = None,
    server: ServerOption = "",
    state: StateOption = DEFAULT_STATE,
    as_json: JsonOption = False,
) -> None:
    """Write stored ticks as parquet, whole server days; run again, it goes on where it stopped."""
    check_order(from_msc, to_msc)

    async def work() -> list[dict[str, Any]]:
        async with mesh(state) as channel:
            days = [
                day
                for symbol in dict.fromkeys(symbols)
                for stored in await find(channel, symbol, server)
                for day in await days_of(channel, stored, from_msc, to_msc)
            ]
            if not days:
                fail(f"no tick of {', '.join(symbols)} is stored in that time")
            with progress("exporting", sum(day.count for _, day in days)) as bar:
                return [await _export_day(channel, out, symbol, day, bar) for symbol, day in days]

    done = run(work)
    written = [day for day in done if day["state"] == "written"]
    facts = {
        "out": str(out),
        "ticks": sum(day["ticks"] for day in done),
        "written": len(written),
        "there": len(done) - len(written),
        "days": done,
    }
    if as_json:
        print_json(facts)
    else:
        print(
            f"{facts['ticks']:,} ticks of {len(done)} days in {out}: {facts['written']} written, "
            f"{facts['there']} there already"
        )


async def days_of(
    channel: grpc.aio.Channel, stored: tick_service_pb2.StoredSymbol, from_msc: int | None, to_msc: int | None
) -> list[tuple[tick_pb2.SymbolRef, tick_pb2.TickDigest]]:
    """The server days that have ticks, with what they amount to."""
    begin = day_of(max(stored.first_msc, from_msc or 0))
    end = day_of(min(stored.last_msc, to_msc - 1 if to_msc else stored.last_msc)) + DAY_MS
    if begin >= end:
        return []
    digests = await digests_of(channel, stored.symbol, begin, end)
    return [(stored.symbol, digest) for digest in digests if digest.count]


async def digests_of(
    channel: grpc.aio.Channel, symbol: tick_pb2.SymbolRef, from_msc: int, to_msc: int, bucket_ms: int = DAY_MS
) -> list[tick_pb2.TickDigest]:
    request = tick_service_pb2.GetTickDigestsRequest(
        symbol=symbol, from_msc=from_msc, to_msc=to_msc, bucket_ms=bucket_ms
    )
    stub = tick_service_pb2_grpc.TickServiceStub(channel)
    return list((await stub.GetTickDigests(request, timeout=DIGEST_TIMEOUT_S)).digests)


async def _export_day(
    channel: grpc.aio.Channel, out: Path, symbol: tick_pb2.SymbolRef, day: tick_pb2.TickDigest, bar: Progress
) -> dict[str, Any]:
    folder = day_folder(out, symbol.server, symbol.symbol, day.from_msc)
    facts = {
        "server": symbol.server,
        "symbol": symbol.symbol,
        "date": date_of(day.from_msc),
        "file": str(folder / FILE),
    }
    try:
        manifest = verified(folder)
    except ManifestError:
        manifest = None  # not there, not finished, or changed: written anew
    if manifest is not None and (manifest.ticks, manifest.hash) == (day.count, day.hash):
        bar.advance(bar.task_ids[0], day.count)
        return {**facts, "ticks": manifest.ticks, "state": "there"}
    folder.mkdir(parents=True, exist_ok=True)
    for attempt in range(_ATTEMPTS + 1):
        if attempt == _ATTEMPTS:
            fail(f"{symbol.symbol} of {facts['date']} changes while it is read; export it when its history is settled")
        with TickWriter(folder / FILE, symbol.server, symbol.symbol) as writer:
            async for columns in _columns(channel, symbol, day):
                writer.add(columns)
                bar.advance(bar.task_ids[0], len(columns["time_msc"]))
        if await _is_what_is_stored(channel, symbol, day, writer):
            break
    write_manifest(folder, _manifest(folder, symbol, day, writer))
    return {**facts, "ticks": writer.ticks, "state": "written"}


def _manifest(folder: Path, symbol: tick_pb2.SymbolRef, day: tick_pb2.TickDigest, writer: TickWriter) -> Manifest:
    sha256 = checksum(folder / FILE)
    return Manifest(symbol.server, symbol.symbol, day.from_msc, day.to_msc, writer.ticks, writer.hash, sha256)


async def _columns(
    channel: grpc.aio.Channel, symbol: tick_pb2.SymbolRef, day: tick_pb2.TickDigest
) -> AsyncIterator[Columns]:
    request = tick_service_pb2.GetTicksRequest(symbol=symbol, from_msc=day.from_msc, to_msc=day.to_msc, annotated=True)
    async for response in get_ticks(channel, request):
        batch = codec.decode(response.batch)
        columns: dict[str, Any] = {**batch.columns(), "generation": np.full(len(batch), batch.generation, np.uint32)}
        for name in ("utc_msc", "marks"):
            data: bytes = getattr(response, name)
            kind = ANNOTATIONS[name]
            columns[name] = np.frombuffer(data, kind) if data else np.zeros(len(batch), kind)
        yield columns


async def _is_what_is_stored(
    channel: grpc.aio.Channel, symbol: tick_pb2.SymbolRef, day: tick_pb2.TickDigest, writer: TickWriter
) -> bool:
    """Whether the file holds the day as it was, or, of a day that goes on, all of it up to the file's end."""
    written = writer.ticks, writer.hash
    if written == (day.count, day.hash):
        return True
    if not writer.ticks:
        return False
    end = writer.last_msc + 1
    stored = (await digests_of(channel, symbol, day.from_msc, end, end - day.from_msc))[0]
    return written == (stored.count, stored.hash)
