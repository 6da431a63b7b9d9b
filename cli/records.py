"""`suho records`: brokers, instances, accounts and preferences as the database has them, of every PC."""

import uuid
from typing import Annotated, Any

import grpc
import typer
from suho.common.v1 import page_pb2, record_pb2
from suho.database.v1 import reference_service_pb2 as pb
from suho.database.v1 import reference_service_pb2_grpc

from cli.connection import DEFAULT_STATE, TIMEOUT_S, JsonOption, StateOption, mesh, run
from cli.output import fail, print_json, print_table
from cli.record_values import KINDS, assign, content_of, facts, kind_of, shown, table
from mesh.clock import unix_ms
from mesh.errors import MeshError, Reason

app = typer.Typer(no_args_is_help=True, help="Brokers, instances, accounts and preferences, as the database has them.")

KindArgument = Annotated[str, typer.Argument(help=f"One of {', '.join(KINDS)}.")]
_PREFERENCES = record_pb2.RECORD_KIND_PREFERENCES
_PAGE = 1000
# Somebody else may be changing them too: so often is it tried.
_TRIES = 5


@app.command("list")
def list_(kind: KindArgument, state: StateOption = DEFAULT_STATE, as_json: JsonOption = False) -> None:
    """All of a kind."""
    wanted = kind_of(kind)

    async def ask() -> list[record_pb2.Record]:
        found: list[record_pb2.Record] = []
        async with mesh(state) as channel:
            token = ""
            while True:
                page = page_pb2.PageRequest(size=_PAGE, token=token)
                answer = await _stub(channel).ListRecords(
                    pb.ListRecordsRequest(kind=wanted, page=page), timeout=TIMEOUT_S
                )
                found += answer.records
                token = answer.page.next_token
                if not token:
                    return found

    _print(kind, run(ask), as_json)


@app.command()
def history(
    kind: KindArgument,
    record_id: Annotated[str, typer.Argument(metavar="ID")],
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=1000, help="So many of the newest.")] = 20,
    state: StateOption = DEFAULT_STATE,
    as_json: JsonOption = False,
) -> None:
    """How one became what it is, newest first: an account's balance and equity over time, for one."""
    request = pb.ListRecordVersionsRequest(kind=kind_of(kind), id=record_id, limit=limit)

    async def ask() -> list[record_pb2.Record]:
        async with mesh(state) as channel:
            return list((await _stub(channel).ListRecordVersions(request, timeout=TIMEOUT_S)).records)

    _print("versions", run(ask), as_json)


@app.command()
def preferences(
    user: Annotated[str, typer.Argument(metavar="USER_ID", help="As `suho agent preferences --json` tells it.")],
    values: Annotated[list[str] | None, typer.Argument(metavar="[NAME=VALUE]...")] = None,
    state: StateOption = DEFAULT_STATE,
    as_json: JsonOption = False,
) -> None:
    """A person's preferences; with values they are changed, and in force on the person's PCs within seconds."""
    assign(record_pb2.Preferences(), values or ())  # wrong ones are told before anybody is asked

    async def ask() -> record_pb2.Preferences:
        async with mesh(state) as channel:
            stub = _stub(channel)
            for _ in range(_TRIES if values else 0):
                if (changed := await _change(stub, user, values or [])) is not None:
                    return changed.preferences
            if values:
                fail("others change these preferences at the same time; try again")
            return (await _held(stub, user)).preferences

    found = shown(run(ask))
    if as_json:
        print_json({"user_id": user, **found})
        return
    rows = [(name, value if isinstance(value, str) else "on" if value else "off") for name, value in found.items()]
    print_table(("PREFERENCE", "VALUE"), rows, "")


async def _held(stub: "reference_service_pb2_grpc.ReferenceServiceAsyncStub", user: str) -> record_pb2.Record:
    return (await stub.GetRecord(pb.GetRecordRequest(kind=_PREFERENCES, id=user), timeout=TIMEOUT_S)).record


async def _change(
    stub: "reference_service_pb2_grpc.ReferenceServiceAsyncStub", user: str, values: list[str]
) -> record_pb2.Record | None:
    """The record as it is then; None: somebody was quicker."""
    try:
        record = await _held(stub, user)
    except grpc.aio.AioRpcError as error:
        if MeshError.of(error).reason is not Reason.UNKNOWN_RECORD:
            raise
        record = _first(user)
    assign(record.preferences, values)
    record.updated_unix_ms = unix_ms()
    record.updated_by = "suho-cli"
    change = pb.RecordChange(change_id=str(uuid.uuid4()), record=record)
    outcome = (await stub.ExchangeRecords(pb.ExchangeRecordsRequest(changes=[change]), timeout=TIMEOUT_S)).outcomes[0]
    if outcome.verdict == pb.CHANGE_VERDICT_REFUSED:
        fail(outcome.message)
    return outcome.record if outcome.verdict == pb.CHANGE_VERDICT_APPLIED else None


def _first(user: str) -> record_pb2.Record:
    """As a PC would begin with them."""
    return record_pb2.Record(
        preferences=record_pb2.Preferences(
            user_id=user,
            theme=record_pb2.THEME_DARK,
            chart_type=record_pb2.CHART_TYPE_CANDLE,
            notifications_enabled=True,
            language="en",
        ),
        created_unix_ms=unix_ms(),
    )


def _stub(channel: grpc.aio.Channel) -> "reference_service_pb2_grpc.ReferenceServiceAsyncStub":
    return reference_service_pb2_grpc.ReferenceServiceStub(channel)


def _print(name: str, found: list[record_pb2.Record], as_json: bool) -> None:
    if as_json:
        print_json({name: [_facts(record) for record in found]})
        return
    print_table(*table(found), f"no {name} yet")


def _facts(record: record_pb2.Record) -> dict[str, Any]:
    about = {"version": record.version, "updated_unix_ms": record.updated_unix_ms, "updated_by": record.updated_by}
    return facts(content_of(record)) | about
