"""The trading engine's settings."""

from typing import Self

from pydantic import Field, SecretStr, field_validator, model_validator

from mesh.config import ServerSettings
from mesh.orders import volume
from services.trading_engine.domain.order import AccountId
from services.trading_engine.domain.strategies import STRATEGIES

_HOUR_MS = 3_600_000


class EngineSettings(ServerSettings):
    """What the trading engine can be told."""

    port: int = Field(8007, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    nats_url: SecretStr = Field(
        SecretStr("nats://127.0.0.1:4222"), description="NATS, where engines ask each other and strategies hear ticks."
    )
    signal_valid_ms: int = Field(
        5_000,
        ge=100,
        le=_HOUR_MS,
        description="How long a signal may wait to be sent, when it does not say; a strategy's never say. Where entries"
        " are confirmed on the PC, give a person time to look: minutes.",
    )
    signal_valid_max_ms: int = Field(
        _HOUR_MS, ge=100, le=_HOUR_MS, description="The longest that a signal may ask for; an hour at most."
    )
    lane_valid_ms: int = Field(
        5_000, ge=500, le=60_000, description="How long an agent may execute after the engine's last sign of life."
    )
    strategy: str = Field("", description="Strategy that is switched on: 'bollinger'; empty: none.")
    strategy_account: str = Field("", description="Account that the strategy trades: LOGIN@SERVER.")
    strategy_symbols: tuple[str, ...] = Field((), description="Symbols that it trades; empty: all of the account's.")
    strategy_volume: str = Field("0.01", description="Lots that it enters with.")
    strategy_pause_s: float = Field(
        10.0, ge=0, description="How long a symbol rests after an order of the strategy was not filled, seconds."
    )

    @field_validator("strategy")
    @classmethod
    def _known(cls, name: str) -> str:
        if name and name not in STRATEGIES:
            raise ValueError(f"no strategy is called {name!r}; known are {', '.join(sorted(STRATEGIES))}")
        return name

    @field_validator("strategy_volume")
    @classmethod
    def _a_volume(cls, text: str) -> str:
        volume("strategy_volume", text)
        return text

    @field_validator("strategy_account")
    @classmethod
    def _an_account(cls, text: str) -> str:
        if text:
            _account(text)
        return text

    @model_validator(mode="after")
    def _usual_is_allowed(self) -> Self:
        if self.signal_valid_ms > self.signal_valid_max_ms:
            raise ValueError(f"'signal_valid_ms' is longer than 'signal_valid_max_ms', {self.signal_valid_max_ms}")
        return self

    @model_validator(mode="after")
    def _strategy_has_an_account(self) -> Self:
        if self.strategy and not self.strategy_account:
            raise ValueError("'strategy' is on: say in 'strategy_account' which account it trades, as LOGIN@SERVER")
        return self

    @property
    def traded_account(self) -> AccountId:
        """The strategy's account."""
        return _account(self.strategy_account)


def _account(text: str) -> AccountId:
    login, _, server = text.partition("@")
    if not (login.isascii() and login.isdigit() and int(login) and server):
        raise ValueError(f"{text!r} is no account; write LOGIN@SERVER")
    return AccountId(server, int(login))
