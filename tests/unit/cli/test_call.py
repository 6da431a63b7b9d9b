"""`suho call` calls any method of any server, and names the layer where it failed."""

import json
import shutil
import socket
from collections.abc import Callable, Iterator
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc
import pytest
from click.testing import Result
from grpc_reflection.v1alpha import reflection
from suho.hub.v1 import registry_pb2, registry_pb2_grpc
from typer.testing import CliRunner

from cli.__main__ import app
from cli.call_failure import Layer, failure_of
from mesh.channel import direct_channel
from mesh.reflection import REFLECTION_V1
from tests.support import free_port
from tests.unit.cli.called_servers import ECHO, V1ALPHA, Echo, OneFileAtATime, echo_server, raw_server, self_signed


def call(*words: object, given: str | None = None) -> Result:
    return CliRunner().invoke(app, ["call", *map(str, words)], input=given)


def refused(*words: object) -> dict[str, Any]:
    """The failure as --json tells it; its exit status under "exit"."""
    result = call(*words, "--json")
    assert result.exit_code, result.stdout
    failure: dict[str, Any] = json.loads(result.stdout)
    return {**failure, "exit": result.exit_code}


@pytest.fixture(scope="module")
def echo() -> Iterator[tuple[str, Echo]]:
    with echo_server(REFLECTION_V1, V1ALPHA) as running:
        yield running


@pytest.fixture
def address(echo: tuple[str, Echo]) -> str:
    return echo[0]


def test_json_goes_out_and_comes_back_under_the_contracts_names(echo: tuple[str, Echo]) -> None:
    """64 bits are numbers, enums names, bytes base64, what is absent null; headers reach the server."""
    request = {"text": "é", "times": 2**60, "mood": "MOOD_GLAD", "blob": "AAE=", "tags": {"a": "MOOD_GLAD"}}
    result = call("EchoService/Say", json.dumps(request), "--address", echo[0], "-H", "X-Who: me", "-H", "x-bin: AAE=")
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout) == {**request, "inner": None, "number": None}
    assert {("x-who", "me"), ("x-bin", b"\x00\x01")} <= set(echo[1].headers)


@pytest.mark.parametrize("method", [f"{ECHO}/Say", f"/{ECHO}/Say", "v1.EchoService/Say"])
def test_a_service_is_named_in_full_or_by_its_last_parts(address: str, method: str) -> None:
    """And no JSON is an empty message."""
    assert json.loads(call(method, "--address", address).stdout)["text"] == ""


@pytest.mark.parametrize(
    ("versions", "servicer"),
    [((REFLECTION_V1,), reflection.ReflectionServicer), ((V1ALPHA,), reflection.ReflectionServicer),
     ((V1ALPHA,), OneFileAtATime)],
)  # fmt: skip
def test_either_version_of_reflection_will_do(versions: tuple[str, ...], servicer: Any) -> None:
    """Also where the server sends imported files one at a time."""
    with echo_server(*versions, servicer=servicer) as (address, _):
        assert json.loads(call("EchoService/Say", '{"text": "a"}', "--address", address).stdout)["text"] == "a"


def test_streams_go_both_ways(address: str, tmp_path: Path) -> None:
    """Messages follow each other, in the argument, a file or standard input; answers are a line each, up to --max."""
    to = ("--address", address)
    two = '{"text": "a"}\n{"text": "b"}\n'
    (tmp_path / "two.json").write_text(two)
    assert json.loads(call("EchoService/Join", two, *to).stdout)["text"] == "a b"
    assert json.loads(call("EchoService/Join", "-", *to, given=two).stdout)["text"] == "a b"
    talk = call("EchoService/Talk", f"@{tmp_path / 'two.json'}", *to)
    assert [json.loads(line)["text"] for line in talk.stdout.splitlines()] == ["A", "B"]
    endless = call("EchoService/Repeat", '{"text": "x"}', "--max", 3, *to)
    assert (endless.exit_code, [json.loads(line)["times"] for line in endless.stdout.splitlines()]) == (0, [0, 1, 2])


def test_services_methods_and_messages_are_shown(address: str) -> None:
    """--list names what there is to call, --describe a request as a skeleton."""
    to = ("--address", address)
    listed = json.loads(call("--list", *to, "--json").stdout)["services"]
    assert ECHO in [service["service"] for service in listed]
    assert "Talk(stream Word) returns (stream Word)" in call("--list", "EchoService", *to).stdout
    shown = json.loads(call("--describe", "EchoService/Say", *to).stdout)
    assert shown["request"] == {
        "text": "string",
        "times": "uint64",
        "mood": "MOOD_UNSPECIFIED | MOOD_GLAD",
        "inner": "suho.test.v1.Word",
        "blob": "bytes (one of more)",
        "number": "double (one of more)",
        "tags": {"<string>": "MOOD_UNSPECIFIED | MOOD_GLAD"},
    }


