"""The whole platform as a process, started as a person would start it."""

import asyncio
import contextlib
import json
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any

from bench.race import NoShowError
from bench.source import Source, write_parquet

_READY_WITHIN_S = 90.0


@contextlib.contextmanager
def replay_of(source: Source) -> Iterator[list[str]]:
    """`suho up`'s arguments that replay `source`; its files last as long as the block."""
    with tempfile.TemporaryDirectory(prefix="suho-bench-") as folder:
        words = []
        for batch in source.symbols:
            path = Path(folder) / f"{batch.symbol}.parquet"
            write_parquet(path, batch.time_msc, batch.bid, batch.ask)
            words += ["--feed", f"{batch.symbol}={path}"]
        yield words


async def summary_of(*arguments: str) -> dict[str, Any]:
    """Run `suho up` to its end; the summary.

    Raises:
        NoShowError: it ended with an error, or the account is not exact.
    """
    with tempfile.TemporaryDirectory(prefix="suho-bench-") as folder:
        process = await _start(Path(folder) / "state", arguments)
        out, err = await process.communicate()
    if process.returncode != 0:
        raise NoShowError(f"suho up ended with status {process.returncode}: {err.decode()[-800:]}")
    summary: dict[str, Any] = json.loads(out.decode().splitlines()[-1])
    return summary


@contextlib.asynccontextmanager
async def running(*arguments: str) -> AsyncIterator[dict[str, Any]]:
    """A ready platform as long as the block; its mesh.json.

    Raises:
        NoShowError: it does not come up, or the block's own.
    """
    with tempfile.TemporaryDirectory(prefix="suho-bench-") as folder:
        state = Path(folder) / "state"
        process = await _start(state, arguments)
        failure: NoShowError | None = None
        try:
            await _until_ready(process)
            async with asyncio.TaskGroup() as tasks:
                drain = tasks.create_task(_read_on(process))  # or the pipe would fill
                yield json.loads((state / "mesh.json").read_text("utf-8"))
                drain.cancel()
        except* NoShowError as errors:
            failure = _first(errors)
        finally:
            if process.returncode is None:
                process.terminate()
                await process.communicate()
        if failure is not None:
            raise failure


def _first(group: BaseExceptionGroup[NoShowError]) -> NoShowError:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, NoShowError)
    return error


async def _start(state: Path, arguments: Sequence[str]) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "cli", "up", "--state", str(state), "--ports", "auto", "--json"),
        *arguments,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )


async def _until_ready(process: asyncio.subprocess.Process) -> None:
    assert process.stderr is not None
    said: list[str] = []
    try:
        async with asyncio.timeout(_READY_WITHIN_S):
            while line := await process.stderr.readline():
                said.append(line.decode())
                if line.startswith(b"Ready in"):
                    return
    except TimeoutError:
        said.append(f"not ready within {_READY_WITHIN_S:g} s")
    raise NoShowError(f"suho up: {''.join(said)[-800:]}")


async def _read_on(process: asyncio.subprocess.Process) -> None:
    assert process.stderr is not None
    while await process.stderr.readline():
        pass
