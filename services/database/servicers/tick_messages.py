"""Ticks and what is known of them to and from messages."""

import math

from suho.database.v1 import tick_service_pb2 as pb
from suho.market.v1 import tick_pb2

from mesh.market import TickId
from mesh.market.digest import Digest
from services.database.domain.incident import Incident
from services.database.domain.span import END_MSC
from services.database.domain.tick import SymbolSummary, Tick, TickQuality, TickStats
from services.database.servicers.edge import invalid, number, phrase, word

# Beyond this a double no longer tells milliseconds apart, and the cache compares with doubles.
_LAST_MSC = 2**53
_LONGEST_DETAIL = 2000


def symbol(message: tick_pb2.SymbolRef) -> tuple[str, str]:
    """(server, symbol), both there."""
    return word("symbol.server", message.server), word("symbol.symbol", message.symbol)


def time_range(from_msc: int, to_msc: int) -> tuple[int, int]:
    """[from, to) of server time; `to_msc` 0: no end."""
    end = to_msc or END_MSC
    if not 0 <= from_msc < end:
        raise invalid(f"from_msc is {from_msc} and to_msc {to_msc}; give a range that begins at 0 or later, in order")
    return from_msc, end


def tick(message: tick_pb2.Tick) -> Tick:
    if not 0 < message.id.time_msc < _LAST_MSC:
        raise invalid(f"id.time_msc of {message.symbol} is {message.id.time_msc}; give the terminal's milliseconds")
    values = (message.bid, message.ask, message.last, message.volume_real)
    if not all(map(math.isfinite, values)):
        raise invalid(f"a price or volume of {message.symbol} is not a finite number; leave such ticks out")
    return Tick(
        server=word("server", message.server),
        symbol=word("symbol", message.symbol),
        id=TickId(message.id.time_msc, message.id.ordinal),
        bid=message.bid,
        ask=message.ask,
        last=message.last,
        volume=message.volume,
        volume_real=message.volume_real,
        flags=message.flags,
    )


def incident(message: pb.TickIncident) -> Incident:
    return Incident(
        id=word("incident.id", message.id),
        at_unix_ms=number("incident.at_unix_ms", message.at_unix_ms, least=1),
        kind=word("incident.kind", message.kind),
        server=phrase("incident.symbol.server", message.symbol.server),
        symbol=phrase("incident.symbol.symbol", message.symbol.symbol),
        from_msc=number("incident.from_msc", message.from_msc),
        to_msc=number("incident.to_msc", message.to_msc),
        ticks=number("incident.ticks", message.ticks),
        detail=phrase("incident.detail", message.detail, longest=_LONGEST_DETAIL),
        reporter=phrase("incident.reporter", message.reporter),
    )


def tick_message(tick: Tick) -> tick_pb2.Tick:
    return tick_pb2.Tick(
        server=tick.server,
        symbol=tick.symbol,
        id=id_message(tick.id),
        bid=tick.bid,
        ask=tick.ask,
        last=tick.last,
        volume=tick.volume,
        volume_real=tick.volume_real,
        flags=tick.flags,
    )


def stats_message(stats: TickStats) -> pb.TickStats:
    return pb.TickStats(
        symbol=tick_pb2.SymbolRef(server=stats.server, symbol=stats.symbol),
        stored=stats.stored,
        distinct=stats.distinct,
        raw=stats.raw,
        quarantined=stats.quarantined,
        conflicting=stats.conflicting,
        digits=stats.digits,
        bid_points_sum=stats.bid_points_sum,
        ask_points_sum=stats.ask_points_sum,
        first=id_message(stats.first) if stats.first else None,
        last=id_message(stats.last) if stats.last else None,
    )


def id_message(tick: TickId) -> tick_pb2.TickId:
    return tick_pb2.TickId(time_msc=tick.time_msc, ordinal=tick.ordinal)


def digest_message(digest: Digest) -> tick_pb2.TickDigest:
    return tick_pb2.TickDigest(from_msc=digest.from_msc, to_msc=digest.to_msc, count=digest.count, hash=digest.hash)


def summary_message(summary: SymbolSummary) -> pb.StoredSymbol:
    return pb.StoredSymbol(
        symbol=tick_pb2.SymbolRef(server=summary.server, symbol=summary.symbol),
        ticks=summary.ticks,
        first_msc=summary.first_msc,
        last_msc=summary.last_msc,
    )


def quality_message(quality: TickQuality, incidents: dict[str, int]) -> pb.TickQuality:
    return pb.TickQuality(
        symbol=tick_pb2.SymbolRef(server=quality.server, symbol=quality.symbol),
        ticks=quality.ticks,
        quarantined=quality.quarantined,
        incidents=incidents,
        **quality.marked,
    )


def incident_message(incident: Incident) -> pb.TickIncident:
    return pb.TickIncident(
        id=incident.id,
        at_unix_ms=incident.at_unix_ms,
        kind=incident.kind,
        symbol=tick_pb2.SymbolRef(server=incident.server, symbol=incident.symbol),
        from_msc=incident.from_msc,
        to_msc=incident.to_msc,
        ticks=incident.ticks,
        detail=incident.detail,
        reporter=incident.reporter,
    )