@pytest.mark.parametrize(
    ("request_", "told"),
    [
        ('{"txt": "a"}', "txt"),
        ('{"times": "many"}', "times"),
        ('{"inner": {"mood": "MOOD_SAD"}}', "mood"),
        ("{text: 1}", "not JSON"),
        ("[1]", "object"),
        ("{} {}", "2 were given"),
    ],
)
def test_a_wrong_request_is_told_by_its_field(address: str, request_: str, told: str) -> None:
    """Nothing is sent."""
    failure = refused("EchoService/Say", request_, "--address", address)
    assert (failure["layer"], failure["exit"], told in failure["message"]) == ("request", 2, True), failure


def test_what_the_application_says_is_told_whole(address: str) -> None:
    """Status, reason, sentence and details; an UNAVAILABLE with a reason is not an unreachable server."""
    failure = refused("EchoService/Refuse", "--address", address)
    assert (failure["layer"], failure["exit"]) == ("application", 1)
    assert (failure["status"], failure["reason"]) == ("UNAVAILABLE", "ENGINE_UNAVAILABLE")
    assert failure["details"][0]["metadata"] == {"engine": "valkey"}
    told = call("EchoService/Refuse", "--address", address).stderr
    assert "application: the engine is away; start it [UNAVAILABLE ENGINE_UNAVAILABLE]" in told


@pytest.mark.parametrize(
    ("method", "layer", "status", "told"),
    [
        ("EchoService/Forbid", "authorisation", 5, "the right 'trade'"),
        ("EchoService/Forget", "unimplemented", 6, "not in this version"),
        ("EchoService/Sag", "unimplemented", 6, "did you mean Say?"),
        ("EchoServise/Say", "unimplemented", 6, f"did you mean {ECHO}?"),
        ("Say", "request", 2, "SERVICE/METHOD"),
        ("EchoService/Hang", "deadline", 3, "within 3 s"),
    ],
)
def test_a_failure_names_its_layer(address: str, method: str, layer: str, status: int, told: str) -> None:
    """With an exit status of its own, and near names."""
    failure = refused(method, "--address", address, *(["--timeout", 3] if layer == "deadline" else []))
    assert (failure["layer"], failure["exit"], told in failure["message"]) == (layer, status, True), failure


def test_a_word_that_grpc_lost_is_said_to_be_lost() -> None:
    """A server that refuses a stream of requests while they are written."""
    none = grpc.aio.Metadata()
    failure = failure_of(grpc.aio.AioRpcError(grpc.StatusCode.INTERNAL, none, none, "Internal error from Core"))
    assert (failure.layer, "lost its word" in failure.to_text()) == (Layer.APPLICATION, True)


def test_a_server_without_reflection_was_reached() -> None:
    """It is not called unreachable."""
    with echo_server() as (address, _):
        failure = refused("EchoService/Say", "--address", address)
    assert (failure["layer"], "no reflection" in failure["message"]) == ("unimplemented", True), failure


def _silent(connection: socket.socket) -> None:
    connection.recv(1)
    connection.settimeout(30)
    while connection.recv(4096):
        pass


def _http1(connection: socket.socket) -> None:
    connection.recv(4096)
    connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")


@pytest.mark.parametrize(
    ("behave", "tls", "told"),
    [
        (_silent, False, "answers as a gRPC server within 0.3 s"),
        (_silent, True, "answers as a gRPC server within 0.3 s"),
        (_http1, False, "HTTP/1"),
        (lambda connection: connection.recv(4096), False, "no gRPC server"),
    ],
)
def test_what_listens_may_be_no_grpc_server(behave: Callable[[Any], object], tls: bool, told: str) -> None:
    """Silence, HTTP/1 and a closed connection are told apart."""
    with raw_server(behave) as address:
        bound = ["--timeout", 0.3] if behave is _silent else []
        failure = refused("A/B", "--address", address, *bound, *(["--tls"] if tls else []))
    assert (failure["layer"], failure["exit"], told in failure["message"]) == ("unreachable", 3, True), failure


@pytest.mark.parametrize("tls", [(), ("--tls",)])
def test_nobody_there_is_unreachable(tls: tuple[str, ...]) -> None:
    """Nothing listens, or the name is not known."""
    closed = refused("A/B", "--address", f"127.0.0.1:{free_port()}", *tls)
    assert (closed["layer"], "nothing listens" in closed["message"]) == ("unreachable", True)
    unknown = refused("A/B", "--address", "nowhere.invalid:1", *tls)
    assert (unknown["layer"], "is not known" in unknown["message"]) == ("unreachable", True)


