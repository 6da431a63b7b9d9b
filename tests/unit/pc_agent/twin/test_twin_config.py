"""Settings of the twin that are more than one value."""

import tomllib

import pytest
from pydantic import ValidationError

from pc_agent.twin.config import TwinSettings
from pc_agent.twin.domain.terms import Terms


def settings(terms: str) -> TwinSettings:
    given = tomllib.loads(f"[terms]\n{terms}")
    return TwinSettings.model_validate({"folder": "twin", "password": "x", **given})


def test_terms_of_one_symbol_stand_over_those_of_all() -> None:
    """What nobody says is as Terms begins."""
    read = settings("'*' = {commission = 3, volume_min = 0.1}\nEURUSD = {volume_min = 1, sessions = 'mon 00:00-24:00'}")
    assert read.terms_of("EURUSD") == Terms(commission=3.0, volume_min=1.0, sessions="mon 00:00-24:00")
    assert read.terms_of("USDJPY") == Terms(commission=3.0, volume_min=0.1)


@pytest.mark.parametrize(
    ("terms", "said"),
    [
        ("EURUSD = {spread = 1}", "EURUSD: spread is no term"),
        ("EURUSD = {volume_min = 'much'}", "EURUSD: volume_min"),
        ("'*' = {volume_step = 0.1, volume_min = 0.1}\nEURUSD = {volume_min = 0.01}", "EURUSD: volume_step"),
        ("'*' = {sessions = 'always'}", "'always' is no session"),
    ],
)
def test_terms_that_make_no_sense_are_a_wrong_setting(terms: str, said: str) -> None:
    """Said with the symbol and the term."""
    with pytest.raises(ValidationError, match=said):
        settings(terms)
