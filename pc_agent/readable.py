"""Whether there is something to read on a pipe, for those who ask a thousand times a second.

A connection's own `poll` builds a selector for each question, which takes longer than many an answer.
"""

import sys
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

if sys.platform == "win32":

    def readable(connection: "Connection[Any, Any]") -> Callable[[float], bool]:
        return connection.poll

else:
    import select

    def readable(connection: "Connection[Any, Any]") -> Callable[[float], bool]:
        """Asks with how many seconds to wait at most; the end of the other side, too, is there to be read."""
        poll = select.poll()
        poll.register(connection.fileno(), select.POLLIN)
        return lambda timeout_s: bool(poll.poll(timeout_s * 1000))
