"""Runs the agent: its parts, what it serves to the person at the PC, a session with a hub."""

import asyncio
import os
import time
from collections.abc import Callable
from functools import partial

from suho.hub.v1 import registry_pb2 as hub

from mesh.channel import lane_channel
from mesh.configuration import ConfigWatch
from mesh.log import get_logger
from mesh.program import on_user_signal
from mesh.session import HubSession, open_session
from pc_agent.config import AgentSettings
from pc_agent.control.server import open_control
from pc_agent.control.services import accounts_of, services_of
from pc_agent.orders.safety_file import KillSwitch
from pc_agent.parts import Dial, put_together
from pc_agent.settings.keeper import KeptByMesh
from pc_agent.terminal.limits import Limits, make_room

log = get_logger(__name__)

PROGRAM = "pc-agent"
_LOOK_S = 0.1
# A lane that comes back within this time was never away, as the hub sees it.
_PATIENCE_S = 3.0


async def main(settings: AgentSettings, stop: asyncio.Event) -> None:
    """Run until `stop`, registered with a hub."""
    instance = hub.Instance(
        id=settings.instance,
        service=PROGRAM,
        dependencies=["data-bridge", "trading-engine"],
        zone=settings.zone,
        process_id=os.getpid(),
    )
    async with open_session(settings, instance) as session:
        kept = ConfigWatch(session, PROGRAM, settings.instance)
        agent = Agent(settings, partial(lane_channel, settings, PROGRAM), kept)
        async with asyncio.TaskGroup() as tasks:
            beside = (
                tasks.create_task(_tell_status(session, agent), name="status"),
                tasks.create_task(kept.run(), name="follow the configuration"),
            )
            await agent.run(stop)
            for task in beside:
                task.cancel()


class Agent:
    """The composition; `dial` opens the channels of the lanes, `mesh` keeps settings for it."""

    def __init__(self, settings: AgentSettings, dial: Dial, mesh: KeptByMesh | None = None) -> None:
        self._settings = settings
        self._dial = dial
        self._mesh = mesh
        self._missing: Callable[[], str] = lambda: "starting"
        self._finding: Callable[[], str] = lambda: ""

    def missing(self) -> str:
        """What stands between the agent and its work, in words; empty: nothing."""
        return self._missing()

    def finding(self) -> str:
        """What is wrong though the agent does its work, and what to do; empty: nothing."""
        return self._finding()

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop`.

        Raises:
            SettingsError: another agent uses the state folder.
        """
        make_room([Limits(one.cpu_limit_percent, one.memory_limit_mb) for one in self._settings.terminals])
        on_user_signal(partial(_throw, KillSwitch(self._settings.state_dir)))
        async with put_together(self._settings, self._dial) as parts:
            self._missing, self._finding = parts.missing, parts.finding
            own, accounts = parts.settings, accounts_of(parts.desks)
            services = services_of(parts, accounts, self.missing)
            control = open_control(own.instance, own.state_dir, own.control_port, services)
            async with control, asyncio.TaskGroup() as tasks:
                works = [tasks.create_task(work, name=name) for name, work in parts.works().items()]
                works.append(tasks.create_task(accounts.run(), name="closes asked for at the PC"))
                if self._mesh is not None:
                    works.append(tasks.create_task(parts.keeper.run(self._mesh), name="settings"))
                await stop.wait()
                await parts.stop()
                for work in works:
                    work.cancel()


def _throw(switch: KillSwitch) -> None:
    """Of all accounts, which look at it all the time."""
    switch.throw(None, "the signal SIGUSR1 was sent to the agent")
    log.warning("the kill switch is thrown by SIGUSR1: no entries until `suho agent resume`")


async def _tell_status(session: HubSession, agent: Agent) -> None:
    """UP while nothing is missing, with what hinders; an interruption is told once it lasts."""
    told, whole_at = "", -_PATIENCE_S
    while True:
        missing, now = agent.missing(), time.monotonic()
        if not missing:
            whole_at = now
            finding = agent.finding()
            if told != f"up {finding}":
                told = f"up {finding}"
                log.info("ready", but=finding or None)
                await session.set_status(hub.INSTANCE_STATUS_UP, finding)
        elif missing != told and now - whole_at > _PATIENCE_S:
            status = hub.INSTANCE_STATUS_DOWN if whole_at > 0 else hub.INSTANCE_STATUS_STARTING
            told = missing
            log.info("not ready", missing=missing)
            await session.set_status(status, missing)
        await asyncio.sleep(_LOOK_S)
