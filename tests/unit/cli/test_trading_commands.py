"""Orders, positions and states from the command line, against an engine that answers as it is told."""

import json
import threading
from collections.abc import Callable, Iterator
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc
import pytest
from click.testing import Result
from suho.common.v1 import account_pb2, page_pb2
from suho.trading.v1 import agent_link_pb2, order_pb2, trading_pb2, trading_pb2_grpc
from typer.testing import CliRunner

from cli.__main__ import app
from cli.order_words import way
from cli.output import EXIT_REFUSED, EXIT_UNREACHABLE
from mesh.channel import direct_channel
from mesh.errors import MeshError, Reason
from tests.unit.cli.fake_hub import refuse, write_state

ACCOUNT = account_pb2.AccountRef(server="s", login=7)
S, K = order_pb2.OrderState, order_pb2.OrderKind
MS = 1_000_000
OWN = order_pb2.Position(ticket=1, symbol="EURUSD", side=order_pb2.ORDER_SIDE_BUY, volume="0.1", signal_id="a",
                         stop_loss="1.0", take_profit="1.3")  # fmt: skip
FOREIGN = order_pb2.Position(ticket=2, symbol="XAUUSD", side=order_pb2.ORDER_SIDE_SELL, volume="1")
WAITING = order_pb2.WorkingOrder(
    ticket=3,
    symbol="EURUSD",
    kind=K.ORDER_KIND_LIMIT,
    side=order_pb2.ORDER_SIDE_BUY,
    volume="0.1",
    price="1.1",
    stop_loss="1.0",
    expires_unix_ms=9,
    signal_id="b",
)
STOPPED = order_pb2.ExternalDeal(deal=12, order=22, position=1, symbol="EURUSD", side=order_pb2.ORDER_SIDE_SELL,
                                 volume="0.1", price="1.0", profit="-30.5", time_unix_ms=1_893_456_000_007,
                                 cause=order_pb2.DEAL_CAUSE_STOP_LOSS, signal_id="a")  # fmt: skip
BY_HAND = order_pb2.ExternalDeal(deal=11, symbol="XAUUSD", side=order_pb2.ORDER_SIDE_BUY, volume="1",
                                 cause=order_pb2.DEAL_CAUSE_BY_HAND)  # fmt: skip
TIMES = order_pb2.OrderTimes(submitted_unix_ns=100 * MS, committed_unix_ns=102 * MS, sent_unix_ns=103 * MS,
                             received_unix_ns=54 * MS, called_unix_ns=55 * MS, clock_offset_ns=50 * MS)  # fmt: skip


