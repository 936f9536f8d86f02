"""The screen: a table that changes in place, once a second."""

from __future__ import annotations

import asyncio
import signal
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import Any, ClassVar, Final

from rich.text import Text

from iova.errors import ENDING_SIGNALS, IovaError
from iova.top.look import Look, Watched
from iova.top.plain import percent, rate, row_texts, slab_text, whole
from iova.top.rates import Rates, Row, rates_between
from iova.words import counted, printable

try:
    from textual.app import App, ComposeResult
    from textual.binding import Binding, BindingType
    from textual.coordinate import Coordinate
    from textual.widgets import DataTable, Footer, Sparkline, Static
except ImportError as error:
    raise IovaError(
        "iova top needs textual on a terminal: install it with  pip install 'iova[live]';"
        " or give --plain"
    ) from error

#: Heads of the columns and their widths: with a cell of padding on each side 78 of 80.
_COLUMNS: Final = (
    ("domain", 11),
    ("size", 6),
    ("alloc/s", 7),
    ("free/s", 7),
    ("tree%", 5),
    ("depot", 5),
    ("in CPUs", 7),
    ("fill%", 5),
    ("recl/s", 6),
)
#: Of which column an order is, in the order of the key; the largest first but for the first.
_SORTS: Final[tuple[tuple[str, Callable[[Row], Any]], ...]] = (
    ("domain", lambda row: (row.domain, row.size)),
    ("alloc/s", lambda row: row.allocs_s),
    ("free/s", lambda row: row.frees_s),
    ("tree%", lambda row: row.tree_percent or 0),
    ("depot", lambda row: row.depot or 0),
    ("in CPUs", lambda row: row.in_cpus or 0),
)

_HISTORY: Final = 240
_BUSY_TREE: Final = ((50.0, "red"), (10.0, "yellow"))
_SPEED_STEP: Final = 2.0
_SPEEDS: Final = (1 / 1024, 1024.0 * 1024)


