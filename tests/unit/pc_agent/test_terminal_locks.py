"""Nobody touches a terminal while an earlier worker may still be in the middle of an order there."""

import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import pytest

from pc_agent import desk, mt5_worker
from pc_agent.config import AgentSettings
from pc_agent.file_lock import LockedError, file_lock
from pc_agent.settings.live import Live, live_settings
from pc_agent.settings.terminals import TerminalSettings
from pc_agent.terminal.call_board import CallBoard
from pc_agent.terminal.locks import lock_file, note_account, other_locks, require_free
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


def test_a_worker_looks_at_all_terminals_but_those_of_its_account(tmp_path: Path) -> None:
    """Of its account's own, each has a worker that does; others' now may have been its account's before."""
    secret = tmp_path / "password"
    secret.touch(0o600)

    def terminal(name: str, login: int) -> TerminalSettings:
        account = {"login": login, "server": "broker", "password_file": secret}
        return TerminalSettings(name=name, path=str(tmp_path / name), **account)

    ours, others = (terminal("one", 7), terminal("two", 7)), (terminal("three", 8),)
    locks = [lock_file(tmp_path, one.module, one.path) for one in (*ours, *others)]
    for lock in (*locks, tmp_path / "terminal-left.lock"):
        lock.touch()
    settings = AgentSettings(state_dir=tmp_path, terminals=(*ours, *others))
    asked = desk._terms(settings, Live(live_settings(settings)), ours[0], ours)
    assert asked.lock_file == locks[0]
    assert set(asked.other_locks) == {locks[2], tmp_path / "terminal-left.lock"}


OURS = ("broker", 7)


@pytest.mark.parametrize(
    ("held", "noted"),
    [
        ("own.lock", None),
        ("own.lock", ("broker", 8)),
        ("other.lock", None),
        ("other.lock", OURS),
        ("other.lock", ("", 0)),
    ],
)
def test_a_worker_waits_for_those_before_it_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, held: str, noted: tuple[str, int] | None
) -> None:
    """At its terminal, and at any other by which somebody is, or may be, at its account."""
    monkeypatch.setattr(mt5_worker, "_LOCK_PATIENCE_S", 0.1)
    if noted:
        note_account(tmp_path / held, *noted)
    with waiting(tmp_path) as (worker, ours):
        with file_lock(tmp_path / held):
            thread = worker()
            assert ours.poll(30)
            said = ours.recv()
            assert isinstance(said, Disconnected)
            assert held in said.reason
            assert not thread.done()
        with pytest.raises(ModuleNotFoundError, match="no_such_terminal"):
            thread.result(30)
        assert not ours.poll()


def test_nobody_waits_for_who_is_at_another_account(tmp_path: Path) -> None:
    """Also where its terminal was at this account before."""
    lock = tmp_path / "other.lock"
    for account in (OURS, ("broker", 8), ("other", 7)):
        note_account(lock, *account)
        with file_lock(lock), nullcontext() if account != OURS else pytest.raises(LockedError):
            require_free([lock], *OURS)
    with waiting(tmp_path) as (worker, _), file_lock(lock), pytest.raises(ModuleNotFoundError):
        worker().result(30)


@contextmanager
def waiting(folder: Path) -> Iterator[tuple[Callable[[], Future[None]], Any]]:
    """A worker of OURS to be started, and what it says."""
    server, login = OURS
    asked = terms(
        lock_file=folder / "own.lock",
        other_locks=(folder / "other.lock",),
        module="no_such_terminal",
        server=server,
        login=login,
    )
    ours, theirs = multiprocessing.Pipe()
    with ThreadPoolExecutor(1) as threads, ours, theirs:
        yield lambda: threads.submit(mt5_worker._with_the_lock, asked, theirs, CallBoard([0, 0, 0, 0])), ours
