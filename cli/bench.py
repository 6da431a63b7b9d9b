"""`suho bench`: Suho beside its peers and its limits, measured in the same run."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from cli.connection import JsonOption
from cli.output import fail

app = typer.Typer(
    no_args_is_help=True,
    help="Measure the ways of ticks and of signals, storage, terminals and the hub, beside their peers and limits.",
)

DataOption = Annotated[
    Path | None, typer.Option("--data", help="Folder with recorded ticks (docs/architecture.md); generated otherwise.")
]
ResultsOption = Annotated[Path, typer.Option("--results", help="Where the JSON lines go.")]
_RESULTS = Path("bench/results")


@app.command()
def ticks(
    data: DataOption = None,
    part: Annotated[
        list[str] | None,
        typer.Option(help="peers, limits, e2e, power, subscriber or scaling; repeatable; none: all of them."),
    ] = None,
    count: Annotated[int, typer.Option("--ticks", min=0, help="Generated ticks to replay; 0: three million.")] = 0,
    results: ResultsOption = _RESULTS,
    as_json: JsonOption = False,
) -> None:
    """Peers, engines alone, end to end, read to subscriber, agents and symbols. Takes some minutes."""
    from bench.race import NoShowError
    from bench.report import Report
    from bench.ticks import PARTS, Wanted, run

    parts = tuple(part or ())
    if unknown := set(parts) - set(PARTS):
        raise typer.BadParameter(f"{', '.join(unknown)}: there are {', '.join(PARTS)}", param_hint="--part")
    report = Report("ticks", results, as_json)
    try:
        report.close(asyncio.run(run(Wanted(data, parts, count), report)))
    except (FileNotFoundError, NoShowError) as error:
        fail(str(error))


@app.command()
def storage(data: DataOption = None, results: ResultsOption = _RESULTS, as_json: JsonOption = False) -> None:
    """Bytes that a stored tick takes, by codec."""
    from bench.report import Figure, Report
    from bench.source import generated, real
    from bench.storage import sizes

    report = Report("storage", results, as_json)

    async def measure() -> dict[str, float]:
        source = real(data) if data is not None else generated(2_000_000)
        report.say(f"ticks: {source.origin}")
        found = {}
        async for size in sizes(source):
            found[size.codecs] = round(size.bytes_per_tick, 2)
            beside = f"time {size.time_bytes:.2f}, bid and ask {size.price_bytes:.2f}"
            report.add(Figure(size.codecs, size.codecs, size.bytes_per_tick, "bytes/tick", beside))
        return found

    try:
        report.close({"bytes_per_tick": asyncio.run(measure())})
    except FileNotFoundError as error:
        fail(str(error))


@app.command()
def signals(
    count: Annotated[int, typer.Option("--signals", min=10, help="How many are measured in each situation.")] = 300,
    results: ResultsOption = _RESULTS,
    as_json: JsonOption = False,
) -> None:
    """From a signal's commit to the terminal: idle, beside 50,000 ticks/s, sharing a tick lane's connection."""
    from bench.race import NoShowError
    from bench.report import Report
    from bench.signals.benchmark import run

    report = Report("signals", results, as_json)
    try:
        report.close(asyncio.run(run(count, report)))
    except NoShowError as error:
        fail(str(error))


@app.command()
def terminals(
    count: Annotated[int, typer.Option("--orders", min=10, help="How many are measured in each situation.")] = 400,
    results: ResultsOption = _RESULTS,
    as_json: JsonOption = False,
) -> None:
    """One terminal against five of the same account; what an order waits behind reads."""
    from bench.race import NoShowError
    from bench.report import Report
    from bench.terminals import run

    report = Report("terminals", results, as_json)
    try:
        report.close(asyncio.run(run(count, report)))
    except NoShowError as error:
        fail(str(error))


@app.command()
def hub(
    part: Annotated[
        list[str] | None,
        typer.Option(help="watch, gone, fanout, size, rate or churn; repeatable; none: all but churn, some minutes."),
    ] = None,
    results: ResultsOption = _RESULTS,
    as_json: JsonOption = False,
) -> None:
    """The hub beside etcd: who sees a registration and a going how soon, and how much one hub takes."""
    from bench.hub.benchmark import PARTS, run
    from bench.race import NoShowError
    from bench.report import Report
    from compose.embedded.program import CannotStartError

    parts = tuple(part or ())
    if unknown := set(parts) - set(PARTS):
        raise typer.BadParameter(f"{', '.join(unknown)}: there are {', '.join(PARTS)}", param_hint="--part")
    report = Report("hub", results, as_json)
    try:
        report.close(asyncio.run(run(parts, report)))
    except (NoShowError, CannotStartError) as error:
        fail(str(error))
