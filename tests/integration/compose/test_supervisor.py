"""The supervisor, with programs of a few lines."""

import asyncio
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import psutil
import pytest

from compose.embedded import guard as guard_program
from compose.embedded.process import Unwatched
from compose.embedded.program import CannotStartError, Program
from compose.embedded.state import StateLockedError, open_state
from compose.embedded.supervisor import LogLimit, Patience, Phase, Supervisor
from tests.support.waiting import eventually

pytestmark = pytest.mark.integration

SELDOM = LogLimit()
QUICK = Patience(first_s=0.05, most_s=0.2, well_after_s=60)
FOREVER = "import time, pathlib, os; pathlib.Path('{name}.ready').touch(); time.sleep(600)"


def tiny(folder: Path, name: str, code: str = FOREVER, ready: Callable[[], bool] | None = None) -> Program:
    """A Python program whose code runs with {name} as its name and `folder` in front of paths."""

    async def is_ready() -> bool:
        return ready() if ready else (folder / f"{name}.ready").exists()

    text = f"import os; os.chdir({str(folder)!r})\n" + code.replace("{name}", name)
    return Program(name, (sys.executable, "-S", "-c", text), is_ready)


@asynccontextmanager
async def supervised(
    folder: Path,
    programs: Sequence[Program],
    order: Sequence[Sequence[str]] = (),
    told: list[str] | None = None,
    log_limit: LogLimit = SELDOM,
) -> AsyncIterator[Supervisor]:
    """A supervisor at work until the end of the block."""
    supervisor = Supervisor(
        programs,
        order or [[program.name for program in programs]],
        lambda name: folder / f"{name}.log",
        Unwatched(),
        (told if told is not None else []).append,
        patience=QUICK,
        log_limit=log_limit,
    )
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(supervisor.run(stop))
        try:
            yield supervisor
        finally:
            stop.set()


async def test_a_program_that_dies_is_started_again(tmp_path: Path) -> None:
    """After SIGKILL it runs again under a new pid, its restart is counted and told."""
    told: list[str] = []
    async with supervised(tmp_path, [tiny(tmp_path, "one")], told=told) as supervisor:
        await supervisor.until_ready()
        one = supervisor.supervised["one"]
        first = one.pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        await eventually(lambda: one.pid not in (None, first) and one.phase is Phase.READY)
        assert one.restarts == 1
    assert told == ["one was ended by SIGKILL; starting it again in 0.05 s"]
    assert not psutil.pid_exists(first)


async def test_a_long_log_begins_anew(tmp_path: Path) -> None:
    """What it held stands beside it, and the program writes on."""
    code = (
        "import pathlib, time\nprint('x' * 100, flush=True)\n"
        "while not pathlib.Path('go').exists(): time.sleep(0.01)\n"
        "print('on', flush=True); time.sleep(600)"
    )
    (tmp_path / "one.log").write_text("y" * 100 + "\n")
    program = tiny(tmp_path, "one", code, (tmp_path / "one.log").exists)
    async with supervised(tmp_path, [program], log_limit=LogLimit(150, 0.02)):
        await eventually((tmp_path / "one.log.1").exists)
        (tmp_path / "go").touch()
        await eventually(lambda: (tmp_path / "one.log").read_text() == "on\n")
    assert (tmp_path / "one.log.1").read_text() == "y" * 100 + "\n" + "x" * 100 + "\n"


async def test_what_a_dead_program_left_of_its_group_is_killed(tmp_path: Path) -> None:
    """A child that outlives its program does not outlive its restart."""
    code = (
        "import subprocess, sys, pathlib, time\n"
        "child = subprocess.Popen([sys.executable, '-S', '-c', 'import time; time.sleep(600)'])\n"
        "pathlib.Path('child').write_text(str(child.pid)); pathlib.Path('{name}.ready').touch(); time.sleep(600)"
    )
    async with supervised(tmp_path, [tiny(tmp_path, "one", code)]) as supervisor:
        await supervisor.until_ready()
        child = int((tmp_path / "child").read_text())
        pid = supervisor.supervised["one"].pid
        assert pid is not None
        assert _is_alive(child)
        os.kill(pid, signal.SIGKILL)
        await eventually(lambda: not _is_alive(child))