class TopScreen(App[None]):
    """What a source does, until the user has seen enough.

    Attributes:
        failure: why the source could not be looked at any more; None while it can.
        signalled: the signal that ended it; None: none did.
    """

    CSS = """
    Screen { layout: vertical; }
    #head { height: 1; text-style: bold; background: $panel; padding: 0 1; }
    #total { height: 1; padding: 0 1; }
    #memory { height: 1; padding: 0 1; color: $text-muted; }
    #history { height: 2; margin: 0 1; }
    #rows { height: 1fr; scrollbar-size-vertical: 1; scrollbar-size-horizontal: 1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q,escape", "quit", "Quit", key_display="q"),
        Binding("ctrl+c", "quit", "Quit", show=False, priority=True),
        Binding("space,p", "pause", "Pause", key_display="space"),
        Binding("s", "sort", "Sort"),
        Binding("r", "reverse", "Reverse"),
        Binding("d", "domain", "Domain"),
        Binding("a", "active", "Active"),
        Binding("plus,equals_sign", "faster", "Faster", key_display="+"),
        Binding("minus", "slower", "Slower", key_display="-"),
    ]
    ENABLE_COMMAND_PALETTE = False

    def __init__(self, source: Watched, *, interval_s: float) -> None:
        super().__init__()
        self.animation_level = "none"
        self.failure: IovaError | None = None
        self.signalled: signal.Signals | None = None
        self._source = source
        self._interval_s = interval_s
        self._before: Look | None = None
        self._rates: Rates | None = None
        self._last = time.monotonic()
        self._looking = self._paused = self._ended = False
        self._sort = 0
        self._reverse = False
        self._domain: str | None = None
        self._active_only = False
        self._drawn: list[list[Text]] = []  # a text's own comparison leaves its style out
        self._history: deque[float] = deque(maxlen=_HISTORY)

    # ------------------------------------------------------------------------- the parts

    def compose(self) -> ComposeResult:
        """Head, totals, memory, history, the table, the keys."""
        yield Static(id="head")
        yield Static(id="total")
        yield Static(id="memory")
        yield Sparkline(id="history")
        yield DataTable(id="rows", cursor_type="row", zebra_stripes=True)
        yield Footer()

    def on_mount(self) -> None:
        """Begin."""
        table = self.query_one(DataTable)
        for name, width in _COLUMNS:
            left = name in ("domain",)
            table.add_column(Text(name, justify="left" if left else "right"), width=width)
        table.focus()
        loop = asyncio.get_running_loop()
        for number in ENDING_SIGNALS:  # the terminal has to become what it was
            loop.add_signal_handler(number, self._end_by, number)
        self._show_head()
        self._tick()
        self.set_interval(self._interval_s, self._tick)

    def _end_by(self, number: signal.Signals) -> None:
        self.signalled = number
        self.exit()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Speed is for what is played back."""
        del parameters
        return not (action in ("faster", "slower") and self._source.speed is None)

    def on_resize(self) -> None:
        """The head's parts share another width."""
        self.call_after_refresh(self._show_head)

    # ------------------------------------------------------------------------- the looks

    def _tick(self) -> None:
        """Look in a thread of its own: a replay or an answer may take a while."""
        if self._looking or self._paused or self._ended:
            return
        self._looking = True
        self.run_worker(self._look, thread=True, exit_on_error=False)

    def _look(self) -> None:
        now = time.monotonic()
        elapsed = self._interval_s if self._source.speed else now - self._last
        self._last = now
        try:
            look = self._source.look(elapsed if self._before else 0.0)
        except IovaError as error:
            self.failure = error
            self.call_from_thread(self.exit)
            return
        self.call_from_thread(self._take, look)

    def _take(self, look: Look | None) -> None:
        self._looking = False
        if look is None:
            self._ended = True
        else:
            if self._before is not None:
                self._rates = rates_between(self._before, look)
                self._history.append(self._rates.total.allocs_s)
            self._before = look
        self._show()

    # ------------------------------------------------------------------------ the picture

    def _show(self) -> None:
        self._show_head()
        if self._rates is None:
            return
        with self.batch_update():
            self._show_totals(self._rates)
            self._show_rows(self._shown(self._rates))

    def _show_head(self) -> None:
        """What is watched gives way where there is no room for how far it has come."""
        about = self._source.about
        parts = []
        if self._rates is not None:
            parts.append(f"{self._rates.t_s:,.1f} s")
        if self._source.speed is not None:
            parts.append(f"x{self._source.speed:g}")
        if self._ended:
            parts.append("THE END")
        elif self._paused:
            parts.append("PAUSED")
        if self._domain is not None:
            parts.append(f"domain {printable(self._domain)}")
        head = self.query_one("#head", Static)
        watched = Text(f"iova top  {printable(about.name)}, {printable(about.what)}", no_wrap=True)
        state = Text("".join(f"  {part}" for part in parts))
        watched.truncate(max(0, self.size.width - 2 - state.cell_len), overflow="ellipsis")
        head.update(watched + state)

    def _show_totals(self, rates: Rates) -> None:
        total = rates.total
        told = (
            f"alloc {rate(total.allocs_s)}/s  free {rate(total.frees_s)}/s"
            f"  tree {percent(total.tree_percent)}%  depot {whole(total.depot)}"
            f"  CPUs {whole(total.in_cpus)}  recl {rate(total.reclaimed_s)}/s"
        )
        self.query_one("#total", Static).update(Text(told, no_wrap=True))
        memory = [total.domain, *(slab_text(slab) for slab in rates.slabs)]
        if rates.memory_bytes is not None:
            memory.append(f"memory {rates.memory_bytes >> 10:,} KiB")
        if rates.lost:
            memory[:1] = [f"{counted(rates.lost, 'event')} LOST"]
        name, _ = _SORTS[self._sort]
        memory.append(f"sorted by {name}{', reversed' if self._reverse else ''}")
        memory.append(f"graph: alloc/s to {rate(max(self._history))}")
        self.query_one("#memory", Static).update(Text("  ".join(memory), no_wrap=True))
        self.query_one(Sparkline).data = list(self._history)

    def _shown(self, rates: Rates) -> Rates:
        """The rows that are wanted, in the order that is wanted."""
        name, key = _SORTS[self._sort]
        rows = [
            row
            for row in rates.rows
            if (self._domain is None or row.domain == self._domain)
            and (not self._active_only or row.allocs_s or row.frees_s)
        ]
        rows.sort(key=key, reverse=(name != "domain") != self._reverse)
        return replace(rates, rows=tuple(rows))

    def _show_rows(self, rates: Rates) -> None:
        """Change the cells that differ, and no others: nothing flickers and no place is lost."""
        table = self.query_one(DataTable)
        del self._drawn[len(rates.rows) :]
        while table.row_count > len(rates.rows):
            table.remove_row(table.coordinate_to_cell_key(Coordinate(table.row_count - 1, 0))[0])
        for at, (row, texts) in enumerate(zip(rates.rows, row_texts(rates), strict=True)):
            cells = _styled(row, texts)
            if at == table.row_count:
                table.add_row(*cells)
                self._drawn.append(cells)
                continue
            for column, (cell, old) in enumerate(zip(cells, self._drawn[at], strict=True)):
                if (cell.plain, cell.style) != (old.plain, old.style):
                    table.update_cell_at(Coordinate(at, column), cell)
            self._drawn[at] = cells

    # --------------------------------------------------------------------------- the keys

    def action_pause(self) -> None:
        """Stop and go on."""
        self._paused = not self._paused
        self._last = time.monotonic()
        self._show_head()

    def action_sort(self) -> None:
        """Sort by the next column."""
        self._sort = (self._sort + 1) % len(_SORTS)
        self._show()

    def action_reverse(self) -> None:
        """Turn the order round."""
        self._reverse = not self._reverse
        self._show()

    def action_domain(self) -> None:
        """Show the next domain alone; after the last all of them."""
        names = sorted({row.domain for row in self._rates.rows}) if self._rates else []
        later = [name for name in names if self._domain is None or name > self._domain]
        self._domain = later[0] if later else None
        self._show()

    def action_active(self) -> None:
        """Show only what has allocations or frees; or all again."""
        self._active_only = not self._active_only
        self._show()

    def action_faster(self) -> None:
        """Play back at twice the speed."""
        self._set_speed(_SPEED_STEP)

    def action_slower(self) -> None:
        """Play back at half the speed."""
        self._set_speed(1 / _SPEED_STEP)

    def _set_speed(self, factor: float) -> None:
        if self._source.speed is not None:
            slowest, fastest = _SPEEDS
            self._source.speed = min(max(self._source.speed * factor, slowest), fastest)
            self._show_head()


def _styled(row: Row, texts: tuple[str, ...]) -> list[Text]:
    """Cells of a row: numbers to the right, what is idle dim, much work in the tree coloured."""
    idle = not row.allocs_s and not row.frees_s
    style = "dim" if idle else ""
    busy = [
        c for limit, c in _BUSY_TREE if row.tree_percent is not None and row.tree_percent >= limit
    ]
    tree, *_ = (*busy, style)
    return [
        Text(texts[0], no_wrap=True, style=style),
        *(
            Text(text, justify="right", style=tree if name == "tree%" else style)
            for (name, _), text in zip(_COLUMNS[1:], texts[1:], strict=True)
        ),
    ]
