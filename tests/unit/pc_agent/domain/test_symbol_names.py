"""What the mesh calls a symbol, and what the broker calls it."""

from hypothesis import given
from hypothesis import strategies as st

from pc_agent.domain.symbol_names import NameRules, SymbolNames

SUFFIX = NameRules(suffixes=(".r", ".raw"))


def learned(rules: NameRules, *names: str) -> dict[str, str]:
    """The broker's names and what they become."""
    known = SymbolNames(rules)
    known.learn(names)
    assert all(known.broker(known.mesh(name)) == name for name in names)
    return {name: known.mesh(name) for name in names}


def test_what_the_broker_adds_is_taken_off() -> None:
    """Before and behind; a name that nothing was added to stays as it is."""
    rules = NameRules(prefixes=("m",), suffixes=(".r",))
    assert learned(rules, "EURUSD.r", "mGBPUSD", "mXAU.r", "DAX") == {
        "EURUSD.r": "EURUSD", "mGBPUSD": "GBPUSD", "mXAU.r": "XAU", "DAX": "DAX",
    }  # fmt: skip


def test_a_symbol_that_bears_the_name_itself_has_it() -> None:
    """The other one keeps its own."""
    assert learned(SUFFIX, "EURUSD.r", "EURUSD") == {"EURUSD.r": "EURUSD.r", "EURUSD": "EURUSD"}


def test_of_two_that_would_be_called_the_same_the_first_rule_counts() -> None:
    """However the broker sorts them."""
    wanted = {"EURUSD.r": "EURUSD", "EURUSD.raw": "EURUSD.raw"}
    assert learned(SUFFIX, "EURUSD.raw", "EURUSD.r") == learned(SUFFIX, "EURUSD.r", "EURUSD.raw") == wanted


def test_a_name_that_is_given_beats_the_symbol_that_bears_it() -> None:
    """That one can still be told apart: no position in it is taken for one in the other."""
    rules = NameRules({"EURUSD": "EURUSD.ecn"})
    assert learned(rules, "EURUSD", "EURUSD.ecn") == {"EURUSD": "=EURUSD", "EURUSD.ecn": "EURUSD"}


def test_a_symbol_that_the_broker_has_not_got_is_called_as_it_is() -> None:
    """So a question about it names it."""
    known = SymbolNames(SUFFIX)
    known.learn(["EURUSD.r"])
    assert (known.broker("GOLD"), known.mesh("GOLD"), known.mesh("EURUSD")) == ("GOLD", "GOLD", "=EURUSD")


@given(
    st.sets(st.text("AB.rm", min_size=1, max_size=5), max_size=12),
    st.dictionaries(st.sampled_from(["A", "B", "AB"]), st.text("AB.r", min_size=1, max_size=4), max_size=3),
)
def test_names_go_both_ways_one_to_one(names: set[str], given_names: dict[str, str]) -> None:
    """Whatever the broker calls its symbols."""
    if len(set(given_names.values())) < len(given_names):
        return
    rules = NameRules(given_names, ("m",), (".r", "r"))
    found = learned(rules, *names)
    assert len(set(found.values())) == len(names)
