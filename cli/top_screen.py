"""The terminal screen of `suho top`; the only module that needs textual."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar

from rich.text import Text
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import DataTable, Footer, Input, Static, TabbedContent, TabPane

from cli.output import utc
from cli.top_source import Source
from cli.top_view import TABLES, Row, Tone, View

_REDRAW_S = 0.25
# A screen shows a few dozen; the filter finds the others.
_MOST_ROWS = 500
_STYLES = {Tone.WELL: "", Tone.UNEASY: "yellow", Tone.BAD: "bold red"}
_TABS = (("instances", "Instances"), ("clients", "Discovery"), ("lanes", "Lanes"), ("hubs", "Hubs"))
_HISTORY_EVENTS = 200


class LiveTable(DataTable[Text]):
    """One of TABLES; it follows the view without losing the row that a person is at."""

    def __init__(self, name: str) -> None:
        super().__init__(id=name, cursor_type="row", zebra_stripes=True)
        self.table = TABLES[name]
        self.sorted_by: int | None = None
        self.hidden = 0
        self._shown: list[Row] | None = None

    def on_mount(self) -> None:
        for number, title in enumerate(self.table.columns):
            self.add_column(title, key=str(number))
        if self.id == "instances":
            self.focus()

    def sort_next(self) -> None:
        """By the next column, and behind the last in the table's own order."""
        following = 0 if self.sorted_by is None else self.sorted_by + 1
        self.sorted_by = following if following < len(self.table.columns) else None

    def follow(self, view: View, wanted: str) -> None:
        """Show the rows that bear `wanted` in any cell."""
        rows = [row for row in self.table.rows(view) if wanted in " ".join(map(str, row.cells)).casefold()]
        if (column := self.sorted_by) is not None:
            rows.sort(key=lambda row: (isinstance(row.cells[column], str), row.cells[column]))
        self.hidden = max(len(rows) - _MOST_ROWS, 0)
        rows = _distinct(rows[:_MOST_ROWS])
        if rows == self._shown:
            return
        if self._shown is not None and [row.key for row in rows] == [row.key for row in self._shown]:
            self._change(self._shown, rows)
        else:
            self._replace(rows)
        self._shown = rows

    def _change(self, shown: Sequence[Row], rows: Sequence[Row]) -> None:
        for was, row in zip(shown, rows, strict=True):
            if was != row:
                for number, cell in enumerate(_texts(row)):
                    self.update_cell(row.key, str(number), cell, update_width=True)

    def _replace(self, rows: Sequence[Row]) -> None:
        at = self.key_at_cursor()
        self.clear()
        for row in rows:
            self.add_row(*_texts(row), key=row.key)
        if at is not None and at in self.rows:
            self.move_cursor(row=self.get_row_index(at), animate=False)

    def key_at_cursor(self) -> str | None:
        """Of the row that a person is at; None where there is no row."""
        if not self.row_count:
            return None
        return self.coordinate_to_cell_key(self.cursor_coordinate).row_key.value


def _distinct(rows: Sequence[Row]) -> list[Row]:
    """Rows that are told apart by nothing (two streams of one client) by their number."""
    seen: Counter[str] = Counter()
    found = []
    for row in rows:
        seen[row.key] += 1
        found.append(row if seen[row.key] == 1 else replace(row, key=f"{row.key} {seen[row.key]}"))
    return found


def _texts(row: Row) -> list[Text]:
    return [Text(str(cell), style=_STYLES[row.tone]) for cell in row.cells]


