"""A platform of fakes, and the command that asks it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from cli.__main__ import app
from mesh.channel import direct_channel
from tests.unit.cli.fake_platform import FakePlatform

Suho = Callable[..., Result]


@pytest.fixture
def platform(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakePlatform]:
    """Reached without a hub."""
    monkeypatch.setattr("cli.connection.mesh_channel", lambda settings, _: direct_channel(settings.hubs))
    fake = FakePlatform(tmp_path / "state")
    yield fake
    fake.close()


@pytest.fixture
def suho(platform: FakePlatform) -> Suho:
    """Run `suho ticks …` on the platform."""

    def run(*words: object) -> Result:
        return CliRunner().invoke(app, ["ticks", *map(str, words), "--state", str(platform.state)])

    return run
