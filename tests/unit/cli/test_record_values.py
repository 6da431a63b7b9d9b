"""Preferences and records as people write and read them."""

import pytest
import typer
from suho.common.v1 import record_pb2

from cli.record_values import assign, kind_of, shown, table


def test_preferences_are_written_as_they_are_shown() -> None:
    """Switches as on and off, words in small letters; the names that were given are told."""
    preferences = record_pb2.Preferences(theme=record_pb2.THEME_DARK, chart_type=record_pb2.CHART_TYPE_CANDLE)
    named = assign(preferences, ["trade_confirmation=on", "theme=LIGHT", "auto_close_trades=off", "language=pt-BR"])
    assert named == ["trade_confirmation", "theme", "auto_close_trades", "language"]
    assert shown(preferences) == {
        "theme": "light",
        "chart_type": "candle",
        "notifications_enabled": False,
        "language": "pt-BR",
        "auto_close_trades": False,
        "trade_confirmation": True,
    }


@pytest.mark.parametrize(
    ("text", "because"),
    [
        ("trade_confirmation", "NAME=VALUE"),
        ("user_id=x", "trade_confirmation"),
        ("trade_confirmation=maybe", "on or off"),
        ("theme=blue", "dark, light"),
    ],
)
def test_a_value_that_can_not_be_is_told_what_could(text: str, because: str) -> None:
    """Before anybody is asked."""
    with pytest.raises(typer.BadParameter, match=because):
        assign(record_pb2.Preferences(), [text])


def test_a_table_counts_what_would_not_fit() -> None:
    """Thousands of pairs are one number; what is not known is a dash."""
    broker = record_pb2.Broker(name="Broker Ltd", currency_pairs_supported=["EURUSD", "USDJPY"])
    columns, rows = table([record_pb2.Record(broker=broker, updated_by="pc-1")])
    row = dict(zip(columns, rows[0], strict=True))
    assert (row["PAIRS"], row["COMMISSION_PER_LOT"], row["NAME"], row["BY"]) == (2, "-", "Broker Ltd", "pc-1")
    assert kind_of("brokers") == record_pb2.RECORD_KIND_BROKER
    with pytest.raises(typer.BadParameter, match="brokers"):
        kind_of("credentials")
