"""Settings: command line over environment over TOML file over default, read once, frozen.

An unknown key is an error that suggests the nearest known one.
"""

import argparse
import difflib
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar, get_origin

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError

from mesh.environment import environment, environment_names


class SettingsError(Exception):
    """A setting that is missing, unknown or wrong; the message names it and where it came from."""


class Settings(BaseModel):
    """Base of all settings."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class ProgramSettings(Settings):
    """What every program can be told."""

    instance: str = Field("", description="Unique name of this process in the mesh; empty: '<program>-1'.")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least severity logged.")
    log_format: Literal["auto", "json", "console"] = Field(
        "auto", description="JSON lines, or readable; auto: readable on a terminal."
    )
    log_dir: Path | None = Field(
        None,
        examples=["logs"],
        description="Folder for this program's log, in files of bounded size; none: standard error.",
    )
    metrics_port: int = Field(0, ge=0, le=65535, description="Port for Prometheus on loopback; 0: none.")
    state_dir: Path | None = Field(None, description="Folder for what this program keeps on disk.")
    _origin: Mapping[str, str] = PrivateAttr(default_factory=dict)

    def origin(self, name: str) -> str:
        """Where a setting was given: "command line", "environment", "file …" or "default"."""
        return self._origin.get(name, "default")


class MeshSettings(ProgramSettings):
    """Programs that know the hub."""

    hubs: tuple[str, ...] = Field(("127.0.0.1:7000",), min_length=1, description="host:port of every hub.")
    zone: str = Field("", max_length=128, description="Where this program runs: callers prefer servers of their zone.")


class ServerSettings(MeshSettings):
    """Programs that listen."""

    host: str = Field("127.0.0.1", description="IP address to listen on; loopback until TLS is built.")
    port: int = Field(ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    published_host: str = Field("", description="IP address that clients outside dial, where it differs.")
    published_port: int = Field(0, ge=0, le=65535, description="Port that clients outside dial, where it differs.")


S = TypeVar("S", bound=ProgramSettings)


def env_prefix(program: str) -> str:
    return f"SUHO_{program.upper().replace('-', '_')}_"


def load_settings(cls: type[S], program: str, argv: Sequence[str]) -> S:
    """Read the settings of `program` from `argv`, the environment and the file that `--config` names.

    Raises:
        SettingsError: naming the setting and its source.
    """
    cli, rest = _parser(cls, program).parse_known_args(list(argv))
    if rest:
        refuse_unknown(cls, rest[0].lstrip("-").partition("=")[0].replace("-", "_"), "command line")
        raise SettingsError(f"{rest[0]!r} on the command line belongs to no setting")
    given: dict[str, Any] = vars(cli)
    config = given.pop("config") or environment(f"{env_prefix(program)}CONFIG")
    sources: list[tuple[str, dict[str, Any]]] = [
        (f"file {config}", _read_toml(Path(config)) if config else {}),
        ("environment", _read_environment(cls, program)),
        ("command line", {key: value for key, value in given.items() if value is not None}),
    ]
    merged: dict[str, Any] = {}
    origin: dict[str, str] = {}
    for name, values in sources:
        for key, value in values.items():
            refuse_unknown(cls, key, name)
            merged[key], origin[key] = value, name
    merged["instance"] = merged.get("instance") or f"{program}-1"
    try:
        settings = cls.model_validate(merged)
    except ValidationError as error:
        raise SettingsError("; ".join(sentences(error, program, origin))) from None
    settings._origin = origin
    return settings


def _parser(cls: type[Settings], program: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=program, allow_abbrev=False)
    parser.add_argument("--config", help="TOML file with any of the settings below")
    for name, field in cls.model_fields.items():
        many = get_origin(field.annotation) is tuple
        parser.add_argument(f"--{name.replace('_', '-')}", nargs="*" if many else None, help=field.description)
    return parser


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise SettingsError(f"setting --config: {path} can not be read: {error.strerror}") from None
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"setting --config: {path} is not TOML: {error}") from None


def _read_environment(cls: type[Settings], program: str) -> dict[str, Any]:
    prefix = env_prefix(program)
    values: dict[str, Any] = {}
    for variable in environment_names(prefix):
        if variable != f"{prefix}CONFIG":
            name, value = variable.removeprefix(prefix).lower(), environment(variable)
            field = cls.model_fields.get(name)
            values[name] = value.split(",") if field and get_origin(field.annotation) is tuple else value
    return values


def refuse_unknown(cls: type[Settings], key: str, source: str) -> None:
    """Raises SettingsError: there is no such setting; the sentence suggests the nearest one."""
    if key not in cls.model_fields:
        near = difflib.get_close_matches(key, cls.model_fields, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else f"; known are {', '.join(sorted(cls.model_fields))}"
        raise SettingsError(f"unknown setting {key!r} ({source}){hint}")


def sentences(error: ValidationError, program: str, origin: Mapping[str, str]) -> list[str]:
    """What is wrong, a sentence for each setting, with where it was given."""
    found = []
    for item in error.errors(include_input=False, include_url=False):
        name = ".".join(str(part) for part in item["loc"]) or "(settings)"
        source = origin.get(str(item["loc"][0]) if item["loc"] else "", "not given")
        message = item["msg"].removeprefix("Value error, ")  # pydantic's word, not ours
        found.append(f"setting {name!r} of {program} ({source}): {message}")
    return found
