"""Commands that ask the hubs, against hubs of the test."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from suho.hub.v1 import registry_pb2 as pb
from suho.hub.v1 import traffic_pb2
from typer.testing import CliRunner

from cli.__main__ import app
from cli.output import EXIT_REFUSED, EXIT_UNREACHABLE, print_table
from cli.under_way import LONG_S, Connection, Longevity, UnderWay
from mesh.errors import MeshError, Reason
from tests.support import free_port
from tests.unit.cli.fake_hub import FakeHub, instance, put, write_state

Suho = Callable[..., Result]
MINUTE = 60_000


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    fake = FakeHub()
    yield fake
    fake.close()


@pytest.fixture
def suho(hub: FakeHub, tmp_path: Path) -> Suho:
    """Run `suho …` where the only hub is `hub`."""
    write_state(tmp_path / "state", hub.address)

    def run(*words: object) -> Result:
        return CliRunner().invoke(app, [*map(str, words), "--state", str(tmp_path / "state")])

    return run


def _json(result: Result) -> Any:
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def test_services_count_instances_by_status_and_tell_alarms_first(hub: FakeHub, suho: Suho) -> None:
    """One line each, all pages counted, engines marked, self-preservation and alarms above."""
    offers = {"grpc_services": ["a.B"], "dependencies": ["database"]}
    hub.registry.instances = [
        *(instance("echo-1", **offers), instance("echo-2", "DRAINING"), instance("echo-3", "EXPIRED", doubted=True)),
        instance("postgres-1", service="postgres", metadata={"infrastructure": "true"}),
    ]
    hub.registry.state.alarms.add(kind="HUB_SILENT", text="hub-2 is not heard")
    hub.registry.state.self_preservation.protecting = True
    told = suho("services").stdout.splitlines()
    assert ("HUB_SILENT" in told[0], told[1].startswith("SELF-PRESERVATION")) == (True, True)
    assert [line.split() for line in told[3:]] == [
        ["echo", "3", "1", "1", "1", "a.B", "database"],
        ["postgres", "1", "1", "0", "0", "(infrastructure)", "-"],
    ]
    facts = _json(suho("services", "--json"))
    assert [(one["service"], one["up"], one["expired"], one["doubted"]) for one in facts["services"]] == [
        ("echo", 1, 1, 1),
        ("postgres", 1, 0, 0),
    ]
    assert facts["alarms"][0]["kind"] == "HUB_SILENT"


def test_instances_are_told_with_status_and_reason(hub: FakeHub, suho: Suho) -> None:
    """All, one service's, or a sentence with the nearest name."""
    hub.registry.instances = [
        instance("echo-1", "DRAINING", status_reason="drained by [alice]"),
        instance("echo-2"),
        instance("other-1", service="other"),
    ]
    assert "drained by [alice]" in suho("instances").stdout
    assert [item["id"] for item in _json(suho("instances", "echo", "--json"))["instances"]] == ["echo-1", "echo-2"]
    assert _json(suho("services", "echo", "--json")) == _json(suho("instances", "echo", "--json"))
    unknown = suho("instances", "ehco")
    assert (unknown.exit_code, "did you mean 'echo'?" in unknown.stderr) == (EXIT_REFUSED, True)


