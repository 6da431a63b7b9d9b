"""What agents must not send: refused in words, or counted and passed over; nothing of it is stored as a tick."""

import itertools
from dataclasses import replace
from typing import Any

import grpc
import numpy as np
import pytest
from nats.aio.client import Client
from suho.market.v1 import bridge_pb2 as pb

from mesh.channel import direct_channel
from mesh.market import Batch
from mesh.market.subjects import TICKS_STREAM, tick_subject
from tests.integration.services.data_bridge.agent import STREAM_TICKS, lane, request, status
from tests.integration.services.data_bridge.conftest import StartBridge
from tests.integration.services.data_bridge.terminal import refs
from tests.integration.services.data_bridge.ticks import (
    SERVER,
    START_MSC,
    history,
    identities,
    logged,
    logged_ticks,
    reach,
)

pytestmark = pytest.mark.integration

MONTH_END = 1_772_323_200_000  # 2026-03-01


def shorten(message: pb.StreamTicksRequestTwin) -> None:
    message.batches[0].ask = message.batches[0].ask[:-8]


def claim_many(message: pb.StreamTicksRequestTwin) -> None:
    message.batches[0].count = 4_000_000_000
    for column in ("time_msc", "ordinal", "bid", "ask", "flags"):
        message.batches[0].ClearField(column)  # type: ignore[arg-type]


def name_at_length(message: pb.StreamTicksRequestTwin) -> None:
    message.batches[0].agent = "x" * 2_000_000


@pytest.mark.parametrize(
    ("ticks", "change", "sentence"),
    [
        (history(10), shorten, "column ask holds 9 values, count says 10"),
        (history(10), lambda m: m.batches[0].ClearField("count"), "count is 0"),
        (history(10), lambda m: m.batches[0].ClearField("time_msc"), "time_msc must be"),
        (history(10), lambda m: m.batches[0].ClearField("agent"), "agent is not set"),
        (history(10), lambda m: m.batches[0].quarantine.SetInParent(), "for the bridge to set"),
        (history(10), claim_many, "at most 2000 ticks"),
        (history(2001), lambda m: None, "at most 2000 ticks"),
        (history(10, start_msc=MONTH_END - 2), lambda m: None, "two UTC months"),
        (history(10), name_at_length, "more than its 10 ticks need"),
        (history(10), lambda m: m.open.add(server="s"), "symbol of a symbol needs"),
        (history(10), lambda m: m.open.add(server="s", symbol="EUR\0USD"), "symbol of a symbol needs"),
        (history(10), lambda m: m.open.add(server="\N{SLICE OF PIZZA}" * 51, symbol="s"), "server of a symbol needs"),
        (history(10), lambda m: m.open.extend(refs(map(str, range(10_000)))), "at most 10000 symbols"),
        (history(10), lambda m: m.hello.MergeFrom(pb.LaneHello(agent="pc-1", lane=1)), "only the first message"),
        (history(10), lambda m: setattr(m.hello, "lane", 9), "hello.agent is not set"),
    ],
)
async def test_a_broken_structure_ends_the_stream(
    start_bridge: StartBridge, log_of_ticks: Client, ticks: Batch, change: Any, sentence: str
) -> None:
    """INVALID_ARGUMENT says what is wrong; nothing is stored, and the bridge serves on."""
    bridge = await start_bridge()
    message = request(ticks)
    change(message)
    async with lane(bridge.port) as client:
        await client.open("EURUSD")
        await client.call.write(message.SerializeToString())
        code, details = await client.refusal()
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert sentence in details
    assert await logged(log_of_ticks) == []
    assert (await status(bridge.port)).symbols[0].published_ticks == 0


async def test_a_symbol_must_be_open_on_the_lane(start_bridge: StartBridge, log_of_ticks: Client) -> None:
    """Ticks of a symbol that was closed, or never opened, are refused."""
    bridge = await start_bridge()
    async with lane(bridge.port) as client:
        await client.open("EURUSD")
        await client.send(closed=["EURUSD"])
        await client.send(history(10))
        code, details = await client.refusal()
    assert code is grpc.StatusCode.FAILED_PRECONDITION
    assert "EURUSD of twin-1 is not open on lane 1" in details


@pytest.mark.parametrize("first", [b"\xff\xff", pb.StreamTicksRequestTwin().SerializeToString()])
async def test_a_lane_begins_with_hello(start_bridge: StartBridge, log_of_ticks: Client, first: bytes) -> None:
    """What is not a message, or not a hello, opens no lane."""
    bridge = await start_bridge()
    async with direct_channel([f"127.0.0.1:{bridge.port}"]) as channel:
        call: Any = channel.stream_stream(STREAM_TICKS)()
        await call.write(first)
        assert await call.code() is grpc.StatusCode.INVALID_ARGUMENT


def with_nan(ticks: Batch) -> Batch:
    return replace(ticks, bid=np.where(np.arange(len(ticks)) == 5, np.nan, ticks.bid))


