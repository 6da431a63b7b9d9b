"""What an agent sees of a worker that is inside a call."""

import time
from types import SimpleNamespace
from typing import Any

import pytest

from pc_agent.terminal.call_board import CallBoard, WatchedCalls

HANG_NS = 10**12


def watched(board: CallBoard, **functions: Any) -> WatchedCalls:
    return WatchedCalls(SimpleNamespace(ACTION=5, **functions), board, {"order_send": 100_000}, 60_000_000)


def test_a_call_that_takes_longer_than_it_may_is_seen_and_named() -> None:
    """Each kind has its own time; outside of calls the loop must turn."""
    board = CallBoard([0, 0, 0, 0])
    board.turn()
    seen: list[str] = []

    def look(*_: Any) -> None:
        seen.append(board.hangs(HANG_NS))
        board._numbers[1] -= 200 * 10**9  # as if 200 s had passed
        seen.append(board.hangs(HANG_NS))

    mt5 = watched(board, order_send=look, copy_ticks_from=look)
    mt5.order_send({})
    mt5.copy_ticks_from("EURUSD")
    assert seen == ["", "order_send does not return", "", ""]
    assert (board.hangs(HANG_NS), board.calls) == ("", 2)
    board._numbers[0] -= 2 * HANG_NS
    assert "has stood still" in board.hangs(HANG_NS)


def test_what_may_be_changed_while_it_runs_is() -> None:
    """The next call has the new time."""
    board = CallBoard([0, 0, 0, 0])
    until: list[int] = []
    mt5 = watched(board, order_send=lambda _: until.append(board._numbers[1] - time.monotonic_ns()))
    mt5.order_send({})
    mt5.allow("order_send", 5_000_000)
    mt5.order_send({})
    assert until[0] < 100 * 10**9 < until[1]


def test_a_call_that_raises_is_over() -> None:
    """The package raises where it is given what it can not convert; constants are passed through."""

    def fail(*_: Any) -> None:
        raise SystemError("returned a result with an exception set")

    board = CallBoard([0, 0, 0, 0])
    mt5 = watched(board, order_send=fail)
    with pytest.raises(SystemError):
        mt5.order_send({"deviation": -1})
    assert board._numbers[1] == 0
    assert mt5.ACTION == 5
