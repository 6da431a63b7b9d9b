"""Files in, ClickHouse out: every tick, once, with its exact values."""

from pathlib import Path
from typing import Any

import pytest

from tests.support.platform import run_platform
from tests.support.replay_file import ReplayFile, assert_exact, generate, real

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]


async def replayed(*files: ReplayFile) -> dict[str, Any]:
    feeds = [word for file in files for word in ("--feed", file.feed)]
    async with run_platform(*feeds, "--speed", "max", "--until-fed") as platform:
        summary = await platform.summary(timeout_s=240)
        assert platform.process.returncode == 0, platform.messages[-4000:]
    return summary


async def test_generated_files_are_stored_exactly(tmp_path: Path) -> None:
    """Three symbols at once, with bursts and a month's end."""
    files = [generate(tmp_path, symbol, 30_000, seed) for seed, symbol in enumerate(("AAABBB", "X.Y#1", "CCCDDD"))]
    summary = await replayed(*files)
    assert_exact(summary, *files)
    assert summary["restarts"] == 0


async def test_three_real_symbols_are_stored_exactly(data_dir: Path) -> None:
    """1,908,478 real ticks of three symbols that overlap in time; thousands share a millisecond."""
    files = [real(data_dir, symbol) for symbol in ("EURUSD", "NZDUSD", "XAUUSD")]
    assert [file.ticks for file in files] == [532_903, 457_699, 917_876]
    assert_exact(await replayed(*files), *files)
