"""The settings of one source of ticks beside the terminals."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from mesh.config import Settings


class SourceSettings(Settings):
    """Where ticks come from beside the terminals: a `[[sources]]` table.

    A replay is files that are whole, `csv` files that another program writes on; their shapes are those that the twin
    replays (docs/agent.md, "Ticks from files"), gzipped only where they are whole. A plug-in is a class of your own.
    """

    name: str = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$",
        examples=["my-feed"],
        description="What it is called in logs and in the status; also its folder in the agent's state.",
    )
    kind: Literal["replay", "csv", "plugin"] = Field(
        examples=["csv"], description="'replay': whole files; 'csv': files that grow; 'plugin': a class of your own."
    )
    server: str = Field(
        "", description="Server name that its ticks bear in the mesh: its own; empty: made of kind and name."
    )
    files: dict[str, Path] = Field(
        default_factory=dict,
        examples=[{"EURUSD": "C:/ticks/eurusd.csv"}],
        description="Symbol = 'file', of a replay or csv.",
    )
    speed: float = Field(0, ge=0, description="Of a replay: times as fast as it was; 0: as fast as it is taken.")
    plugin: str = Field("", description="'module:Class', or the name of an entry point of the group suho.tick_sources.")
    options: dict[str, Any] = Field(default_factory=dict, description="What the plug-in wants to know.")

    @property
    def server_name(self) -> str:
        """What its ticks bear."""
        return self.server or f"{self.kind}-{self.name}"

    @model_validator(mode="after")
    def _fits_its_kind(self) -> Self:
        if self.kind == "plugin" and not self.plugin:
            raise ValueError("a source of kind plugin needs plugin = 'module:Class'")
        if self.kind != "plugin" and not self.files:
            raise ValueError(f"a source of kind {self.kind} needs files, such as files = {{ EURUSD = 'eurusd.csv' }}")
        return self


def defect_of_sources(sources: Iterable[SourceSettings], terminals: Iterable[str]) -> str:
    """What is wrong with them together and with the `terminals` of these names, in words; empty: nothing."""
    names = Counter([*terminals, *(source.name for source in sources)])
    name, count = next(iter(names.most_common(1)))
    return f"{count} terminals and sources are called {name!r}: give each a name of its own" if count > 1 else ""
