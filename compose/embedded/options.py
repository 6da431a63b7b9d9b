"""What `suho up` was asked to do."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Options:
    """The command line of `suho up`, unchecked."""

    # None: a temporary folder.
    state: Path | None = Path(".suho")
    feeds: tuple[str, ...] = ("synthetic",)
    speed: str = "1"
    seed: int = 1
    # End so many seconds after everything was ready; None: do not.
    for_s: float | None = None
    until_fed: bool = False
    # Empty: strategies are off.
    strategy: str = ""
    auto_ports: bool = False
    # How many hubs share the registry.
    hubs: int = 1
    # What is confirmed survives the machine losing power, not only any process being killed.
    survives_power_loss: bool = False
    as_json: bool = False

    @property
    def ends(self) -> bool:
        """Whether the run has an end of its own, and so a summary."""
        return self.until_fed or self.for_s is not None
