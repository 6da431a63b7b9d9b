"""Nobody touches a terminal while an earlier worker may still be in the middle of an order there."""

import multiprocessing
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pc_agent import mt5_worker
from pc_agent.file_lock import file_lock
from pc_agent.terminal.call_board import CallBoard
from pc_agent.terminal.locks import lock_file, other_locks
from pc_agent.terminal.messages import Disconnected
from tests.unit.pc_agent.terminals import terms


def test_a_lock_is_the_terminals_whatever_that_is_called(tmp_path: Path) -> None:
    """By its path, however it is written; those of terminals that are not in the settings any more are found."""
    (tmp_path / "link").symlink_to(tmp_path / "one")
    (tmp_path / "ledger.lock").touch()
    one, same = (lock_file(tmp_path, "MetaTrader5", str(tmp_path / name)) for name in ("one", "x/../link"))
    two, default, twin = (
        lock_file(tmp_path, module, path)
        for module, path in (("MetaTrader5", str(tmp_path / "two")), ("MetaTrader5", ""), ("twin", ""))
    )
    assert one == same
    assert len({one, two, default, twin}) == 4
    for file in (one, two, default):
        file.touch()
    assert set(other_locks(tmp_path, [default, twin])) == {one, two}


@pytest.mark.parametrize("held", ["own.lock", "other.lock"])
def test_a_worker_waits_for_those_before_it_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, held: str
) -> None:
    """At its terminal, and at one that is not in the settings any more."""
    monkeypatch.setattr(mt5_worker, "_LOCK_PATIENCE_S", 0.1)
    asked = terms(lock_file=tmp_path / "own.lock", other_locks=(tmp_path / "other.lock",), module="no_such_terminal")
    ours, theirs = multiprocessing.Pipe()
    with ThreadPoolExecutor(1) as thread, ours, theirs:
        with file_lock(tmp_path / held):
            worker = thread.submit(mt5_worker._with_the_lock, asked, theirs, CallBoard([0, 0, 0, 0]))
            assert ours.poll(5)
            said = ours.recv()
            assert isinstance(said, Disconnected)
            assert held in said.reason
            assert not worker.done()
        with pytest.raises(ModuleNotFoundError, match="no_such_terminal"):
            worker.result(5)
        assert not ours.poll()