class Detail(ModalScreen[None]):
    """One instance and its last 24 hours."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q,enter", "dismiss", "Back")]

    def __init__(self, instance: dict[str, Any], source: Source) -> None:
        super().__init__()
        self._instance = instance
        self._source = source

    def compose(self) -> ComposeResult:
        facts = "\n".join(f"{key:<16} {_fact(value)}" for key, value in self._instance.items() if value)
        with VerticalScroll():
            yield Static(Text(facts), id="facts")
            yield Static("the last 24 hours …", id="history")
        yield Footer()

    async def on_mount(self) -> None:
        self.run_worker(self._tell_history())

    async def _tell_history(self) -> None:
        events = await self._source.history(self._instance["id"])
        if isinstance(events, str):
            told = f"its history is not known: {events}"
        elif not events:
            told = "nothing happened in the last 24 hours"
        else:
            told = "\n".join(_event(event) for event in reversed(events[-_HISTORY_EVENTS:]))
        self.query_one("#history", Static).update(Text(told))


def _fact(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key}: {_fact(item)}" for key, item in value.items() if item)
    if isinstance(value, list):
        return "; ".join(_fact(item) for item in value)
    return str(value)


def _event(event: dict[str, Any]) -> str:
    told = f"{utc(event['unix_ms'])}  {event['status'].removeprefix('INSTANCE_STATUS_'):<14}"
    if event["probes"]:
        told += f" {event['probes']} probes, {event['failed']} failed, slowest {event['slowest_ms']:.1f} ms"
    return " ".join(word for word in (told, event["reason"], event["last_error"]) if word)


class TopApp(App[None]):
    """Redrawn four times a second from the source's view, unless paused."""

    TITLE = "suho top"
    ENABLE_COMMAND_PALETTE = False
    CSS = """
    #alarms { color: $text; background: $error; height: auto; max-height: 8; padding: 0 1; }
    #status { height: 1; padding: 0 1; }
    #services { height: auto; max-height: 12; margin-bottom: 1; }
    #filter { display: none; height: 3; }
    TabbedContent, ContentSwitcher, TabPane, LiveTable { height: 1fr; }
    TabPane { padding: 0; }
    Detail { align: center middle; }
    Detail VerticalScroll { width: 90%; height: 90%; border: round $primary; background: $surface; padding: 0 1; }
    #history { margin-top: 1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q", "quit", "Quit"),
        Binding("p", "pause", "Pause"),
        Binding("slash", "filter", "Filter"),
        Binding("escape", "no_filter", "All", show=False),
        Binding("s", "sort", "Sort"),
        *(Binding(str(number), f"tab('{name}')", title) for number, (name, title) in enumerate(_TABS, 1)),
    ]

    def __init__(self, source: Source) -> None:
        super().__init__()
        self._source = source
        self._wanted = ""
        self._paused = False

    def compose(self) -> ComposeResult:
        yield Static(id="alarms")
        yield Static(id="status")
        yield LiveTable("services")
        with TabbedContent(initial="tab-instances"):
            for name, title in _TABS:
                with TabPane(title, id=f"tab-{name}"):
                    yield LiveTable(name)
        yield Input(placeholder="only rows with …", id="filter")
        yield Footer()

    def on_mount(self) -> None:
        self.run_worker(self._source.run(), exit_on_error=True)
        self.set_interval(_REDRAW_S, self._draw)

    def _draw(self) -> None:
        tables = [table for table in self.query(LiveTable) if table.columns]
        if self._paused or len(self.screen_stack) > 1 or len(tables) < len(TABLES):  # tabs mount one by one
            return
        view = self._source.view
        alarms = self.query_one("#alarms", Static)
        told = view.alarms()
        alarms.display = bool(told)
        alarms.update(Text("\n".join(told)))
        for table in tables:
            table.follow(view, self._wanted)
        self._say(view)

    def _say(self, view: View) -> None:
        words = [f"{len(view.services())} services", f"{len(view.instances)} instances", f"revision {view.revision}"]
        words += [f"only with {self._wanted!r}"] if self._wanted else []
        words += ["PAUSED: p goes on"] if self._paused else []
        table = self._table()
        if table.sorted_by is not None:
            words.append(f"by {table.table.columns[table.sorted_by]}")
        if not table.row_count:
            words.append(table.table.empty if not self._wanted else "nothing bears that")
        elif table.hidden:
            words.append(f"{table.hidden} more: / filters")
        self.query_one("#status", Static).update(Text(" · ".join(words)))

    def _table(self) -> LiveTable:
        """The one that a person looks at."""
        if isinstance(self.focused, LiveTable):
            return self.focused
        active = self.query_one(TabbedContent).active.removeprefix("tab-")
        return self.query_one(f"#{active}", LiveTable)

    def action_pause(self) -> None:
        self._paused = not self._paused
        self._say(self._source.view)
        self._draw()

    def action_sort(self) -> None:
        self._table().sort_next()
        self._draw()

    def action_tab(self, name: str) -> None:
        self.query_one(TabbedContent).active = f"tab-{name}"
        self.query_one(f"#{name}", LiveTable).focus()
        self._draw()

    def action_filter(self) -> None:
        box = self.query_one("#filter", Input)
        box.display = True
        box.focus()

    def action_no_filter(self) -> None:
        self.query_one("#filter", Input).value = ""
        self._end_filter()

    def on_input_changed(self, event: Input.Changed) -> None:
        self._wanted = event.value.casefold()
        self._draw()

    def on_input_submitted(self) -> None:
        self._end_filter()

    def _end_filter(self) -> None:
        self.query_one("#filter", Input).display = False
        self._table().focus()

    def on_data_table_row_selected(self, event: DataTable.RowSelected) -> None:
        """Enter on an instance shows it whole; on a service, its instances."""
        key = event.row_key.value or ""
        if event.data_table.id == "instances" and key in self._source.view.instances:
            self.push_screen(Detail(self._source.view.instances[key], self._source))
        elif event.data_table.id == "services":
            self.query_one("#filter", Input).value = key
            self.action_tab("instances")