def test_one_instance_is_told_with_everything_and_its_history(hub: FakeHub, suho: Suho) -> None:
    """Its own word, the order, its probes; the last 24 hours also of one that has left."""
    drain = pb.Drain(target={"zone": "west"}, reason="flood", by="alice")
    health = pb.Health(verdict=pb.HEALTH_VERDICT_FAILING, last_error="refused")
    addresses = [pb.Address(name="grpc", host="127.0.0.1", port=4711, published_port=80)]
    hub.registry.instances = [instance("echo-1", "DRAINING", drain=drain, health=health, addresses=addresses)]
    hub.registry.events = [pb.HealthEvent(unix_ms=MINUTE, status=pb.INSTANCE_STATUS_DOWN, reason="probes fail")]
    told = suho("instances", "--id", "echo-1", "--history").stdout
    for part in ("UP", "alice", "flood", "FAILING", "refused", "(outside 127.0.0.1:80)", "1970-01-01T00:01", "DOWN"):
        assert part in told
    hub.registry.instances = []
    gone = _json(suho("instances", "--id", "echo-1", "--history", "--json"))
    assert (gone["instance"], gone["history"][0]["reason"]) == (None, "probes fail")
    hub.registry.events = []
    assert suho("instances", "--id", "echo-1").exit_code == EXIT_REFUSED
    assert suho("instances", "--history").exit_code == 2


def _watched(suho: Suho, changes: int, *words: object) -> list[dict[str, Any]]:
    result = suho("watch", "-n", changes, "--json", *words)
    assert result.exit_code == 0, result.stderr
    return [json.loads(line) for line in result.stdout.splitlines()]


