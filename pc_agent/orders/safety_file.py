"""What this PC's own safety remembers: the files of its kill switch, and a small file of facts."""

import json
import os
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import quote

from mesh.config import SettingsError
from pc_agent.domain.dead_man import Noted
from pc_agent.domain.orders import Account
from pc_agent.domain.safety import TradingDay

# Whoever makes a file of this name in the state folder stops all entries; what stands in it is the reason.
HALT = "HALT"
# What Windows' Explorer and Notepad put behind a name without saying so.
_ENDS = ("", ".txt")


class KillSwitch:
    """A file that anybody may make: for all accounts, for one with `.LOGIN@SERVER` behind its name; `.txt` or not."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def reason(self, account: Account) -> str | None:
        """None: it is not thrown."""
        for file in (*self._files(None), *self._files(account)):
            try:
                return file.read_text("utf-8-sig", errors="replace").strip() or f"the file {file.name} is there"
            except FileNotFoundError:
                continue
            except OSError as error:  # it is there, whatever is wrong with it
                return f"the file {file.name} is there ({error.strerror})"
        return None

    def throw(self, account: Account | None, reason: str) -> None:
        """On the disk when this returns."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _write(self._files(account)[0], f"{reason}\n")

    def lift(self, account: Account | None) -> None:
        """None: of every account."""
        files = self._files(account) if account else [self._folder / HALT, *self._folder.glob(f"{HALT}.*")]
        for file in files:
            file.unlink(missing_ok=True)

    def _files(self, account: Account | None) -> list[Path]:
        """Any of them stops; the first is the one that is made here."""
        name = f"{HALT}.{account.login}@{quote(account.server, safe=' ')}" if account else HALT
        return [self._folder / f"{name}{end}" for end in _ENDS]


@dataclass(slots=True)
class Remembered:
    """Of one account."""

    live_money_allowed: bool = False
    day: TradingDay = field(default_factory=TradingDay)
    # The dead man's flatten was done: entries wait for a person.
    flattened: bool = False
    absence: Noted = field(default_factory=Noted)


class SafetyFile:
    """`safety.json` in the state folder; written anew at each change, whole or not at all."""

    def __init__(self, folder: Path) -> None:
        """Raises SettingsError: it can not be understood; nothing is allowed then but to look at it."""
        self._path = folder / "safety.json"
        self._accounts: dict[str, Remembered] = {}
        with suppress(FileNotFoundError):
            try:
                known = json.loads(self._path.read_text("utf-8"))
                self._accounts = {name: _remembered(facts) for name, facts in known.items()}
            except (ValueError, TypeError, KeyError, AttributeError, ArithmeticError) as error:
                raise SettingsError(
                    f"{self._path} can not be understood ({error}); look at it, then remove it: live accounts must be"
                    " allowed again then"
                ) from None

    def of(self, account: Account) -> Remembered:
        """To be changed by its holder, who saves it then."""
        return self._accounts.setdefault(_name(account), Remembered())

    def save(self) -> None:
        _write(self._path, json.dumps({name: _facts(known) for name, known in self._accounts.items()}, indent=1))


def _name(account: Account) -> str:
    return f"{account.login}@{account.server}"


def _facts(known: Remembered) -> dict[str, Any]:
    day = known.day
    return {
        "live_money_allowed": known.live_money_allowed,
        "day": {"day": day.day, "equity": str(day.equity), "lost": day.lost},
        "flattened": known.flattened,
        "engine_gone": {"since_unix_s": known.absence.since_unix_s, "at_unix_s": known.absence.at_unix_s},
    }


def _remembered(facts: dict[str, Any]) -> Remembered:
    day, gone = facts["day"], facts.get("engine_gone", {})
    return Remembered(
        bool(facts["live_money_allowed"]),
        TradingDay(int(day["day"]), Decimal(day["equity"]), bool(day["lost"])),
        bool(facts["flattened"]),
        Noted(int(gone.get("since_unix_s", 0)), int(gone.get("at_unix_s", 0))),
    )


def _write(path: Path, text: str) -> None:
    new = path.with_name(f"{path.name}.new")
    with new.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
    if sys.platform != "win32":  # there nobody can, and the file system's journal has the name
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
