"""What the mesh keeps for this agent, judged as a whole: fit to be put in force, or refused."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from mesh.config import SettingsError, refuse_unknown, sentences
from pc_agent.config import AgentSettings
from pc_agent.domain.setting_rules import Reach, rule_of, weigh

PROGRAM = "pc-agent"
_ORIGIN = "kept by the mesh"


class UnfitError(ValueError):
    """A value is wrong or not the mesh's to say; none of them counts then."""


@dataclass(frozen=True)
class Judged:
    """The settings with all that counts of the mesh's, and why single values of it do not."""

    settings: AgentSettings
    held: Mapping[str, str]


def judge(own: AgentSettings, kept: Mapping[str, Any]) -> Judged:
    """The PC's own settings, with those of the mesh over them as far as the rules let it.

    Raises:
        UnfitError: naming what is wrong.
    """
    strange = {name: why for name in kept if (why := _not_admitted(name))}
    wrong = list(strange.values())
    try:
        # What is the PC's own stays as it is, unjudged: it counts already.
        said = AgentSettings.model_validate(
            {**dict(own), **{name: value for name, value in kept.items() if name not in strange}}
        )
    except ValidationError as error:
        wrong += sentences(error, PROGRAM, dict.fromkeys(kept, _ORIGIN))
    if wrong:
        raise UnfitError("; ".join(wrong))
    weighed = {name: weigh(name, getattr(own, name), own.origin(name), getattr(said, name)) for name in kept}
    values = {name: found.value for name, found in weighed.items()}
    held = {name: found.because for name, found in weighed.items() if found.because}
    return Judged(own.model_copy(update=values), held)


def _not_admitted(name: str) -> str:
    """Why the mesh may not set it; empty: it may."""
    try:
        refuse_unknown(AgentSettings, name, _ORIGIN)
    except SettingsError as error:
        return str(error)
    if rule_of(name).reach is Reach.LOCAL:
        return f"setting {name!r} is {Reach.LOCAL}: set it there, in the agent's file"
    return ""