def negative(ticks: Batch) -> Batch:
    return replace(ticks, ask=-ticks.ask)


def backwards(ticks: Batch) -> Batch:
    order = [0, 1, 2, *range(len(ticks) - 1, 2, -1)]
    return replace(ticks, **{name: column[order] for name, column in ticks.columns().items()})


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [(with_nan, "NON_FINITE_PRICE"), (negative, "NEGATIVE_PRICE"), (backwards, "TIME_NOT_ASCENDING")],
)
async def test_bad_values_are_quarantined(
    start_bridge: StartBridge, log_of_ticks: Client, spoil: Any, reason: str
) -> None:
    """A marker stands in the batch's place, counted; what comes after it is taken."""
    bridge = await start_bridge()
    ticks = history(300)
    async with lane(bridge.port) as client:
        await client.open("EURUSD")
        await client.send(ticks.slice(0, 100))
        await client.send(spoil(ticks.slice(100, 200)))
        await client.send(ticks.slice(200, 300))
        await client.until_acked(ticks.last_id)
    markers = [message for message in await logged(log_of_ticks) if message.HasField("quarantine")]
    assert [(m.quarantine.count, m.quarantine.reason, reach(m)) for m in markers] == [(100, reason, ticks.id_at(199))]
    assert await logged_ticks(log_of_ticks) == identities(ticks.slice(0, 100), ticks.slice(200, 300))
    assert (await status(bridge.port)).symbols[0].quarantined_ticks == 100


async def test_crossed_and_zero_quotes_are_stored(start_bridge: StartBridge, log_of_ticks: Client) -> None:
    """Odd quotes are data, not errors."""
    bridge = await start_bridge()
    ticks = history(10)
    odd = replace(ticks, bid=ticks.ask + 1, ask=np.zeros(10))
    async with lane(bridge.port) as client:
        await client.open("EURUSD")
        await client.send(odd)
        await client.until_acked(odd.last_id)
    assert await logged_ticks(log_of_ticks) == identities(odd)


def varint(value: int) -> bytes:
    low, rest = value & 0x7F, value >> 7
    return bytes([low | 0x80]) + varint(rest) if rest else bytes([low])


def chunked(field: int, column: bytes, cuts: tuple[int, ...]) -> bytes:
    """A packed field in several pieces, as an encoder may write it."""
    edges = (0, *cuts, len(column))
    pieces = [column[a:b] for a, b in itertools.pairwise(edges)]
    return b"".join(varint(field << 3 | 2) + varint(len(piece)) + piece for piece in pieces)


def unpacked(field: int, column: bytes) -> bytes:
    return b"".join(varint(field << 3 | 1) + column[at : at + 8] for at in range(0, len(column), 8))


@pytest.mark.parametrize("style", ["two pieces", "an empty last piece", "not packed"])
async def test_a_foreign_encoder_may_split_a_column(
    start_bridge: StartBridge, log_of_ticks: Client, style: str
) -> None:
    """Whatever legal way a column is written, its values are stored."""
    bridge = await start_bridge()
    ticks = history(20)
    batch = request(ticks).batches[0]
    column = batch.bid
    batch.ClearField("bid")
    cuts = {"two pieces": (56,), "an empty last piece": (160,)}
    extra = unpacked(9, column) if style == "not packed" else chunked(9, column, cuts[style])
    body = batch.SerializeToString() + extra
    async with lane(bridge.port) as client:
        await client.open("EURUSD")
        await client.call.write(varint(4 << 3 | 2) + varint(len(body)) + body)
        await client.until_acked(ticks.last_id)
    [stored] = await logged(log_of_ticks)
    assert stored.bid == column


async def test_a_time_of_another_unit_never_becomes_the_cursor(start_bridge: StartBridge, log_of_ticks: Client) -> None:
    """Microseconds in place of milliseconds would refuse every tick to come: they are refused themselves."""
    bridge = await start_bridge()
    async with lane(bridge.port) as client:
        await client.open("EURUSD")
        await client.send(history(10, start_msc=START_MSC * 1000))
        code, details = await client.refusal()
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert "before 2100" in details


async def test_a_message_that_no_bridge_wrote_holds_up_its_symbol_only(
    start_bridge: StartBridge, log_of_ticks: Client
) -> None:
    """Where a symbol's log can not be read its ticks wait; the others flow."""
    stream = log_of_ticks.jetstream()
    foreign = await stream.publish(tick_subject(SERVER, "GBPUSD"), b"\xff\xff not a batch")
    bridge = await start_bridge()
    ticks = history(10)
    async with lane(bridge.port) as client:
        await client.send(opened=["GBPUSD"])
        await client.open("EURUSD")
        await client.send(ticks)
        await client.until_acked(ticks.last_id)
        assert "GBPUSD" not in client.welcome
        await stream.delete_msg(TICKS_STREAM, foreign.seq)
        while "GBPUSD" not in client.welcome:
            await client.read()
