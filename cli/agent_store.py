"""`suho agent preferences` and `suho agent records`: what the PC's own store has. They work while the mesh is away."""

from typing import Annotated, Any

import typer
from google.protobuf.field_mask_pb2 import FieldMask
from suho.agent.v1 import store_pb2 as pb
from suho.agent.v1 import store_pb2_grpc
from suho.common.v1 import record_pb2

from cli.agent_connection import DEFAULT_AGENT_STATE, AgentCalls, AgentStateOption, run_agent
from cli.connection import JsonOption
from cli.output import print_json, print_table, utc
from cli.record_values import KINDS, assign, content_of, facts, kind_of, shown, table

preferences_app = typer.Typer(
    invoke_without_command=True, help="What the person at this PC prefers; without a command they are shown."
)

KindArgument = Annotated[str, typer.Argument(help=f"One of {', '.join(KINDS)}.")]


@preferences_app.callback()
def show(
    context: typer.Context, agent_state: AgentStateOption = DEFAULT_AGENT_STATE, as_json: JsonOption = False
) -> None:
    if context.invoked_subcommand is None:
        _tell(run_agent(agent_state, _get), as_json)


@preferences_app.command("set")
def set_(
    values: Annotated[list[str], typer.Argument(metavar="NAME=VALUE...", help="E.g. trade_confirmation=on.")],
    agent_state: AgentStateOption = DEFAULT_AGENT_STATE,
    as_json: JsonOption = False,
) -> None:
    """Change preferences; they are in force at once, and on the person's other PCs when the mesh is there."""
    wanted = record_pb2.Preferences()
    request = pb.SetPreferencesRequest(fields=FieldMask(paths=assign(wanted, values)), preferences=wanted)

    async def ask(agent: AgentCalls) -> record_pb2.Preferences:
        answer: pb.SetPreferencesResponse = await agent(_stub(agent).SetPreferences, request)
        return answer.preferences

    _tell(run_agent(agent_state, ask), as_json)


def records(
    kind: KindArgument, agent_state: AgentStateOption = DEFAULT_AGENT_STATE, as_json: JsonOption = False
) -> None:
    """Brokers, instances or accounts in this PC's store."""
    request = pb.ListStoredRecordsRequest(kind=kind_of(kind))

    async def ask(agent: AgentCalls) -> pb.ListStoredRecordsResponse:
        answer: pb.ListStoredRecordsResponse = await agent(_stub(agent).ListStoredRecords, request)
        return answer

    found = run_agent(agent_state, ask).records
    if as_json:
        print_json({kind: [facts(content_of(one.record)) | {"waiting": one.waiting} for one in found]})
        return
    columns, rows = table([one.record for one in found])
    waiting = ["to the database" if one.waiting else "-" for one in found]
    print_table([*columns, "WAITS"], [[*row, wait] for row, wait in zip(rows, waiting, strict=True)], f"no {kind} yet")


def remove(
    kind: KindArgument,
    record_id: Annotated[str, typer.Argument(metavar="ID")],
    agent_state: AgentStateOption = DEFAULT_AGENT_STATE,
    as_json: JsonOption = False,
) -> None:
    """Take a broker, an instance or an account out of the records, everywhere; one in use comes back."""
    request = pb.RemoveRecordRequest(kind=kind_of(kind), id=record_id)

    async def ask(agent: AgentCalls) -> None:
        await agent(_stub(agent).RemoveRecord, request)

    run_agent(agent_state, ask)
    if as_json:
        print_json({"kind": kind, "removed": record_id})
    else:
        print(f"{record_id} is removed; the other PCs hear of it through the mesh")


def changes(
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=1000, help="So many of the newest.")] = 20,
    agent_state: AgentStateOption = DEFAULT_AGENT_STATE,
    as_json: JsonOption = False,
) -> None:
    """What was changed in this PC's store, and what became of it at the database."""

    async def ask(agent: AgentCalls) -> pb.ListChangesResponse:
        answer: pb.ListChangesResponse = await agent(_stub(agent).ListChanges, pb.ListChangesRequest(limit=limit))
        return answer

    found = [_change_facts(one) for one in run_agent(agent_state, ask).changes]
    if as_json:
        print_json({"changes": found})
        return
    rows = [(utc(one["made_unix_ms"]), one["kind"], one["id"], one["state"], one["outcome"] or "-") for one in found]
    print_table(("MADE", "KIND", "ID", "STATE", "OUTCOME"), rows, "nothing was changed yet")


def add_to(app: typer.Typer) -> None:
    app.add_typer(preferences_app, name="preferences")
    for command in (records, remove, changes):
        app.command()(command)


async def _get(agent: AgentCalls) -> record_pb2.Preferences:
    answer: pb.GetPreferencesResponse = await agent(_stub(agent).GetPreferences, pb.GetPreferencesRequest())
    return answer.preferences


def _stub(agent: AgentCalls) -> "store_pb2_grpc.StoreServiceAsyncStub":
    return store_pb2_grpc.StoreServiceStub(agent.channel)


def _tell(preferences: record_pb2.Preferences, as_json: bool) -> None:
    values = shown(preferences)
    if as_json:
        print_json({"user_id": preferences.user_id, **values})
        return
    rows = [(name, value if isinstance(value, str) else "on" if value else "off") for name, value in values.items()]
    print_table(("PREFERENCE", "VALUE"), rows, "")


def _change_facts(change: pb.StoredChange) -> dict[str, Any]:
    return {
        "change_id": change.change_id,
        "kind": record_pb2.RecordKind.Name(change.kind).removeprefix("RECORD_KIND_").lower(),
        "id": change.id,
        "made_unix_ms": change.made_unix_ms,
        "state": pb.StoredChangeState.Name(change.state).removeprefix("STORED_CHANGE_STATE_").lower(),
        "outcome": change.outcome,
    }