class FakeEngine(trading_pb2_grpc.TradingServiceServicer):
    """One account with two positions and a pending order; each signal ends in `outcome`."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.asked: list[Any] = []
        self.ticket = 3
        self.outcome = S.ORDER_STATE_FILLED
        self.accounts = [ACCOUNT]
        self.held = [OWN, FOREIGN]
        # By position or login; what is not refused is answered when all of these were.
        self.refused: dict[int, MeshError] = {}
        self.refusing = threading.Semaphore(0)

    def _refuse_or_wait(self, key: int, context: Any) -> None:
        if key in self.refused:
            self.refusing.release()
            refuse(context, self.refused[key])
        for _ in self.refused:
            assert self.refusing.acquire(timeout=5)
            self.refusing.release()

    def SubmitSignal(self, request: Any, context: Any) -> Any:
        self.asked.append(request)
        self._refuse_or_wait(request.position, context)
        order = order_pb2.Order(signal_id=request.signal_id, account=request.account, kind=request.kind,
                                symbol="EURUSD", position=request.position, state=self.outcome)  # fmt: skip
        return trading_pb2.SubmitSignalResponse(order=order)

    def GetOrder(self, request: Any, context: Any) -> Any:
        state = S.ORDER_STATE_PLACED if self.ticket else S.ORDER_STATE_PENDING
        order = order_pb2.Order(signal_id=request.signal_id, account=ACCOUNT, kind=K.ORDER_KIND_LIMIT, symbol="EURUSD",
                                state=state, ticket=self.ticket, times=TIMES, agent="pc-1")  # fmt: skip
        event = trading_pb2.OrderEvent(at_unix_ns=102 * MS, state_after=S.ORDER_STATE_PENDING)
        return trading_pb2.GetOrderResponse(order=order, events=[event])

    def ListAccounts(self, request: Any, context: Any) -> Any:
        safety = agent_link_pb2.AgentSafety(halted=True, reason="KILL_SWITCH", message="by hand")
        known = [
            trading_pb2.AccountStatus(account=account, agent="pc-1", epoch=5, safety=safety, state_reason="storm",
                                      trading_state=order_pb2.TRADING_STATE_HALTED, standing_by=["pc-2"])
            for account in self.accounts
        ]  # fmt: skip
        return trading_pb2.ListAccountsResponse(accounts=known)

    def BeginEpoch(self, request: Any, context: Any) -> Any:
        self.asked.append(request)
        return trading_pb2.BeginEpochResponse(epoch=9)

    def ListPositions(self, request: Any, context: Any) -> Any:
        held = agent_link_pb2.AccountSnapshot(positions=self.held, orders=[WAITING])
        first = trading_pb2.AccountPositions(account=ACCOUNT, agent="pc-1", snapshot=held)
        silent = [trading_pb2.AccountPositions(account=account) for account in self.accounts[1:]]
        return trading_pb2.ListPositionsResponse(accounts=[first, *silent])

    def ListMarketConditions(self, request: Any, context: Any) -> Any:
        one = trading_pb2.AccountMarket(account=ACCOUNT, conditions=[order_pb2.MarketConditions(symbol="EURUSD")])
        return trading_pb2.ListMarketConditionsResponse(accounts=[one])

    def ListExternalDeals(self, request: Any, context: Any) -> Any:
        self.asked.append(request)
        deals = [trading_pb2.AccountDeal(account=ACCOUNT, deal=one) for one in (STOPPED, BY_HAND)]
        return trading_pb2.ListExternalDealsResponse(deals=deals, page=page_pb2.PageInfo(next_token="11"))

    def SetTradingState(self, request: Any, context: Any) -> Any:
        self.asked.append(request)
        self._refuse_or_wait(request.account.login, context)
        answer = trading_pb2.SetTradingStateResponse(trading_state=request.trading_state)
        if request.flatten:
            answer.signal_ids[:], answer.removal_ids[:] = ["c1"], ["r1"]
        return answer


@pytest.fixture(scope="module")
def engine() -> Iterator[tuple[FakeEngine, str]]:
    server = grpc.server(futures.ThreadPoolExecutor(8))
    fake = FakeEngine()
    trading_pb2_grpc.add_TradingServiceServicer_to_server(fake, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield fake, f"127.0.0.1:{port}"
    server.stop(None)


Suho = Callable[..., Result]


@pytest.fixture
def suho(engine: tuple[FakeEngine, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Suho:
    monkeypatch.setattr("cli.connection.mesh_channel", lambda settings, _: direct_channel(settings.hubs))
    write_state(tmp_path / "state", engine[1])
    engine[0].reset()
    return lambda *words: CliRunner().invoke(app, [*words, "--state", str(tmp_path / "state")])


@pytest.fixture
def fake(engine: tuple[FakeEngine, str]) -> FakeEngine:
    return engine[0]


def test_the_way_is_told_on_one_clock() -> None:
    """The PC's moments are set right by the offset; a step that was not taken is left out."""
    order = order_pb2.Order(times=TIMES)
    assert [(step.name, step.at_unix_ns // MS, step.took_ms) for step in way(order)] == [
        ("submitted", 100, None),
        ("committed", 102, 2.0),
        ("sent", 103, 1.0),
        ("received", 104, 1.0),
        ("called", 105, 1.0),
    ]


def test_accounts_are_told_with_who_halted_them(suho: Suho, fake: FakeEngine) -> None:
    """And an epoch is left by its number, so that a repeated request leaves no other one."""
    told = suho("accounts").stdout
    for word in ("7@s", "HALTED", "engine: storm; agent: KILL_SWITCH, by hand", "pc-1", "pc-2"):
        assert word in told
    assert json.loads(suho("accounts", "--json").stdout)["accounts"][0]["standing_by"] == ["pc-2"]
    begun = json.loads(suho("accounts", "new-epoch", "7", "--json").stdout)
    assert begun == {"account": "7@s", "left_epoch": 5, "epoch": 9}
    assert fake.asked == [trading_pb2.BeginEpochRequest(account=ACCOUNT, left_epoch=5)]


def test_one_order_is_shown_with_its_way_and_its_events(suho: Suho) -> None:
    """For people and for programs."""
    told, facts = suho("orders", "show", "b"), json.loads(suho("orders", "show", "b", "--json").stdout)
    assert all(word in told.stdout for word in ("PLACED", "at agent pc-1", "called", "50.000 ms behind"))
    assert facts["way"][-1] == {"name": "called", "at_unix_ns": 105 * MS, "took_ms": 1.0}
    assert [event["to"] for event in facts["events"]] == ["PENDING"]


@pytest.mark.parametrize("what", [["1"], ["EURUSD"], ["--all"]])
def test_only_what_is_ours_is_closed(suho: Suho, fake: FakeEngine, what: list[str]) -> None:
    """By ticket, symbol, or everything; the engine finds out side and volume."""
    result = suho("close", *what)
    assert result.exit_code == 0, result.output
    (asked,) = fake.asked
    assert (asked.kind, asked.position, asked.volume, asked.account) == (K.ORDER_KIND_CLOSE, 1, "", ACCOUNT)


def test_what_is_foreign_or_unknown_is_not_closed(suho: Suho, fake: FakeEngine) -> None:
    """The sentence says why."""
    for what, words in (("2", "not opened here"), ("9", "no position bears")):
        result = suho("close", what)
        assert (result.exit_code, words in result.stderr) == (EXIT_REFUSED, True)
    assert "not opened here" in suho("close", "XAUUSD").stderr
    assert [
        suho(*words).exit_code for words in (("close",), ("close", "--all", "EURUSD"), ("orders", "modify", "3"))
    ] == [
        *(2, 2, 2),
    ]
    assert not fake.asked


def test_one_position_that_can_not_be_closed_keeps_no_other_one_open(suho: Suho, fake: FakeEngine) -> None:
    """One that its stop closed meanwhile is told and no failure; what failed is told, and the worst is the status."""
    fake.held = [order_pb2.Position(ticket=ticket, symbol="EURUSD", signal_id="a") for ticket in (1, 2, 3, 4)]
    fake.refused = {2: MeshError(Reason.UNKNOWN_TICKET, "no position 2")}
    told = suho("close", "--all")
    assert (told.exit_code, told.stdout.count(": FILLED"), "position 2 of 7@s was closed" in told.stdout) == (
        0,
        3,
        True,
    )
    fake.refused[3] = MeshError(Reason.ACCOUNT_MOVED, "it moved")
    told = suho("close", "--all")
    assert (told.exit_code, told.stdout.count(": FILLED")) == (EXIT_REFUSED, 2)
    assert told.stderr == "suho: position 3 of 7@s: it moved [ACCOUNT_MOVED]\n"
    fake.refused[4] = MeshError(Reason.ENGINE_AWAY, "engine-2 is silent")
    told = suho("close", "EURUSD", "--id", "evening", "--json")
    assert (told.exit_code, "with `--id evening` it is the same" in told.stderr) == (EXIT_UNREACHABLE, True)
    facts = json.loads(told.stdout)
    assert ([order["state"] for order in facts["orders"]], facts["gone"]) == (["FILLED"], ["position 2 of 7@s"])
    assert [(one["of"], one["reason"]) for one in facts["failed"]] == [
        ("position 3 of 7@s", "ACCOUNT_MOVED"),
        ("position 4 of 7@s", None),
    ]


def test_what_is_not_known_keeps_nothing_open_and_is_told(suho: Suho, fake: FakeEngine) -> None:
    """An account whose agent is away, a ticket that is gone: the rest of what was asked for is closed."""
    fake.accounts = [ACCOUNT, account_pb2.AccountRef(server="s", login=8)]
    for what, failed in ((["--all"], "8@s: what it holds"), (["9", "1"], "9: no position bears")):
        told = suho("close", *what)
        assert (told.exit_code, told.stdout.count(": FILLED"), failed in told.stderr) == (EXIT_REFUSED, 1, True)
    assert suho("close", "1").exit_code == 0


def test_a_symbol_that_no_agent_tells_of_is_refused_with_those_told(suho: Suho) -> None:
    """Nothing found is no answer to a question that names a symbol."""
    refused = suho("market", "EURUSD", "NOPE")
    assert (refused.exit_code, "EURUSD" in refused.stdout) == (EXIT_REFUSED, True)
    assert "no agent tells of NOPE; told are EURUSD" in refused.stderr
    assert suho("market").exit_code == 0


def test_what_forbids_entries_is_shown_and_ends_a_resume(suho: Suho) -> None:
    """The engine's halt and the PC's own: each with who lifts it."""
    resumed = suho("resume")
    assert (resumed.exit_code, "suho agent resume" in resumed.stderr) == (EXIT_REFUSED, True)
    told = suho("positions").stdout
    assert "! 7@s is HALTED (storm): `suho resume` lifts it; the PC of 7@s takes no entries, KILL_SWITCH" in told


def test_the_same_close_is_asked_under_the_same_id(suho: Suho, fake: FakeEngine) -> None:
    """Whoever gives an id may ask again."""
    for _ in range(2):
        suho("close", "--all", "--id", "evening")
    suho("close", "--all")
    first, again, other = (asked.signal_id for asked in fake.asked)
    assert (first == again, first == other) == (True, False)


def test_an_order_is_changed_where_something_is_said(suho: Suho, fake: FakeEngine) -> None:
    """What is not named stays as it is at the broker; `none` takes a stop away; a ticket may be a position's."""
    suho("orders", "modify", "3", "--price", "1.2")
    suho("orders", "modify", "1", "--tp", "none")
    suho("orders", "cancel", "b")
    order, position, cancel = fake.asked
    assert (order.kind, order.order_ticket, order.price, order.stop_loss, order.expires_unix_ms) == (
        K.ORDER_KIND_MODIFY_ORDER,
        3,
        "1.2",
        "1.0",
        9,
    )
    assert (position.kind, position.position, position.stop_loss, position.take_profit) == (
        K.ORDER_KIND_MODIFY_POSITION,
        1,
        "1.0",
        "",
    )
    assert (cancel.kind, cancel.order_ticket) == (K.ORDER_KIND_CANCEL_ORDER, 3)


def test_an_entry_that_waits_at_the_pc_is_ended_there(suho: Suho, fake: FakeEngine) -> None:
    """The broker does not know it, so nothing is asked of it; the person is told how."""
    fake.ticket = 0
    told = suho("orders", "cancel", "b")
    assert (told.exit_code, fake.asked) == (EXIT_REFUSED, [])
    assert "order b is PENDING and has no ticket" in told.stderr
    assert "`suho agent confirm b --refuse` ends it there" in told.stderr


def test_a_pending_order_is_sent_with_all_it_has(suho: Suho, fake: FakeEngine) -> None:
    """The account is the only one there is; waiting at the broker is what was asked."""
    fake.outcome = S.ORDER_STATE_PLACED
    result = suho(
        "signal", "send", "--kind", "stop-limit", "--symbol", "EURUSD", "--side", "sell", "--volume", "0.1",
        "--price", "1.1", "--limit-price", "1.2", "--expires", "2030-01-01", "--json",
    )  # fmt: skip
    assert (result.exit_code, json.loads(result.stdout)["state"]) == (0, "PLACED")
    (asked,) = fake.asked
    assert (asked.kind, asked.price, asked.limit_price, asked.expires_unix_ms) == (
        K.ORDER_KIND_STOP_LIMIT,
        "1.1",
        "1.2",
        1_893_456_000_000,
    )


@pytest.mark.parametrize(
    ("outcome", "status"),
    [(S.ORDER_STATE_DONE, 0), (S.ORDER_STATE_REJECTED, EXIT_REFUSED), (S.ORDER_STATE_UNKNOWN, EXIT_UNREACHABLE)],
)
def test_the_status_tells_how_it_went(suho: Suho, fake: FakeEngine, outcome: Any, status: int) -> None:
    """As asked, refused, or nobody knows."""
    fake.outcome = outcome
    assert suho("orders", "cancel", "3", "--wait", "0").exit_code == status


def test_a_halt_is_for_every_account_and_may_flatten(suho: Suho, fake: FakeEngine) -> None:
    """It says which orders close; a resume is for one."""
    told = suho("halt", "--flatten")
    assert "7@s is HALTED; 1 pending order(s) are being removed; 1 position(s) are being closed" in told.stdout
    assert all(f"suho orders show {signal}" in told.stdout for signal in ("r1", "c1"))
    assert "7@s is ACTIVE" in suho("resume").stdout
    halt, resume = fake.asked
    assert (halt.flatten, bool(halt.request_id), resume.trading_state) == (
        True,
        True,
        order_pb2.TRADING_STATE_ACTIVE,
    )
    assert suho("halt", "--flatten", "--reducing").exit_code == 2


def test_an_account_that_can_not_be_flattened_keeps_no_other_one_from_it(suho: Suho, fake: FakeEngine) -> None:
    """Whoever halts everything hears of every account, and the status tells that it is not all."""
    fake.accounts = [account_pb2.AccountRef(server="s", login=login) for login in (6, 7, 8)]
    fake.refused = {7: MeshError(Reason.AGENT_NOT_CONNECTED, "nothing was closed")}
    told = suho("halt", "--flatten")
    assert (told.exit_code, told.stderr) == (EXIT_REFUSED, "suho: 7@s: nothing was closed [AGENT_NOT_CONNECTED]\n")
    assert all(f"{login}@s is HALTED; 1 pending" in told.stdout for login in (6, 8))
    told = suho("halt", "--flatten", "--json")
    facts = json.loads(told.stdout)
    assert [one["account"]["login"] for one in facts["accounts"]] == [6, 8]
    assert [(one["of"], one["reason"]) for one in facts["failed"]] == [("7@s", "AGENT_NOT_CONNECTED")]


def test_positions_show_what_is_foreign(suho: Suho) -> None:
    """And the pending orders beside them."""
    told = suho("positions").stdout
    assert all(word in told for word in ("7@s at pc-1", "(foreign)", "limit"))
    facts = json.loads(suho("positions", "--json").stdout)["accounts"][0]
    assert [item["ticket"] for item in facts["snapshot"]["positions"]] == [1, 2]


def test_deals_that_nobody_asked_for_are_told_with_their_cause(suho: Suho, fake: FakeEngine) -> None:
    """Of all accounts or of one, as many as are wanted; the time is the trade server's and bears no zone."""
    stopped, by_hand = suho("deals").stdout.splitlines()[1:]
    for word in ("2030-01-01T00:00:00.007 ", "7@s", "12", "stop-loss", "EURUSD", "sell", "-30.5", "a"):
        assert word in stopped
    assert all(word in by_hand for word in ("by-hand", "(foreign)"))
    told = json.loads(suho("deals", "7", "-n", "2", "--json").stdout)
    assert told["more"]
    assert [(deal["account"], deal["deal"], deal["cause"], deal["side"]) for deal in told["deals"]] == [
        ({"server": "s", "login": 7}, 12, "stop-loss", "sell"),
        ({"server": "s", "login": 7}, 11, "by-hand", "buy"),
    ]
    everyone, one = fake.asked
    assert (everyone.HasField("account"), everyone.page.size, one.account, one.page.size) == (False, 50, ACCOUNT, 2)
    for account, status in (("9", EXIT_REFUSED), ("seven", 2)):
        refused = suho("deals", account)
        assert (refused.exit_code, f"account {account}" in refused.stderr.replace("'", "")) == (status, True)