async def test_pauses_grow(tmp_path: Path) -> None:
    """A program that dies at once is started after ever longer pauses, and its log's end is shown."""
    told: list[str] = []
    failing = tiny(
        tmp_path, "one", "print('the disk is made of cheese', flush=True); raise SystemExit(3)", lambda: False
    )
    async with supervised(tmp_path, [failing], told=told):
        await eventually(lambda: len(told) >= 4)
    pauses = [line.split("starting it again in ")[1].split(" s")[0] for line in told[:4]]
    assert pauses == ["0.05", "0.1", "0.2", "0.2"]
    assert "ended with status 3" in told[0]
    assert "the disk is made of cheese" in told[0]


async def test_documented_pauses() -> None:
    """1, 2, 4 … 64 seconds, and never longer."""
    pauses = Patience().pauses()
    assert [next(pauses) for _ in range(9)] == [1, 2, 4, 8, 16, 32, 64, 64, 64]


async def test_a_wrong_setting_ends_all(tmp_path: Path) -> None:
    """Exit status 78 is not tried again: the error names the program and shows its last lines; nothing is left."""
    code = "import sys; print(\"setting 'port' of two: too large\", file=sys.stderr); sys.exit(78)"
    with pytest.raises(ExceptionGroup) as group:
        async with supervised(tmp_path, [tiny(tmp_path, "one"), tiny(tmp_path, "two", code)]) as supervisor:
            await asyncio.sleep(30)
    found, rest = group.value.split(CannotStartError)
    assert rest is None
    assert found is not None
    text = str(_leaf(found))
    assert "two can not start" in text
    assert "setting 'port' of two: too large" in text
    assert supervisor.supervised["two"].restarts == 0
    assert supervisor.supervised["one"].pid is None


async def test_a_missing_program_ends_all(tmp_path: Path) -> None:
    """A command that does not exist is an error that names it."""

    async def never() -> bool:
        return False

    with pytest.raises(ExceptionGroup) as group:
        async with supervised(tmp_path, [Program("one", (str(tmp_path / "nothing-here"),), never)]):
            await asyncio.sleep(30)
    assert "nothing-here" in str(_leaf(group.value))