def _told(changes: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    return [(one["change"], one["id"], one["was"], one["status"], one["revision"]) for one in changes]


def test_a_watch_tells_who_is_there_and_then_what_changes(hub: FakeHub, suho: Suho) -> None:
    """From → to, what else changed, added, removed; a snapshot in parts is one; a line resumes where it says."""
    hub.registry.watches = [
        [
            pb.WatchResponse(snapshot=True, changes=put(instance("echo-1")), more=True),
            pb.WatchResponse(revision=5, snapshot=True, changes=put(instance("echo-2"))),
            pb.WatchResponse(
                revision=6, changes=[*put(instance("echo-1", "DRAINING", weight=7)), *put(instance("echo-3"))]
            ),
            pb.WatchResponse(revision=7),
            pb.WatchResponse(revision=8, changes=[{"kind": pb.CHANGE_KIND_REMOVED, "instance": instance("echo-2")}]),
        ]
    ]
    changes = _watched(suho, 3, "echo")
    assert _told(changes) == [
        ("PRESENT", "echo-1", None, "UP", 0),
        ("PRESENT", "echo-2", None, "UP", 5),
        ("CHANGED", "echo-1", "UP", "DRAINING", 5),
        ("ADDED", "echo-3", None, "UP", 6),
        ("REMOVED", "echo-2", "UP", None, 8),
    ]
    assert changes[2]["changed"] == ["weight"]


def test_a_watch_goes_on_at_another_hub_and_lists_again_when_it_must(hub: FakeHub, suho: Suho) -> None:
    """By revision after a hub that stops; after REVISION_COMPACTED from 0, telling only what differs."""
    hub.registry.watches = [
        [
            pb.WatchResponse(revision=5, snapshot=True, changes=put(instance("echo-1"), instance("echo-2"))),
            pb.WatchResponse(revision=6),
            MeshError(Reason.SHUTTING_DOWN, "this hub is stopping"),
        ],
        [MeshError(Reason.REVISION_COMPACTED, "not held")],
        [pb.WatchResponse(revision=9, snapshot=True, changes=put(instance("echo-1", "DOWN"), instance("echo-3")))],
    ]
    assert _told(_watched(suho, 3))[2:] == [
        ("CHANGED", "echo-1", "UP", "DOWN", 0),
        ("ADDED", "echo-3", None, "UP", 0),
        ("REMOVED", "echo-2", "UP", None, 9),
    ]
    assert hub.registry.watched_from == [0, 6, 0]


def test_people_see_changes_a_line_each(hub: FakeHub, suho: Suho) -> None:
    """Of a watch from a revision, what was before is not known, and not made up."""
    hub.registry.watches = [
        [
            pb.WatchResponse(revision=6, changes=put(instance("echo-1", "DRAINING", status_reason="update"))),
            pb.WatchResponse(revision=7, changes=put(instance("echo-1"))),
        ]
    ]
    told = suho("watch", "--from-revision", 5, "-n", 2).stdout.splitlines()
    assert told[0].endswith("echo-1 (echo) DRAINING: update")
    assert told[1].endswith("echo-1 (echo) DRAINING → UP")
    assert hub.registry.watched_from == [5]


def test_a_watch_ends_in_time(hub: FakeHub, suho: Suho) -> None:
    """As asked: status 0, though nothing happened."""
    hub.registry.watches = [[pb.WatchResponse(snapshot=True)]]
    assert suho("watch", "--for", "0.1").exit_code == 0


def test_a_drain_names_one_target_a_reason_and_who(hub: FakeHub, suho: Suho) -> None:
    """An argument or an option; USER@HOST where nobody is named."""
    hub.maintenance.affected = ["echo-1"]
    assert "1 instance: echo-1" in suho("drain", "echo-1", "--reason", "update").stdout
    assert "no call" not in suho("drain", "--zone", "west", "--reason", "r", "--by", "bob", "--out", "--force").stdout
    first, second = hub.maintenance.asked
    assert (first.target.instance, first.reason, "@" in first.by, first.force) == ("echo-1", "update", True, False)
    assert (second.target.zone, second.by, second.force) == ("west", "bob", True)
    assert second.status == pb.INSTANCE_STATUS_OUT_OF_SERVICE
    assert _json(suho("undrain", "--service", "echo", "--json"))["instances"] == ["echo-1"]
    assert hub.maintenance.asked[-1].target == pb.DrainTarget(service="echo")
    assert "[flood]" in suho("drains").stdout


@pytest.mark.parametrize(
    "words",
    [
        ["drain", "echo-1"],
        ["drain", "--reason", "r"],
        ["drain", "echo-1", "--zone", "west", "--reason", "r"],
        ["drain", "echo-1", "--instance", "echo-2", "--reason", "r"],
        ["undrain"],
    ],
)
def test_a_drain_of_nothing_or_of_two_things_is_wrong_usage(hub: FakeHub, suho: Suho, words: list[str]) -> None:
    """Nothing is asked of the hub."""
    assert suho(*words).exit_code == 2
    assert hub.maintenance.asked == []


def test_a_refused_drain_is_told_with_its_reason(hub: FakeHub, suho: Suho) -> None:
    """Status 1, and the hub's own sentence."""
    hub.maintenance.refusal = MeshError(Reason.LAST_ENDPOINT, "nothing would be left of echo")
    refused = suho("drain", "echo-1", "--reason", "r")
    assert (refused.exit_code, "left of echo [LAST_ENDPOINT]" in refused.stderr) == (EXIT_REFUSED, True)


def test_an_order_whose_outcome_is_not_known_is_not_called_refused(hub: FakeHub, suho: Suho) -> None:
    """The store is away: status 3, and the hub's own sentence."""
    hub.maintenance.refusal = MeshError(Reason.STORE_AWAY, "NATS does not answer")
    unknown = suho("drain", "echo-1", "--reason", "r")
    assert (unknown.exit_code, "NATS does not answer" in unknown.stderr) == (EXIT_UNREACHABLE, True)


def test_what_does_not_tell_its_calls_is_not_proven(hub: FakeHub, suho: Suho) -> None:
    """An instance without channelz, or dead: status 3; one that nobody can call needs no proof."""
    address = pb.Address(name="grpc", host="127.0.0.1", port=int(hub.address.rpartition(":")[2]))
    hub.registry.instances = [instance("echo-1", addresses=[address]), instance("agent-1")]
    hub.maintenance.affected = ["echo-1", "agent-1"]
    waited = suho("drain", "--zone", "west", "--reason", "r", "--wait", "--json")
    assert waited.exit_code == EXIT_UNREACHABLE
    proofs = {proof["instance"]: proof["idle"] for proof in json.loads(waited.stdout)["under_way"]}
    assert (proofs, "echo-1" in waited.stderr) == ({"echo-1": False, "agent-1": True}, True)


def test_a_stream_is_long_when_nothing_begins_beside_it_any_more() -> None:
    """Until then it may be a call; what is over is neither."""
    longevity = Longevity()
    assert longevity.judge([Connection("a", 3, 1), Connection("b", 1, 0)], 0.0) == UnderWay(1)
    assert longevity.judge([Connection("a", 4, 1)], LONG_S) == UnderWay(1)
    assert longevity.judge([Connection("a", 4, 1)], 2 * LONG_S - 0.1) == UnderWay(1)
    assert longevity.judge([Connection("a", 4, 1)], 2 * LONG_S) == UnderWay(0, {"a": 1})
    assert longevity.judge([Connection("a", 4, 0)], 2 * LONG_S) == UnderWay(0)


@pytest.fixture
def three(tmp_path: Path) -> Iterator[tuple[list[FakeHub], Suho]]:
    """Two hubs that answer and one that does not."""
    hubs = [FakeHub("hub-1"), FakeHub("hub-2")]
    silent = f"127.0.0.1:{free_port()}"
    write_state(tmp_path / "state", hubs[0].address, silent, hubs[1].address)

    def run(*words: object) -> Result:
        return CliRunner().invoke(app, [*map(str, words), "--state", str(tmp_path / "state")])

    yield hubs, run
    for one in hubs:
        one.close()


def test_the_mesh_is_told_hub_by_hub(three: tuple[list[FakeHub], Suho]) -> None:
    """Each with its peers, an alarm of several once, and the hub that does not answer named."""
    hubs, suho = three
    for one in hubs:
        one.registry.state.alarms.add(kind="STORE_AWAY", text="NATS is away")
        one.registry.state.hubs.add(hub_id="hub-3", heard=False, heard_ms_ago=12_000)
    told = suho("mesh", "state")
    assert told.stdout.count("ALARM") == 1
    assert "(hub-1, hub-2)" in told.stdout
    assert "hub-3 NOT 12.0 s ago" in told.stdout
    assert "does not answer" in told.stdout.splitlines()[-1]
    facts = _json(suho("mesh", "state", "--json"))["hubs"]
    assert [one["state"] and one["state"]["hub_id"] for one in facts] == ["hub-1", None, "hub-2"]


def test_the_clients_of_all_hubs_are_one_list(three: tuple[list[FakeHub], Suho]) -> None:
    """Who runs what, who refused it and why, who lags, what is missing."""
    hubs, suho = three
    resource = traffic_pb2.ClientResource
    hubs[0].traffic.clients.clients.add(
        node_id="b",
        resources=[
            resource(kind="listener", sent_version="5", running_version="5"),
            resource(kind="cluster", sent_version="6", running_version="5", refusal="bad [cluster]"),
        ],
    )
    hubs[1].traffic.clients.clients.add(
        node_id="a",
        resources=[resource(kind="endpoints", sent_version="7", running_version="6", missing={"ghost": "no service"})],
    )
    facts = _json(suho("mesh", "clients", "--json"))
    assert [(one["node_id"], one["hub"]) for one in facts["clients"]] == [("a", "hub-2"), ("b", "hub-1")]
    assert len(facts["silent_hubs"]) == 1
    told = suho("mesh", "clients").stdout
    for part in ("lags: endpoints 7", "endpoints ghost: no service", "refused cluster 6", "bad [cluster]"):
        assert part in told


def test_no_hub_at_all_is_said(tmp_path: Path) -> None:
    """Status 3."""
    write_state(tmp_path / "state", f"127.0.0.1:{free_port()}")
    for words in (["mesh", "state"], ["services"], ["drains"]):
        result = CliRunner().invoke(app, [*words, "--state", str(tmp_path / "state")])
        assert (result.exit_code, "suho up" in result.stderr) == (EXIT_UNREACHABLE, True)


def test_a_policy_keeps_what_is_not_named(hub: FakeHub, suho: Suho) -> None:
    """Set bit by bit, told in a table, ended part by part and as a whole."""
    assert suho("mesh", "policy", "set", "echo", "--timeout-ms", 500, "--retry-on", "internal").exit_code == 0
    canary = ("--canary-header", "x-canary", "--canary-value", "1", "--canary-version", "2.0")
    assert suho("mesh", "policy", "set", "echo", *canary, "--outlier-failure-percent", 50).exit_code == 0
    (policy,) = hub.traffic.policies
    assert (policy.timeout_ms, list(policy.retry.retry_on), policy.canary.version) == (500, ["internal"], "2.0")
    assert (policy.outlier_detection.failure_percent, policy.outlier_detection.interval_ms) == (50, 10_000)
    assert "x-canary: 1 → 2.0" in suho("mesh", "policy", "list").stdout
    ended = _json(suho("mesh", "policy", "set", "echo", "--no-canary", "--reason", "over", "--by", "bob", "--json"))
    assert (ended["canary"], ended["timeout_ms"], ended["reason"], ended["by"]) == (None, 500, "over", "bob")
    assert suho("mesh", "policy", "delete", "echo").exit_code == 0
    assert hub.traffic.policies == []


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--no-canary", "--canary-value", "1"],
        ["--no-outlier", "--outlier-volume", "1"],
        ["--attempts=6"],
        [f"--timeout-ms={2**32}"],
    ],
)
def test_a_policy_that_says_nothing_or_two_things_is_wrong_usage(suho: Suho, options: list[str]) -> None:
    """Status 2."""
    assert suho("mesh", "policy", "set", "echo", *options).exit_code == 2


