"""The whole platform on this machine, put together and run until it is told to stop."""

import asyncio
import difflib
import signal
import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

import psutil

from compose.embedded.facts import Facts, UnansweredError, open_facts
from compose.embedded.memory import MemoryPeaks
from compose.embedded.options import Options
from compose.embedded.ports import choose_ports, hub_addresses, kind_of
from compose.embedded.program import CannotStartError, Probe
from compose.embedded.programs import (
    PACKAGES,
    STOP_ORDER,
    Engines,
    Terminal,
    mesh_programs,
    settings_of,
    write_settings,
)
from compose.embedded.screen import Screen
from compose.embedded.state import State, open_state
from compose.embedded.summary import Outcome
from compose.embedded.supervisor import Supervisor
from compose.embedded.watch import Watch, settled
from mesh.config import env_prefix
from mesh.environment import environment_names
from mesh.failpoint import FAILPOINTS
from pc_agent.twin.feeds import SYNTHETIC, FeedError, check_speed, plan_feeds, server_name

_STATUS_EVERY_S = 1.0
_FED_EVERY_S = 0.25
_PRESENCE_S = 0.05


def plan(options: Options) -> Terminal:
    """The terminal that the options describe, checked before anything is started.

    Raises:
        CannotStartError: the sentence names the option, or the variable, that is wrong.
    """
    _check_environment()
    try:
        feeds = plan_feeds(options.feeds)
        check_speed(options.speed, feeds)
        server = server_name(feeds, options.seed)
    except FeedError as error:
        raise CannotStartError(f"--feed or --speed: {error}") from None
    if options.until_fed and feeds == (SYNTHETIC,):
        raise CannotStartError("--until-fed needs a feed that ends: the synthetic one does not, give --feed FILE")
    return Terminal(server, feeds, options.speed, options.seed)


def _check_environment() -> None:
    """A variable that no program reads is a typing error; programs check the rest of the names that are theirs."""
    known = [env_prefix(program) for program in PACKAGES]
    for name in environment_names("SUHO_"):
        if name != FAILPOINTS and not name.startswith(tuple(known)):
            near = difflib.get_close_matches(name, [*known, FAILPOINTS], n=1, cutoff=0.4)
            raise CannotStartError(
                f"environment variable {name} is read by no program; did you mean {near[0] if near else known[0]}…?"
            )


async def run_platform(options: Options, screen: Screen) -> Outcome | None:
    """Run until Ctrl-C or SIGTERM (then None), or until the run that was asked for is over.

    Raises:
        CannotStartError: something can not start; nothing of it is left running.
    """
    terminal = plan(options)
    with open_state(options.state) as state:
        ports = choose_ports(state.ports(), options.auto_ports, options.hubs)
        state.remember_ports(ports)
        screen.opening(state.folder, options.state is None, ports)
        engines = Engines.of(state, ports, options.survives_power_loss)
        settings = settings_of(state, ports, engines, terminal, options.strategy)
        write_settings(state, settings)
        async with open_facts(hub_addresses(ports), terminal.server, terminal.folder(state)) as facts:
            platform = Platform(options, screen, state, ports, facts)
            with screen.view():
                return await platform.run(engines, terminal, settings)


