"""Commands refuse what they can not do, in a sentence, with a status."""

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from suho.common.v1 import account_pb2
from suho.hub.v1 import registry_pb2
from suho.trading.v1 import order_pb2, trading_pb2
from typer.testing import CliRunner

from cli import away, order_words, trading
from cli.__main__ import app
from cli.output import EXIT_REFUSED, EXIT_UNREACHABLE, to_dict
from cli.under_way import prove_idle
from mesh.channel import direct_channel
from tests.unit.cli.fake_hub import FakeHub, instance, write_state

runner = CliRunner()
SEND = ["signal", "send", "--account", "1", "--symbol", "X", "--volume", "1"]


@pytest.mark.parametrize(
    "command", [["status"], ["services"], ["orders"], ["bootstrap"], ["ticks", "stats", "X"], [*SEND, "--side", "buy"]]
)
def test_without_a_platform_there_is_nobody_to_ask(command: list[str], tmp_path: Path) -> None:
    """A state folder where nothing has run is named, with the way out."""
    result = runner.invoke(app, [*command, "--state", str(tmp_path)])
    assert result.exit_code == EXIT_UNREACHABLE
    assert f"suho up --state {tmp_path}" in result.stderr


def test_a_status_tells_what_it_can_while_services_are_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who runs is the hub's to say; of the rest it is said that it is not known, with status 3."""
    monkeypatch.setattr("cli.connection.mesh_channel", lambda settings, _: direct_channel(settings.hubs))
    hub = FakeHub()
    hub.registry.instances = [instance("echo-1")]
    write_state(tmp_path / "state", hub.address)
    try:
        told = runner.invoke(app, ["status", "--state", str(tmp_path / "state")])
        facts = runner.invoke(app, ["status", "--json", "--state", str(tmp_path / "state")])
    finally:
        hub.close()
    assert (told.exit_code, facts.exit_code) == (EXIT_UNREACHABLE, EXIT_UNREACHABLE)
    assert ("echo-1" in told.stdout, "sink: not known" in told.stdout) == (True, True)
    found = json.loads(facts.stdout)
    assert (found["instances"][0]["id"], found["sink"], set(found["away"])) == (
        "echo-1",
        None,
        {"bridge", "sink", "orders", "accounts"},
    )


async def test_who_serves_no_grpc_is_not_said_to_be_without_calls() -> None:
    """An engine is used behind the hub's back; who listens nowhere is called by nobody."""
    engine = instance("postgres-1", addresses=[registry_pb2.Address(name="postgres", host="127.0.0.1", port=5432)])
    proofs = await prove_idle([engine, instance("agent-1")], 1)
    assert [(proof.instance, proof.idle, bool(proof.because)) for proof in proofs] == [
        ("postgres-1", False, True),
        ("agent-1", True, True),
    ]


def test_a_side_is_buy_or_sell(tmp_path: Path) -> None:
    """Anything else is wrong usage."""
    result = runner.invoke(app, [*SEND, "--side", "hold", "--state", str(tmp_path)])
    assert result.exit_code == 2
    assert "neither buy nor sell" in result.stderr


@pytest.mark.parametrize("broken", ["SubmitSignal", "WatchOrder"])
def test_a_signal_whose_answer_was_lost_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, broken: str) -> None:
    """It may be an order: whoever sends it again must be able to send the same one, not a second. Who is away is
    named too."""

    class Stub:
        def __init__(self, _: object) -> None:
            pass

        async def SubmitSignal(self, request: trading_pb2.SubmitSignalRequest, timeout: float) -> Any:
            self.fail_in("SubmitSignal")
            order = order_pb2.Order(signal_id=request.signal_id, state=order_pb2.ORDER_STATE_PENDING)
            return trading_pb2.SubmitSignalResponse(order=order)

        async def WatchOrder(self, _: trading_pb2.WatchOrderRequest) -> AsyncIterator[Any]:
            self.fail_in("WatchOrder")
            yield

        def fail_in(self, method: str) -> None:
            if method == broken:
                raise grpc.aio.AioRpcError(grpc.StatusCode.UNAVAILABLE, grpc.aio.Metadata(), grpc.aio.Metadata())

    @asynccontextmanager
    async def mesh(_: Path) -> AsyncIterator[None]:
        yield None

    async def instances(_: object) -> registry_pb2.ListInstancesResponse:
        engine = registry_pb2.Instance(service="trading-engine", status=registry_pb2.INSTANCE_STATUS_DOWN)
        agent = registry_pb2.Instance(
            service="pc-agent", status=registry_pb2.INSTANCE_STATUS_UP, dependencies=["trading-engine"]
        )
        return registry_pb2.ListInstancesResponse(instances=[engine, agent])

    (tmp_path / "mesh.json").write_text('{"hubs": ["127.0.0.1:7000"]}')
    monkeypatch.setattr(trading, "mesh", mesh)
    monkeypatch.setattr(trading.trading_pb2_grpc, "TradingServiceStub", Stub)
    monkeypatch.setattr(away, "list_instances", instances)
    words = ["signal", "send", "--account", "1@s", *SEND[4:], "--side", "buy", "--state", str(tmp_path), "--json"]
    result = runner.invoke(app, words)
    assert result.exit_code == EXIT_UNREACHABLE
    assert re.search(r"--id [0-9a-f-]{36}", result.stderr)
    assert "trading-engine is away" in result.stderr
    told = json.loads(result.stdout)
    assert (told["maybe_taken"], told["id"] in result.stderr) == (True, True)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--volume", "0.1"], "--side is missing"),
        (["--side", "buy"], "--volume is missing"),
        (["--side", "buy", "--volume", "abc"], "--volume is 'abc'"),
        (["--side", "buy", "--volume", "-1"], "--volume is -1; give lots above 0"),
        (["--kind", "limit", "--side", "buy", "--volume", "1"], "--price is missing"),
        (["--kind", "close-by", "--position", "1"], "--by is missing"),
    ],
)
def test_a_signal_that_lacks_something_is_wrong_usage(words: list[str], sentence: str) -> None:
    """Said in the options' names, before anything is sent."""
    result = runner.invoke(app, ["signal", "send", "--symbol", "EURUSD", *words], env={"COLUMNS": "200"})
    assert (result.exit_code, sentence in " ".join(result.stderr.split())) == (2, True), result.stderr


