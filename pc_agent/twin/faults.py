"""Lets faults happen in the terminal, between client and broker: they outlive the client that meets them."""

import random
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from pc_agent.twin import constants as mt5
from pc_agent.twin.domain.faults import FUNCTIONS, ORDER, Fault, FaultError, FaultPlan, Scripted, Trouble, parse_chances
from pc_agent.twin.domain.interference import Fate, Happening
from pc_agent.twin.domain.retcode_words import RETCODE_WORDS
from pc_agent.twin.results import OrderSendResult, TradeRequest
from pc_agent.twin.wire import TerminalError

_WORDS = {
    mt5.RES_E_FAIL: "Terminal: Call failed",
    mt5.RES_E_INTERNAL_FAIL_SEND: "IPC send failed",
    mt5.RES_E_INTERNAL_FAIL_RECEIVE: "IPC recv failed",
    mt5.RES_E_INTERNAL_FAIL_INIT: "IPC initialize failed, Pipe server didn't answer in 60 sec",
    mt5.RES_E_INTERNAL_FAIL_CONNECT: "No IPC connection",
    mt5.RES_E_INTERNAL_FAIL_TIMEOUT: "IPC timeout",
}


class Faults:
    """An Interference; called by one thread a client, outside the terminal's lock.

    `latency_ms` is how long a trade request is on its way to the broker, give or take half of it.
    """

    def __init__(self, chances: tuple[str, ...] = (), seed: int = 1, latency_ms: float = 0.0) -> None:
        """Raises FaultError when `chances` are none."""
        self._plan = FaultPlan(parse_chances(chances), seed)
        self._latency_s = latency_ms / 1000
        self._random = random.Random(seed)
        self._lock = threading.Lock()
        self._hanging = threading.Event()  # replaced when those who wait for it are let go
        self._of_order = threading.local()
        self._happenings: list[Happening] = []
        functions: tuple[Callable[..., Any], ...] = (
            self.script_fault, self.set_faults, self.clear_faults, self.fault_counts,
        )  # fmt: skip
        self.functions = {function.__name__: function for function in functions}

    # Interference

    def happenings(self) -> Sequence[Happening]:
        with self._lock:
            met, self._happenings = self._happenings, []
        return met

    def before_call(self, function: str) -> None:
        if function == ORDER or function not in FUNCTIONS:
            return
        with self._lock:
            fault = self._drawn(function, "")
        self._meet(fault.before)

    def before_order(self, request: TradeRequest) -> Fate:
        with self._lock:
            fault = self._drawn(ORDER, request.symbol)
            on_its_way = self._latency_s * self._random.uniform(0.5, 1.5)
        if on_its_way:
            time.sleep(on_its_way)
        self._of_order.fault = fault
        self._meet(fault.before)
        found = request.volume * fault.share if fault.share < 1 else None
        return Fate(retcode=fault.before.retcode, slippage_points=fault.slippage_points, liquidity=found)

    def after_order(self, request: TradeRequest, result: OrderSendResult) -> OrderSendResult:
        fault: Fault = self._of_order.fault
        self._meet(fault.after)
        told = fault.after.retcode
        if not told:
            return result
        return OrderSendResult(
            told, 0, 0, 0.0, 0.0, result.bid, result.ask, RETCODE_WORDS.get(told, ""), result.request_id, 0, request
        )

    def _drawn(self, function: str, symbol: str) -> Fault:
        fault = self._plan.draw(function, symbol)
        if fault.offline_s or fault.corrects:
            correction = self._random.random() if fault.corrects else None
            self._happenings.append(Happening(fault.offline_s, correction))
        return fault

    def _meet(self, trouble: Trouble) -> None:
        if trouble.delay_s:
            time.sleep(trouble.delay_s)
        if trouble.hang:
            self._hanging.wait()
        if trouble.hang or trouble.cut:
            raise ConnectionError("the client is hung up on")
        if trouble.error:
            raise TerminalError(trouble.error, _WORDS[trouble.error])

    # What the twin is asked by those who started it

    def script_fault(self, fields: dict[str, Any]) -> None:
        """Fields of domain.faults.Scripted."""
        try:
            with self._lock:
                self._plan.script(Scripted(**fields))
        except FaultError as error:
            raise TerminalError(mt5.RES_E_INVALID_PARAMS, str(error)) from None

    def set_faults(self, chances: tuple[str, ...], seed: int, latency_ms: float) -> None:
        """As the settings say it; what is scripted stays."""
        try:
            parsed = parse_chances(chances)
        except FaultError as error:
            raise TerminalError(mt5.RES_E_INVALID_PARAMS, str(error)) from None
        with self._lock:
            self._plan.chance(parsed, seed)
            self._latency_s = latency_ms / 1000

    def clear_faults(self) -> None:
        """Nothing goes wrong any more, and whoever hangs is hung up on."""
        with self._lock:
            self._plan.clear()
            self._latency_s = 0.0
            self._happenings.clear()
            hanging, self._hanging = self._hanging, threading.Event()
        hanging.set()

    def fault_counts(self) -> dict[str, int]:
        """How often each fault has befallen a call."""
        with self._lock:
            return dict(self._plan.befell)