class Platform:
    """One run."""

    def __init__(self, options: Options, screen: Screen, state: State, ports: Mapping[str, int], facts: Facts) -> None:
        self._options = options
        self._screen = screen
        self._state = state
        self._ports = ports
        self._facts = facts
        self._watch = Watch(facts, _FED_EVERY_S if options.until_fed else _STATUS_EVERY_S)
        self._memory = MemoryPeaks()
        self._stop = asyncio.Event()
        self._outcome: Outcome | None = None

    async def run(self, engines: Engines, terminal: Terminal, names: Iterable[str]) -> Outcome | None:
        """Start the engines and the programs of these names, stop everything."""
        self._describe = partial(_describe, self._state, self._ports, terminal)
        presence = Presence(self._facts, self._pid)
        ready: dict[str, Probe] = {name: partial(presence.is_up, name) for name in names}
        programs = [*engines.programs(), *mesh_programs(self._state, ready | {"twin": self._twin_serves})]
        self._supervisor = Supervisor(
            programs,
            [[one.name for one in programs if kind_of(one.name) in kinds] for kinds in STOP_ORDER],
            self._state.log,
            self._state.guard,
            self._screen.tell,
            self._changed,
        )
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self._stop.set)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._supervisor.run(self._stop))
                work = [group.create_task(one) for one in (self._conduct(), self._show())]
                await self._stop.wait()
                for task in work:
                    task.cancel()
        except* CannotStartError as errors:
            raise _first(errors) from None
        return self._outcome

    async def _conduct(self) -> None:
        """From the start to the end that was asked for."""
        async with asyncio.TaskGroup() as group:
            # From the start: a short replay is over when all are ready.
            watching = group.create_task(self._watch.run())
            await self._supervisor.until_ready()
            startup_s = time.time() - psutil.Process().create_time()
            self._screen.tell(f"Ready in {startup_s:.1f} s")
            if self._options.until_fed:
                await self._until_fed()
            elif self._options.for_s is not None:
                await asyncio.sleep(self._options.for_s)
            else:
                await self._stop.wait()
            watching.cancel()
        self._memory.look(self._supervisor.supervised.values())
        last = await settled(self._facts)
        self._outcome = Outcome(
            startup_s,
            self._watch.ticks_per_s,
            last.feeds,
            last.stored,
            last.orders,
            last.tick_stored_ms,
            sum(one.restarts for one in self._supervisor.supervised.values()),
            self._memory.peaks_mb,
            last.incidents,
        )
        self._stop.set()

    async def _until_fed(self) -> None:
        try:
            async with asyncio.timeout(self._options.for_s):
                await self._watch.until_fed()
        except TimeoutError:
            self._screen.tell(f"not fed within {self._options.for_s:g} s")

    async def _show(self) -> None:
        await self._supervisor.until_ready()
        while True:
            await asyncio.sleep(_STATUS_EVERY_S)
            watch = self._watch
            programs = self._supervisor.supervised.values()
            self._memory.look(programs)
            self._screen.status(programs, watch.newest, watch.previous, watch.unanswered)

    def _changed(self) -> None:
        self._screen.phases(self._supervisor.supervised)
        programs = {
            one.name: {"pid": one.pid, "restarts": one.restarts, "log": str(one.log)}
            for one in self._supervisor.supervised.values()
        }
        self._state.write_mesh(self._describe(programs))

    def _pid(self, name: str) -> int | None:
        return self._supervisor.supervised[name].pid

    async def _twin_serves(self) -> bool:
        try:
            return bool(await self._facts.feeds())
        except UnansweredError:
            return False


class Presence:
    """Who is UP in the hub, asked once for all who want to know."""

    def __init__(self, facts: Facts, pid: Callable[[str], int | None]) -> None:
        self._facts = facts
        self._pid = pid
        self._up: set[tuple[str, int]] = set()
        self._asked_s = 0.0
        self._lock = asyncio.Lock()

    async def is_up(self, name: str) -> bool:
        """Whether the process that runs now, not a dead one before it, is UP."""
        async with self._lock:
            if time.monotonic() - self._asked_s > _PRESENCE_S:
                try:
                    self._up = await self._facts.up()
                except UnansweredError:
                    self._up = set()
                self._asked_s = time.monotonic()
        pid = self._pid(name)
        return pid is not None and (kind_of(name), pid) in self._up


def _describe(
    state: State, ports: Mapping[str, int], terminal: Terminal, programs: Mapping[str, Any]
) -> dict[str, Any]:
    """mesh.json."""
    return {
        "hubs": list(hub_addresses(ports)),
        "ports": dict(ports),
        "server": terminal.server,
        "twin": str(terminal.folder(state)),
        "programs": programs,
    }


def _first(group: BaseExceptionGroup[CannotStartError]) -> CannotStartError:
    error = group.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error
