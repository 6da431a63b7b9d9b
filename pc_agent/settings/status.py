"""What runs of the mesh's settings, in the agent's status."""

from suho.agent.v1 import agent_pb2 as pb

from pc_agent.settings.keeper import SettingsKeeper


class SettingsStatus:
    """The versions in force, and what of newer ones or of them is not."""

    def __init__(self, keeper: SettingsKeeper) -> None:
        self._keeper = keeper

    async def fill(self, status: pb.AgentStatus) -> None:
        applied = self._keeper.applied
        status.config.CopyFrom(
            pb.AppliedConfig(
                service_version=applied.service_version,
                instance_version=applied.instance_version,
                refusal=applied.refusal,
                notes=applied.notes,
            )
        )
