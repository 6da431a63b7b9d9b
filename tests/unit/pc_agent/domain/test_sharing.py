"""Which of an account's terminals has a symbol."""

from hypothesis import given
from hypothesis import strategies as st

from pc_agent.domain.sharing import SymbolSharing

NAMES = [f"SYMBOL{n}" for n in range(20)]
LOST_S, BACK_S = 3.0, 10.0


class Terminals:
    """Three of them that carry everything."""

    def __init__(self) -> None:
        self.sharing = SymbolSharing(3, LOST_S, BACK_S, 0.0)
        self.fit: list[float | None] = [0.0, 0.0, 0.0]
        self.busy: set[str] = set()
        self.carried = [set(NAMES) for _ in range(3)]

    def look(self, now: float) -> dict[str, tuple[int | None, int]]:
        return self.sharing.look(self.fit, self.carried, NAMES, self.busy.__contains__, now)

    def owners(self) -> dict[str, int | None]:
        return {name: self.sharing.owner(name) for name in NAMES}


def test_every_terminal_has_a_part_which_is_the_same_at_every_start() -> None:
    """It comes from the symbols' names."""
    one, other = Terminals(), Terminals()
    one.look(0.0)
    other.look(0.0)
    assert one.owners() == other.owners()
    assert set(one.owners().values()) == {0, 1, 2}


def test_what_a_lost_terminal_had_moves_and_comes_back() -> None:
    """After a while; nothing that the others have moves with it."""
    terminals = Terminals()
    terminals.look(0.0)
    home = terminals.owners()
    terminals.fit[1] = None
    assert terminals.look(1.0) == {}
    assert terminals.look(LOST_S + 2.0).keys() == {name for name, owner in home.items() if owner == 1}
    assert all(owner == home[name] for name, owner in terminals.owners().items() if home[name] != 1)
    terminals.fit[1] = 6.0
    assert terminals.look(6.0 + BACK_S / 2) == {}
    terminals.look(6.0 + BACK_S)
    assert terminals.owners() == home


def test_a_symbol_with_an_order_under_way_or_in_doubt_stays() -> None:
    """Until that is over: no other terminal has an order of it meanwhile."""
    terminals = Terminals()
    terminals.look(0.0)
    name = next(name for name, owner in terminals.owners().items() if owner == 1)
    terminals.busy, terminals.fit[1] = {name}, None
    assert name not in terminals.look(60.0)
    assert terminals.sharing.owner(name) == 1
    terminals.busy = set()
    assert terminals.look(61.0)[name][0] == 1


def test_where_no_terminal_is_fit_nothing_moves() -> None:
    """There is nowhere to go."""
    terminals = Terminals()
    terminals.look(0.0)
    terminals.fit = [None, None, None]
    assert terminals.look(60.0) == {}


def test_a_terminal_that_does_not_carry_a_symbol_does_not_get_it() -> None:
    """However the names fall."""
    terminals = Terminals()
    terminals.carried = [{"SYMBOL0"}, set(NAMES) - {"SYMBOL0"}, set()]
    terminals.look(0.0)
    assert terminals.owners() == {name: 0 if name == "SYMBOL0" else 1 for name in NAMES}


@given(st.lists(st.tuples(st.sets(st.sampled_from([0, 1, 2])), st.sets(st.sampled_from(NAMES))), max_size=15))
def test_whatever_breaks_no_busy_symbol_moves(turns: list[tuple[set[int], set[str]]]) -> None:
    """And each has one owner all the time."""
    terminals = Terminals()
    terminals.look(0.0)
    for turn, (fit, busy) in enumerate(turns, 1):
        now = turn * 4.0
        before, terminals.busy = terminals.owners(), busy
        terminals.fit = [
            (since if since is not None else now) if n in fit else None for n, since in enumerate(terminals.fit)
        ]
        terminals.look(now)
        assert all(terminals.sharing.owner(name) == before[name] for name in busy)
        assert None not in terminals.owners().values()