def test_plain_text_and_tls_are_not_mistaken_for_each_other(address: str, tmp_path: Path) -> None:
    """Either way round, and a certificate that nobody vouches for; with --ca it is called."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl makes the certificate: it is not installed")
    key, certificate = self_signed(tmp_path)
    own = grpc.ssl_server_credentials([(key.read_bytes(), certificate.read_bytes())])
    with echo_server(REFLECTION_V1, credentials=own) as (secure, _):
        trusted = call("EchoService/Say", '{"text": "a"}', "--address", secure, "--tls", "--ca", certificate)
        assert (trusted.exit_code, json.loads(trusted.stdout)["text"]) == (0, "a"), trusted.stderr
        plain = refused("EchoService/Say", "--address", secure)
        stranger = refused("EchoService/Say", "--address", secure, "--tls")
    reverse = refused("EchoService/Say", "--address", address, "--tls")
    assert [item["exit"] for item in (plain, stranger, reverse)] == [4, 4, 4]
    assert "speaks TLS" in plain["message"]
    assert "not trusted" in stranger["message"]
    assert "speaks plain text" in reverse["message"]


class FakeHub(registry_pb2_grpc.RegistryServiceServicer):
    instances: tuple[registry_pb2.Instance, ...] = ()

    def ListInstances(self, request: Any, context: Any) -> registry_pb2.ListInstancesResponse:
        return registry_pb2.ListInstancesResponse(instances=self.instances)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str) -> Iterator[FakeHub]:
    """A hub that names the echo server; `xds:///mesh` leads there."""
    monkeypatch.setattr("cli.connection.mesh_channel", lambda *_: direct_channel([address]))
    monkeypatch.chdir(tmp_path)
    fake = FakeHub()
    host, _, port = address.partition(":")
    at = [registry_pb2.Address(name="grpc", host=host, port=int(port))]
    up, down = registry_pb2.INSTANCE_STATUS_UP, registry_pb2.INSTANCE_STATUS_DOWN
    away = [registry_pb2.Address(name="grpc", host=host, port=free_port())]
    fake.instances = (
        registry_pb2.Instance(id="a-1", service="a", status=down, addresses=away, grpc_services=[ECHO, "x.A"]),
        registry_pb2.Instance(id="b-1", service="b", status=up, addresses=at, grpc_services=[ECHO, "y.A"]),
        registry_pb2.Instance(id="agent", service="agent", status=up),
    )
    server = grpc.server(futures.ThreadPoolExecutor(2))
    registry_pb2_grpc.add_RegistryServiceServicer_to_server(fake, server)
    own = server.add_insecure_port("127.0.0.1:0")
    server.start()
    (tmp_path / ".suho").mkdir()
    (tmp_path / ".suho" / "mesh.json").write_text(json.dumps({"hubs": [f"127.0.0.1:{own}"]}))
    yield fake
    server.stop(None).wait()


def test_the_hub_knows_where_a_service_is(hub: FakeHub) -> None:
    """A call needs no address: an instance that is UP tells the contract; one instance can be asked for."""
    assert json.loads(call("EchoService/Say", '{"text": "a"}').stdout)["text"] == "a"
    assert json.loads(call("EchoService/Say", "--instance", "b-1").stdout)["text"] == ""
    listed = {item["service"]: item for item in json.loads(call("--list", "--json").stdout)["services"]}
    assert listed[ECHO]["instances"] == ["b-1", "a-1"]
    assert "error" in listed["x.A"]


@pytest.mark.parametrize(
    ("words", "layer", "told"),
    [
        (("A/Say",), "request", "x.A or y.A"),
        (("EchoSurvice/Say",), "unimplemented", f"did you mean {ECHO}?"),
        (("A/Say", "--instance", "b-2"), "unreachable", "did you mean b-1"),
        (("A/Say", "--instance", "agent"), "unreachable", "no address"),
        (("x.A/Say",), "unreachable", "nothing listens"),
        (("y.A/Say",), "unimplemented", "serves no y.A"),
        (("grpc.health.v1.Health/Check",), "request", "every server has its own"),
    ],
)
def test_what_the_hub_does_not_know_is_told_with_near_names(
    hub: FakeHub, words: tuple[str, ...], layer: str, told: str
) -> None:
    """Services, instances and their addresses."""
    failure = refused(*words)
    assert (failure["layer"], told in failure["message"]) == (layer, True), failure


def test_without_a_platform_the_layer_is_named_too(tmp_path: Path) -> None:
    """No state folder, and a hub that is away."""
    assert refused("A/B", "--state", tmp_path)["layer"] == "unreachable"
    (tmp_path / "mesh.json").write_text(json.dumps({"hubs": [f"127.0.0.1:{free_port()}"]}))
    assert "no hub answers" in refused("A/B", "--state", tmp_path)["message"]


@pytest.mark.parametrize(
    "words",
    [(), ("A/B", "--address", "nohost"), ("A/B", "--tls"), ("A/B", "--address", "a:1", "--instance", "b"),
     ("A/B", "--address", "a:1", "-H", "no colon"), ("A/B", "--address", "a:1", "--ca", "/nowhere")],
)  # fmt: skip
def test_a_wrong_command_line_is_wrong_usage(words: tuple[str, ...]) -> None:
    """Status 2, before anybody is asked."""
    assert call(*words).exit_code == 2
