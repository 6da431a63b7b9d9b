"""`suho call`: any method of any server, by reflection; a failure names the layer where it happened."""

import base64
import binascii
import re
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import grpc
import typer
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from cli.call_failure import EXIT_STATUS, CallError, Layer, failure_of, near
from cli.call_listing import list_services
from cli.call_messages import requests_from, signature
from cli.call_reflection import Metadata, Reflection
from cli.call_route import Place, first_answering, match, named, offering, registered, standing
from cli.connection import DEFAULT_STATE, TIMEOUT_S, JsonOption, StateOption, mesh, run
from cli.output import print_json, to_dict
from mesh.channel import named_channel

_ADDRESS = re.compile(r"(\[[0-9a-fA-F:.]+\]|[^:\s/]+):\d{1,5}")
_HEADER = re.compile(r"[0-9a-z_.-]+")


@dataclass(frozen=True)
class Ask:
    """A call as the command line has it."""

    method: str
    text: str
    headers: Metadata
    timeout_s: float | None
    most: int
    describe: bool

    @property
    def patience_s(self) -> float:
        return self.timeout_s or TIMEOUT_S


def call(
    method: Annotated[str, typer.Argument(help="SERVICE/METHOD; the last parts of SERVICE's name will do.")] = "",
    request: Annotated[str, typer.Argument(help="JSON; '-': standard input, '@FILE': a file.")] = "",
    state: StateOption = DEFAULT_STATE,
    instance: Annotated[str, typer.Option(help="Call this instance, not whichever the mesh chooses.")] = "",
    address: Annotated[str, typer.Option(metavar="HOST:PORT", help="Call this server, without a hub.")] = "",
    tls: Annotated[bool, typer.Option("--tls", help="Speak TLS.")] = False,
    ca: Annotated[Path | None, typer.Option(help="PEM of the authority to trust; the system's otherwise.")] = None,
    header: Annotated[list[str] | None, typer.Option("--header", "-H", help="KEY:VALUE; repeatable.")] = None,
    timeout: Annotated[
        float | None, typer.Option(min=0.001, help=f"Seconds; {TIMEOUT_S:g}, and for streams of answers no end.")
    ] = None,
    most: Annotated[int, typer.Option("--max", min=0, help="End after so many answers; 0: never.")] = 0,
    listing: Annotated[bool, typer.Option("--list", help="Services with their methods, or those of SERVICE.")] = False,
    describe: Annotated[bool, typer.Option("--describe", help="The method's messages as JSON skeletons.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Call any method with JSON; nothing needs to be generated.

    The server tells its contract by reflection. The call goes through the mesh
    unless --instance or --address says where. Several messages follow each
    other; streamed answers are a line each. A failure names its layer:

    status 1: application, it refused;
    2: request, or this command line, is wrong;
    3: unreachable, or deadline: no answer in time;
    4: TLS;
    5: authorisation;
    6: unimplemented, no such service or method.
    """
    place = _place(state, instance, address, tls, ca)
    if not method and not listing:
        raise typer.BadParameter("name a method as SERVICE/METHOD; --list lists them", param_hint="METHOD")
    try:
        ask = Ask(method, _text(request), _headers(header or []), timeout, most, describe)
        if listing:
            run(lambda: list_services(place, method, ask.headers, ask.patience_s, as_json))
        else:
            run(lambda: _call(ask, place, as_json))
    except CallError as error:
        if as_json:
            print_json(error.to_json())
        else:
            sys.stderr.write(f"suho: {error.to_text()}\n")
        raise typer.Exit(EXIT_STATUS[error.layer]) from None


def _place(state: Path, instance: str, address: str, tls: bool, ca: Path | None) -> Place:
    if instance and address:
        raise typer.BadParameter("either --instance or --address", param_hint="--address")
    if address and not _ADDRESS.fullmatch(address):
        raise typer.BadParameter(f"{address!r} is not HOST:PORT", param_hint="--address")
    if tls and not address:
        raise typer.BadParameter("the mesh speaks plain text on loopback: only with --address", param_hint="--tls")
    if ca and (not tls or not ca.is_file()):
        raise typer.BadParameter("a file, and only with --tls", param_hint="--ca")
    return Place(state, instance, address, tls, ca)


def _text(request: str) -> str:
    if request == "-":
        return sys.stdin.read()
    if not request.startswith("@"):
        return request
    try:
        return Path(request[1:]).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CallError(Layer.REQUEST, f"{request[1:]} can not be read: {error}") from None


def _headers(given: Sequence[str]) -> Metadata:
    found: list[tuple[str, str | bytes]] = []
    for text in given:
        key, colon, value = (part.strip() for part in text.partition(":"))
        if not colon or not _HEADER.fullmatch(key.lower()) or not value.isprintable() or not value.isascii():
            raise typer.BadParameter(f"{text!r} is not KEY:VALUE in printable ASCII", param_hint="--header")
        try:
            bears = base64.b64decode(value, validate=True) if key.endswith("-bin") else value
        except binascii.Error:
            raise typer.BadParameter(f"the value of {key} is to be base64", param_hint="--header") from None
        found.append((key.lower(), bears))
    return tuple(found)


async def _call(ask: Ask, place: Place, as_json: bool) -> None:
    wanted, slash, name = ask.method.strip("/").rpartition("/")
    if not slash:
        raise CallError(
            Layer.REQUEST, f"{ask.method!r} is no SERVICE/METHOD", f"`suho call --list {name}` lists its methods"
        )
    service, addresses, advice = await _whom(place, wanted, ask.patience_s)
    server = await first_answering(addresses, place, ask.patience_s)
    async with named_channel(server, place.credentials()) as channel:
        reflection = Reflection(channel, ask.patience_s, ask.headers)
        method = await _method(reflection, service or wanted, name, known=bool(service), server=server)
        if ask.describe:
            print_json(signature(method), _indent(as_json))
            return
        requests = requests_from(ask.text, method.input_type, reflection.pool)
        if not method.client_streaming and len(requests) != 1:
            raise CallError(Layer.REQUEST, f"{name} takes one message, and {len(requests)} were given")
        async with _called(place, channel) as called:
            await _invoke(called, method, requests, ask, _printer(method, as_json), advice)


async def _whom(place: Place, wanted: str, timeout_s: float) -> tuple[str, list[str], str]:
    """The service's full name (empty: its server will tell), servers to ask for the contract, and what to do when the
    mesh finds nobody."""
    if place.address:
        return "", [place.address], ""
    instances = await registered(place.state, timeout_s)
    if place.instance:
        return "", [named(instances, place.instance)], ""
    known = {name for instance in instances for name in instance.grpc_services}
    if wanted.startswith("grpc."):
        raise CallError(
            Layer.REQUEST, f"every server has its own {wanted}", "--instance ID or --address HOST:PORT says which"
        )
    service = match(wanted, known, "the mesh")
    servers = offering(instances, service)
    if not servers:
        raise CallError(Layer.UNREACHABLE, f"no instance with an address serves {service}")
    return service, [named(instances, server.id) for server in servers], standing(servers)


async def _method(reflection: Reflection, service: str, name: str, known: bool, server: str) -> Any:
    try:
        full = service if known else match(service, await reflection.services(), server)
        descriptor = await reflection.service(full)
    except grpc.aio.AioRpcError as error:
        failure = failure_of(error)
        if failure.layer is Layer.DEADLINE:
            raise CallError(
                Layer.UNREACHABLE,
                f"{server} is there, and does not answer",
                "nothing was called; `suho logs` tells why",
            ) from None
        raise failure from None
    method = descriptor.methods_by_name.get(name)
    if method is None:
        names = near(name, (method.name for method in descriptor.methods))
        raise CallError(Layer.UNIMPLEMENTED, f"{full} has no method {name}{names}")
    return method


@asynccontextmanager
async def _called(place: Place, direct: grpc.aio.Channel) -> AsyncIterator[grpc.aio.Channel]:
    if not place.through_mesh:
        yield direct
        return
    async with mesh(place.state) as channel:
        yield channel


async def _invoke(
    channel: grpc.aio.Channel,
    method: Any,
    requests: list[Message],
    ask: Ask,
    show: Callable[[Message], None],
    advice: str,
) -> None:
    timeout_s = ask.timeout_s if method.server_streaming else ask.patience_s
    running = _begin(channel, method, requests)(timeout=timeout_s, metadata=ask.headers)
    told = 0
    try:
        async for response in running:
            show(response)
            told += 1
            if told == ask.most:
                running.cancel()
                return
    except grpc.aio.AioRpcError as error:
        failure = failure_of(error, pool=method.containing_service.file.pool)
        if failure.layer is Layer.DEADLINE and not failure.details:
            failure.message = f"no {'end' if told else 'answer'} within {timeout_s:g} s"
        if failure.layer is Layer.UNREACHABLE and advice:
            failure.message += f"; {advice}"
        raise failure from None


def _begin(channel: grpc.aio.Channel, method: Any, requests: list[Message]) -> Callable[..., Any]:
    """All four kinds of methods are streams on the wire, and a stream of one request is what a unary call sends.

    grpc.aio loses the status of a server that refuses while messages are being written: so they are written one by one
    only where there are several.
    """
    kind: Any = channel.unary_stream if len(requests) == 1 else channel.stream_stream
    multicallable = kind(
        f"/{method.containing_service.full_name}/{method.name}",
        request_serializer=lambda message: message.SerializeToString(),
        response_deserializer=GetMessageClass(method.output_type).FromString,
    )
    return partial(multicallable, requests[0] if len(requests) == 1 else iter(requests))


def _printer(method: Any, as_json: bool) -> Callable[[Message], None]:
    """Answers of a stream are a line each; a single one is pretty where people look."""
    indent = None if method.server_streaming else _indent(as_json)
    return lambda message: print_json(to_dict(message), indent)


def _indent(as_json: bool) -> int | None:
    return 2 if sys.stdout.isatty() and not as_json else None