async def test_order_of_stopping(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Groups end one after the other, and a later one is untouched until the earlier one is gone."""
    monkeypatch.setattr("compose.embedded.supervisor._STOP_WITHIN_S", 60.0)
    monkeypatch.setattr("compose.embedded.supervisor._LONGEST_STOP_S", 20.0)
    code = (
        "import signal, sys, time, pathlib\n"
        "def end(*_):\n"
        "    time.sleep(0.1); open('ends', 'a').write('{name} '); sys.exit(0)\n"
        "signal.signal(signal.SIGTERM, end); pathlib.Path('{name}.ready').touch(); time.sleep(600)"
    )
    programs = [tiny(tmp_path, name, code) for name in ("one", "two", "three")]
    async with supervised(tmp_path, programs, [["three"], ["one"], ["two"]]) as supervisor:
        await supervisor.until_ready()
    assert (tmp_path / "ends").read_text().split() == ["three", "one", "two"]


async def test_who_does_not_end_is_killed(tmp_path: Path) -> None:
    """Programs deaf to SIGTERM are named; all together have less than five seconds, in place of 1.5 s each."""
    told: list[str] = []
    code = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + FOREVER
    names = ["a", "b", "c", "d", "e", "f", "g"]
    programs = [tiny(tmp_path, name, code) for name in names]
    async with supervised(tmp_path, programs, [[name] for name in names], told) as supervisor:
        await supervisor.until_ready()
        began = time.monotonic()
    assert time.monotonic() - began < 10.5
    assert all(one.pid is None for one in supervisor.supervised.values())
    had_s = [float(had) for line in told for had in re.findall(r"did not end within (.+) s and was killed", line)]
    assert len(had_s) == len(names)
    assert sum(had_s) < 5


def test_a_state_folder_has_one_owner(tmp_path: Path) -> None:
    """The second owner is refused, with the first one's pid and what to do."""
    with (
        open_state(tmp_path / "state"),
        pytest.raises(StateLockedError, match=rf"pid {os.getpid()}.*--state"),
        open_state(tmp_path / "state"),
    ):
        pass


def test_a_state_folder_keeps_its_passwords(tmp_path: Path) -> None:
    """Passwords are made once, and only the owner may read them."""
    with open_state(tmp_path / "state") as state:
        first = state.password("postgres")
        assert first != state.password("nats")
    with open_state(tmp_path / "state") as state:
        assert state.password("postgres") == first
        assert (state.folder / "passwords.json").stat().st_mode & 0o777 == 0o600


def test_an_ephemeral_state_goes_away() -> None:
    """A temporary state folder is gone after use."""
    with open_state(None) as state:
        folder = state.folder
        state.password("postgres")
    assert not folder.exists()


# What `suho up` does, as far as this needs: owns a state, keeps two programs of which one has a child.
OWNER = """
import asyncio, sys
from pathlib import Path
from compose.embedded.program import Program
from compose.embedded.state import open_state
from compose.embedded.supervisor import Supervisor

CODE = '''
import signal, subprocess, sys, time
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, signal.SIG_IGN)
subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(600)"])
time.sleep(600)
'''

async def ready(): return True

async def main(folder):
    with open_state(Path(folder) if folder else None) as state:
        programs = [Program(name, (sys.executable, "-S", "-c", CODE), ready) for name in ("one", "two")]
        supervisor = Supervisor(programs, [["one", "two"]], state.log, state.guard, print)
        async with asyncio.TaskGroup() as group:
            group.create_task(supervisor.run(asyncio.Event()))
            await supervisor.until_ready()
            print(state.folder, flush=True)

asyncio.run(main(sys.argv[1]))
"""


@contextmanager
def owner(folder: str) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """A process that owns a state and supervises; with its state folder."""
    command = [sys.executable, "-c", OWNER, folder]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process, Path(process.stdout.readline().strip())


async def everyone_of(process: "subprocess.Popen[str]") -> list[int]:
    """Its guard, two programs and a child of each."""
    family = psutil.Process(process.pid)
    await eventually(lambda: len(family.children(recursive=True)) == 5)
    return [one.pid for one in family.children(recursive=True)]


@pytest.mark.parametrize("ephemeral", [False, True])
async def test_kill_9_leaves_nothing(tmp_path: Path, ephemeral: bool) -> None:
    """After SIGKILL to the supervisor its guard gives the programs 1.5 s; then nothing runs, and the state is free."""
    with owner("" if ephemeral else str(tmp_path)) as (process, state):
        everyone = await everyone_of(process)
        process.kill()
        await eventually(lambda: not any(_is_alive(pid) for pid in everyone))
    if ephemeral:
        assert not state.exists()
    else:
        with open_state(state):
            pass


async def test_next_start_waits_for_the_last_process(tmp_path: Path) -> None:
    """Right after SIGKILL the next owner gets the state only when nothing of the previous one runs."""
    with owner(str(tmp_path)) as (process, _):
        everyone = await everyone_of(process)
        guard = next(pid for pid in everyone if str(guard_program.__file__) in psutil.Process(pid).cmdline())
        process.kill()
        process.wait()
        with open_state(tmp_path):
            # The guard gives them 1.5 s, and gives the state free by ending.
            await eventually(lambda: not any(_is_alive(pid) for pid in everyone if pid != guard), timeout_s=1)
            await eventually(lambda: not _is_alive(guard))


def _is_alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _leaf(group: BaseException) -> BaseException:
    while isinstance(group, BaseExceptionGroup):
        group = group.exceptions[0]
    return group
