"""How a program begins and ends, as a process."""

import asyncio
import signal
import sys

import pytest

pytestmark = pytest.mark.integration

PROGRAM = """
import asyncio, sys
from mesh.config import ProgramSettings, SettingsError
from mesh.program import run

async def waits_for_an_engine(settings, stop):
    print("waiting", flush=True)
    await asyncio.Event().wait()

async def serves(settings, stop):
    async with asyncio.TaskGroup() as tasks:
        stopping = tasks.create_task(stop.wait())
        print("waiting", flush=True)
        await stopping
        print("finished what was under way", flush=True)

async def refuses(settings, stop):
    async with asyncio.TaskGroup():
        raise SettingsError("setting 'port': taken")

async def fails(settings, stop):
    raise ValueError("unforeseen")

sys.exit(run("sample", ProgramSettings, {main}))
"""


async def start(main: str, *arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", PROGRAM.replace("{main}", main), *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize(("main", "rest"), [("waits_for_an_engine", b""), ("serves", b"finished what was under way\n")])
async def test_a_signal_ends_it_also_while_it_starts(main: str, rest: bytes, number: signal.Signals) -> None:
    """Who serves finishes; who still waits for an engine just ends; both with status 0."""
    process = await start(main)
    assert process.stdout is not None
    assert await process.stdout.readline() == b"waiting\n"
    process.send_signal(number)
    out, err = await asyncio.wait_for(process.communicate(), 60)
    assert (process.returncode, out) == (0, rest), err


@pytest.mark.parametrize(
    ("main", "arguments", "sentence"),
    [
        ("refuses", (), "sample can not start: setting 'port': taken"),
        ("serves", ("--log-level", "loud"), "sample can not start: setting 'log_level'"),
    ],
)
async def test_a_wrong_setting_is_status_78(main: str, arguments: tuple[str, ...], sentence: str) -> None:
    """The last line names the setting, without a traceback."""
    process = await start(main, *arguments)
    _, err = await process.communicate()
    assert process.returncode == 78
    assert err.decode().splitlines()[-1].startswith(sentence)
    assert b"Traceback" not in err


async def test_what_nobody_foresaw_is_not_hidden() -> None:
    """Another failure ends it with a traceback and status 1, for the supervisor to start it anew."""
    process = await start("fails")
    _, err = await process.communicate()
    assert process.returncode == 1
    assert b"unforeseen" in err
