"""What the twin terminal can be told."""

from pathlib import Path

from pydantic import Field, SecretStr

from mesh.config import ProgramSettings


class TwinSettings(ProgramSettings):
    """The terminal's folder, its market and its one demo account."""

    folder: Path = Field(description="Folder that this terminal owns: market, account, orders, deals, endpoint.")
    feeds: tuple[str, ...] = Field(
        ("synthetic",), min_length=1, description="'synthetic', or 'SYMBOL=FILE' for each file to replay."
    )
    hidden: tuple[str, ...] = Field(
        (), description="Symbols of the feeds that the terminal does not show until it is told to: they appear later."
    )
    speed: str = Field(
        "1",
        coerce_numbers_to_str=True,
        description="How many times faster than it happened the market runs; 'max': all at once, as history.",
    )
    seed: int = Field(1, ge=0, lt=2**32, description="Seed of the synthetic market.")
    login: int = Field(1_000_001, gt=0, description="Number of the demo account.")
    password: SecretStr = Field(min_length=1, description="Password of the demo account.")
    balance: float = Field(100_000.0, gt=0, description="Money in the account when it is opened.")
    currency: str = Field("USD", pattern="^[A-Z]{3}$", description="Currency of the account.")
    leverage: int = Field(100, ge=1, le=1000, description="Leverage of the account.")
