"""Bridge and database as the commands see them: the contract's servicers on ticks in memory."""

import json
from collections.abc import Callable, Iterator
from concurrent import futures
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import numpy as np
from suho.database.v1 import tick_service_pb2 as db
from suho.database.v1 import tick_service_pb2_grpc
from suho.market.v1 import bridge_pb2, bridge_pb2_grpc, tick_pb2

from mesh.market import BEFORE_FIRST, Batch, codec
from mesh.market.batch import COLUMNS, ordinals
from mesh.market.digest import digests

DAY_MS = 86_400_000
DAY = 1_399_248_000_000  # 2014-05-05

Key = tuple[str, str]


def columns_of(*times: int, bid: float = 1.1) -> dict[str, Any]:
    """Ticks at these times; no two rows alike."""
    count = len(times)
    columns: dict[str, Any] = {name: np.zeros(count, kind) for name, kind in COLUMNS.items()}
    columns["time_msc"][:] = times
    columns["ordinal"] = ordinals(columns["time_msc"])
    columns["bid"] = bid + np.arange(count) / 1e5
    columns["ask"] = columns["bid"] + 1e-4
    columns["flags"][:] = 6
    return columns


@dataclass
class Store:
    """Ticks by (server, symbol), each once."""

    ticks: dict[Key, dict[str, Any]] = field(default_factory=dict)

    def put(self, server: str, symbol: str, columns: dict[str, Any]) -> int:
        """How many were new."""
        held = self.ticks.get((server, symbol))
        merged = columns if held is None else {name: np.concatenate((held[name], columns[name])) for name in COLUMNS}
        _, first = np.unique(merged["time_msc"] * 1000 + merged["ordinal"], return_index=True)
        self.ticks[server, symbol] = {name: merged[name][first] for name in COLUMNS}
        return len(first) - (0 if held is None else len(held["time_msc"]))

    def digest(self, ref: tick_pb2.SymbolRef, from_msc: int, to_msc: int, bucket_ms: int) -> list[Any]:
        none = {name: np.zeros(0, kind) for name, kind in COLUMNS.items()}
        return digests(self.ticks.get((ref.server, ref.symbol), none), from_msc, to_msc, bucket_ms)

    def batches(self, ref: tick_pb2.SymbolRef, from_msc: int, to_msc: int) -> Iterator[Batch]:
        columns = self.ticks.get((ref.server, ref.symbol))
        if columns is None:
            return
        inside = (columns["time_msc"] >= from_msc) & (columns["time_msc"] < (to_msc or 2**62))
        if inside.any():
            kept = {name: column[inside] for name, column in columns.items()}
            yield from Batch(ref.server, ref.symbol, "", 0, BEFORE_FIRST, **kept).chunks(7)


class FakeDatabase(tick_service_pb2_grpc.TickServiceServicer):
    def __init__(self, store: Store) -> None:
        self.store = store
        self.quality = db.GetTickQualityResponse()
        self.incidents = db.ListTickIncidentsResponse()
        self.sink = db.GetSinkStatusResponse()
        self.bars = db.GetBarsResponse()
        self.asked: list[Any] = []
        # Ticks that come in while a range is being read: before its first, and behind its last.
        self.meanwhile: list[Callable[[], object]] = []

    def ListSymbols(self, request: Any, context: Any) -> db.ListSymbolsResponse:
        return db.ListSymbolsResponse(
            symbols=[
                db.StoredSymbol(
                    symbol=tick_pb2.SymbolRef(server=server, symbol=symbol),
                    ticks=len(columns["time_msc"]),
                    first_msc=int(columns["time_msc"].min()),
                    last_msc=int(columns["time_msc"].max()),
                )
                for (server, symbol), columns in self.store.ticks.items()
            ]
        )

    def GetTickDigests(self, request: db.GetTickDigestsRequest, context: Any) -> db.GetTickDigestsResponse:
        found = self.store.digest(request.symbol, request.from_msc, request.to_msc, request.bucket_ms)
        return db.GetTickDigestsResponse(
            digests=[
                tick_pb2.TickDigest(from_msc=d.from_msc, to_msc=d.to_msc, count=d.count, hash=d.hash) for d in found
            ]
        )

    def GetTicks(self, request: db.GetTicksRequest, context: Any) -> Iterator[db.GetTicksResponse]:
        self.asked.append(request)
        for come in self.meanwhile[:1]:
            come()
        for batch in self.store.batches(request.symbol, request.from_msc, request.to_msc):
            utc = (batch.time_msc - 7_200_000).astype("<i8").tobytes() if request.annotated else b""
            twin = db.GetTicksResponseTwin(batch=tick_pb2.TickBatchTwin(**codec.fields(batch)), utc_msc=utc)
            yield db.GetTicksResponse.FromString(twin.SerializeToString())
        for come in self.meanwhile[1:]:
            come()

    def GetRecentTicks(self, request: db.GetRecentTicksRequest, context: Any) -> db.GetRecentTicksResponse:
        *_, last = self.store.batches(request.symbol, 0, 0)
        last = last.slice(max(len(last) - request.count, 0), len(last))
        twin = db.GetRecentTicksResponseTwin(batch=tick_pb2.TickBatchTwin(**codec.fields(last)))
        return db.GetRecentTicksResponse.FromString(twin.SerializeToString())

    def GetLastTick(self, request: db.GetLastTickRequest, context: Any) -> db.GetLastTickResponse:
        return db.GetLastTickResponse(tick=self._last(request.symbol))

    def GetNewestTick(self, request: db.GetNewestTickRequest, context: Any) -> db.GetNewestTickResponse:
        return db.GetNewestTickResponse(tick=self._last(request.symbol))

    def _last(self, ref: tick_pb2.SymbolRef) -> tick_pb2.Tick:
        *_, last = self.store.batches(ref, 0, 0)
        return tick_pb2.Tick(id=tick_pb2.TickId(time_msc=last.last_id.time_msc, ordinal=last.last_id.ordinal))

    def GetTickStats(self, request: Any, context: Any) -> db.GetTickStatsResponse:
        return db.GetTickStatsResponse()

    def GetTickQuality(self, request: Any, context: Any) -> db.GetTickQualityResponse:
        self.asked.append(request)
        return self.quality

    def ListTickIncidents(self, request: Any, context: Any) -> db.ListTickIncidentsResponse:
        return self.incidents

    def GetSinkStatus(self, request: Any, context: Any) -> db.GetSinkStatusResponse:
        return self.sink

    def GetBars(self, request: db.GetBarsRequest, context: Any) -> Iterator[db.GetBarsResponse]:
        self.asked.append(request)
        yield self.bars