def test_a_policy_for_nobody_yet_is_said_to_be(hub: FakeHub, suho: Suho) -> None:
    """It may be for what comes later, or a typing error."""
    told = suho("mesh", "policy", "set", "ehco", "--timeout-ms", 500)
    assert (told.exit_code, "no instance of 'ehco' is registered" in told.stdout) == (0, True)
    assert "registered" not in suho("mesh", "policy", "set", "ehco", "--timeout-ms", 700).stdout


def test_the_bootstrap_names_every_hub_and_the_zone(tmp_path: Path) -> None:
    """So that a client outlives any of them, and stays near."""
    write_state(tmp_path / "state", "127.0.0.1:1", "127.0.0.1:2")
    facts = _json(CliRunner().invoke(app, ["bootstrap", "--zone", "west", "--state", str(tmp_path / "state")]))
    assert set(facts["xds_servers"][0]["server_uri"].removeprefix("ipv4:").split(",")) == {"127.0.0.1:1", "127.0.0.1:2"}
    assert facts["node"]["locality"]["zone"] == "west"


@pytest.mark.parametrize("text", ["[]", "{}", '{"hubs": []}', "", "nonsense"])
def test_a_state_folder_that_names_no_hub_says_so(tmp_path: Path, text: str) -> None:
    """Status 3, and how it is mended."""
    (tmp_path / "mesh.json").write_text(text)
    result = CliRunner().invoke(app, ["services", "--state", str(tmp_path)])
    assert (result.exit_code, "names no hub" in result.stderr) == (EXIT_UNREACHABLE, True)


def test_on_a_terminal_names_stay_whole_and_columns_that_say_nothing_are_left_out(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A pipe has all of them: programs count columns."""
    rows = [(name, "-", "x" * 30) for name in ("trading-engine-1", "trading-engine-2")]
    print_table(("ID", "WHY", "WHAT"), rows, "")
    assert "WHY" in capsys.readouterr().out
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "30")
    print_table(("ID", "WHY", "WHAT"), rows, "")
    told = capsys.readouterr().out
    assert ("WHY" in told, told.count("trading-engine-1")) == (False, 1)
