"""What the twin terminal can be told."""

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, SecretStr, field_validator

from mesh.config import ProgramSettings
from pc_agent.twin.domain.faults import parse_chances
from pc_agent.twin.domain.terms import Terms
from pc_agent.twin.term_reader import TermsError, read_terms

EVERY_SYMBOL = "*"


class TwinSettings(ProgramSettings):
    """The terminal's folder, its market and its one account."""

    folder: Path = Field(description="Folder that this terminal owns: market, account, orders, deals, endpoint.")
    feeds: tuple[str, ...] = Field(
        ("synthetic",), min_length=1, description="'synthetic', or 'SYMBOL=FILE' for each file to replay."
    )
    hidden: tuple[str, ...] = Field(
        (), description="Symbols of the feeds that the terminal does not show until it is told to: they appear later."
    )
    suffix: str = Field(
        "", pattern=r"^[A-Za-z0-9._#+-]{0,8}$", description="What the broker appends to symbol names, such as '.r'."
    )
    speed: str = Field(
        "1",
        coerce_numbers_to_str=True,
        description="How many times faster than it happened the market runs; 'max': all at once, as history.",
    )
    seed: int = Field(1, ge=0, lt=2**32, description="Seed of the synthetic market.")
    login: int = Field(1_000_001, gt=0, description="Number of the account.")
    password: SecretStr = Field(min_length=1, description="Password of the account.")
    balance: float = Field(100_000.0, gt=0, description="Money in the account when it is opened.")
    currency: str = Field("USD", pattern="^[A-Z]{3}$", description="Currency of the account.")
    leverage: int = Field(100, ge=1, le=1000, description="Leverage of the account.")
    margin_mode: Literal["netting", "exchange", "hedging"] = Field(
        "netting", description="How positions are kept: one a symbol (netting, exchange) or one a trade (hedging)."
    )
    trade_mode: Literal["demo", "contest", "real"] = Field("demo", description="What kind of account it says it is.")
    fifo_close: bool = Field(False, description="Whether a hedging account closes a symbol's oldest position first.")
    hedge_prohibited: bool = Field(False, description="Whether a hedging account refuses to open opposite positions.")
    limit_orders: int = Field(200, ge=0, description="Pending orders at a time; 0: any number.")
    limit_positions: int = Field(0, ge=0, description="Open positions at a time; 0: any number.")
    requests_per_s: int = Field(0, ge=0, description="Trade requests a second before too many; 0: any number.")
    margin_call: float = Field(50.0, ge=0, description="Margin level of the margin call, in per cent.")
    stop_out: float = Field(30.0, ge=0, description="Margin level under which positions are closed, in per cent.")
    durability: Literal["process", "power"] = Field(
        "process",
        description="What each trade survives when it is answered: the death of the process, or of the machine too.",
    )
    latency_ms: float = Field(
        0.0,
        ge=0,
        le=60_000,
        description="How long a trade request is on its way to the broker, give or take half of it.",
    )
    faults: tuple[str, ...] = Field(
        (),
        description="What goes wrong by chance: 'FAULT=PROBABILITY' of trade requests, such as 'requote=0.05', or"
        " 'FUNCTION:FAULT=PROBABILITY'; docs/twin.md lists the faults.",
    )
    fault_seed: int = Field(1, ge=0, lt=2**32, description="Seed of the faults and of the latency.")
    terms: dict[str, dict[str, Any]] = Field(
        {},
        description="Terms by symbol (the feed's name, or '*' for all) such as trade_stops_level, trade_mode,"
        " filling_mode, commission, swap_long, liquidity, sessions = 'mon-fri 00:05-23:55'; only in a file.",
    )

    @field_validator("faults")
    @classmethod
    def _faults_are_known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        parse_chances(value)
        return value

    @field_validator("terms")
    @classmethod
    def _terms_are_known(cls, value: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        for symbol, given in value.items():
            try:
                read_terms({**value.get(EVERY_SYMBOL, {}), **given})
            except TermsError as error:
                raise ValueError(f"{symbol}: {error}") from None
        return value

    def terms_of(self, symbol: str) -> Terms:
        """Of a symbol by the feed's name: what is said of all, and over it what is said of this one."""
        return read_terms({**self.terms.get(EVERY_SYMBOL, {}), **self.terms.get(symbol, {})})