class FakeBridge(bridge_pb2_grpc.BridgeServiceServicer):
    def __init__(self, store: Store) -> None:
        self.store = store
        self.audited: list[bridge_pb2.AuditTicksResponse] = []
        self.asked: list[Any] = []
        self.trace: bridge_pb2.TraceSymbolResponse | None = None
        self.bars: list[bridge_pb2.StreamBarsResponse] = []
        self.imported_messages = 0
        self.import_fails_after: int | None = None

    def GetBridgeStatus(self, request: Any, context: Any) -> bridge_pb2.GetBridgeStatusResponse:
        return bridge_pb2.GetBridgeStatusResponse()

    def ImportTicks(self, requests: Iterator[Any], context: Any) -> Iterator[bridge_pb2.ImportTicksResponse]:
        for request in requests:
            if self.imported_messages == self.import_fails_after:
                context.abort(grpc.StatusCode.UNAVAILABLE, "gone")
            self.imported_messages += 1
            twin = bridge_pb2.ImportTicksRequestTwin.FromString(request.SerializeToString())
            ticks = 0
            for message in twin.batches:
                batch = codec.decode(message)
                ticks += len(batch)
                self.store.put(batch.server, batch.symbol, batch.columns())
            assert ticks <= 2000
            yield bridge_pb2.ImportTicksResponse(ticks=ticks)

    def AuditTicks(self, request: Any, context: Any) -> Iterator[bridge_pb2.AuditTicksResponse]:
        self.asked.append(request)
        yield from self.audited

    def TraceSymbol(self, request: Any, context: Any) -> bridge_pb2.TraceSymbolResponse:
        if self.trace is None:
            context.abort(grpc.StatusCode.INTERNAL, "broken")
        return self.trace

    def Subscribe(self, request: Any, context: Any) -> Iterator[bridge_pb2.SubscribeResponse]:
        self.asked.append(request)
        for ref in request.symbols:
            for batch in self.store.batches(ref, request.from_msc, 0):
                twin = bridge_pb2.SubscribeResponseTwin(batches=[tick_pb2.TickBatchTwin(**codec.fields(batch))])
                yield bridge_pb2.SubscribeResponse.FromString(twin.SerializeToString())

    def StreamBars(self, request: Any, context: Any) -> Iterator[bridge_pb2.StreamBarsResponse]:
        self.asked.append(request)
        yield from self.bars


class FakePlatform:
    """Both on a free port; `state` is a folder that says so."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self.store = Store()
        self.database, self.bridge = FakeDatabase(self.store), FakeBridge(self.store)
        self._server = grpc.server(futures.ThreadPoolExecutor(4))
        tick_service_pb2_grpc.add_TickServiceServicer_to_server(self.database, self._server)
        bridge_pb2_grpc.add_BridgeServiceServicer_to_server(self.bridge, self._server)
        port = self._server.add_insecure_port("127.0.0.1:0")
        self._server.start()
        state.mkdir(parents=True)
        (state / "mesh.json").write_text(json.dumps({"hubs": [f"127.0.0.1:{port}"]}))

    def close(self) -> None:
        self._server.stop(None).wait()
