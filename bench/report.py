"""What was measured: a table for people, one JSON line a figure, one object at the end."""

import json
import sys
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True)
class Figure:
    """One thing measured; `beside` compares it with another of the same run."""

    name: str
    what: str
    value: float
    unit: str
    beside: str = ""


class Report:
    """Tells each figure as it comes, keeps all, and writes them down."""

    def __init__(self, benchmark: str, results: Path, as_json: bool) -> None:
        self._benchmark = benchmark
        self._path = results / f"{benchmark}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.jsonl"
        self._as_json = as_json
        self._console = Console(stderr=as_json, highlight=False)
        self.figures: list[Figure] = []

    def say(self, text: str) -> None:
        self._console.print(text, markup=False)

    def add(self, figure: Figure) -> None:
        self.figures.append(figure)
        self.say(
            f"  {figure.what}: {_number(figure.value)} {figure.unit}{f'  ({figure.beside})' * bool(figure.beside)}"
        )

    def close(self, last: dict[str, Any]) -> None:
        """The table, or with --json the lines; `last` is the object on the last line, of both."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        lines = [*(asdict(figure) for figure in self.figures), {"benchmark": self._benchmark, **last}]
        self._path.write_text("".join(f"{json.dumps(line)}\n" for line in lines), "utf-8")
        if self._as_json:
            sys.stdout.write("".join(f"{json.dumps(line)}\n" for line in [*lines[:-1], last]))
            return
        table = Table(box=None, pad_edge=False, header_style="bold")
        for column in ("", "figure", "unit", "beside"):
            table.add_column(column, justify="right" if column == "figure" else "left")
        for figure in self.figures:
            table.add_row(figure.what, _number(figure.value), figure.unit, figure.beside)
        self._console.print(table)
        self.say(f"written to {self._path}")


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:,.3g}"