@pytest.mark.parametrize("login", ["0", "x", "-1", "9" * 30])
def test_a_login_is_a_number_that_an_account_can_have(tmp_path: Path, login: str) -> None:
    """Anything else is wrong usage, not a crash."""
    (tmp_path / "mesh.json").write_text('{"hubs": ["127.0.0.1:7000"]}')
    arguments = ["signal", "send", f"--account={login}@s", *SEND[4:], "--side", "buy", "--state", str(tmp_path)]
    result = runner.invoke(app, arguments)
    assert (result.exit_code, "the login is a number" in result.stderr) == (2, True)


def test_the_bootstrap_is_json_on_one_line(tmp_path: Path) -> None:
    """It can be put into an environment variable as it is."""
    (tmp_path / "mesh.json").write_text('{"hubs": ["127.0.0.1:7000"]}')
    result = runner.invoke(app, ["bootstrap", "--state", str(tmp_path), "--node", "me"])
    assert result.exit_code == 0
    assert json.loads(result.stdout)["node"]["id"] == "me"
    assert result.stdout.count("\n") == 1


def test_an_unknown_log_is_refused_with_those_there_are(tmp_path: Path) -> None:
    """A typing error shows the names."""
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "hub.log").write_text("1\n2\n3\n")
    result = runner.invoke(app, ["logs", "hob", "--state", str(tmp_path)])
    assert (result.exit_code, "there are: hub" in result.stderr) == (EXIT_REFUSED, True)
    for name in ("hub", "hub-1"):
        assert runner.invoke(app, ["logs", name, "-n", "2", "--state", str(tmp_path)]).stdout == "2\n3\n"


def test_an_order_is_told_in_words_and_numbers() -> None:
    """JSON facts bear names instead of enum numbers, and account and ticket."""
    order = order_pb2.Order(
        signal_id="a",
        account=account_pb2.AccountRef(server="s", login=7),
        side=order_pb2.ORDER_SIDE_SELL,
        state=order_pb2.ORDER_STATE_FILLED,
        ticket=9,
    )
    facts = order_words.order_facts(order)
    assert (facts["side"], facts["state"], facts["ticket"], facts["account"]["login"]) == ("sell", "FILLED", 9, 7)


def test_a_message_becomes_json_with_numbers_and_names() -> None:
    """64 bits are numbers, enums names, absent messages None."""
    instance = registry_pb2.Instance(
        id="a", status=registry_pb2.INSTANCE_STATUS_UP, revision=2**60, metadata={"k": "v"}, addresses=[{"port": 1}]
    )
    facts = to_dict(instance)
    assert (facts["status"], facts["revision"], facts["metadata"]) == ("INSTANCE_STATUS_UP", 2**60, {"k": "v"})
    assert facts["addresses"][0]["port"] == 1
    assert to_dict(order_pb2.Order())["account"] is None


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["resolve", "s1", "--filled", "0.02"], "write VOLUME@PRICE"),
        (["resolve", "s1"], "say one of --filled VOLUME@PRICE"),
        (["close", "5", "--all"], "not both"),
        (["close"], "tickets or symbols"),
    ],
)
def test_what_is_asked_of_the_agent_must_be_said_wholly(tmp_path: Path, words: list[str], sentence: str) -> None:
    """Wrong usage, before anybody is asked."""
    result = runner.invoke(app, ["agent", *words, "--agent-state", str(tmp_path)], env={"COLUMNS": "200"})
    assert (result.exit_code, sentence in " ".join(result.stderr.split())) == (2, True), result.stderr
