"""How Windows tells a program that it is to end: its console closes, or the person logs off. Elsewhere: by signals."""

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

if sys.platform == "win32":
    import ctypes
    from ctypes import wintypes

    # Windows ends the process when the handler returns, and at the latest some 5 s after it was called.
    _GRACE_S = 4.5
    _CTRL_CLOSE, _CTRL_LOGOFF, _CTRL_SHUTDOWN = 2, 5, 6
    _WM_CLOSE, _WM_QUERYENDSESSION, _WM_ENDSESSION = 0x10, 0x11, 0x16
    _ConsoleHandler = ctypes.WINFUNCTYPE(wintypes.BOOL, wintypes.DWORD)
    _LRESULT = ctypes.c_ssize_t
    _WindowProcedure = ctypes.WINFUNCTYPE(_LRESULT, wintypes.HWND, wintypes.UINT, wintypes.WPARAM, wintypes.LPARAM)

    class _WindowClass(ctypes.Structure):
        _fields_ = (
            ("style", wintypes.UINT),
            ("procedure", _WindowProcedure),
            ("class_extra", ctypes.c_int),
            ("window_extra", ctypes.c_int),
            ("instance", wintypes.HINSTANCE),
            ("icon", wintypes.HICON),
            ("cursor", wintypes.HANDLE),
            ("background", wintypes.HBRUSH),
            ("menu_name", wintypes.LPCWSTR),
            ("class_name", wintypes.LPCWSTR),
        )

    @contextmanager
    def told_to_end(stop: Callable[[], None]) -> Iterator[None]:
        """Call `stop`, from another thread, when the console closes or the session ends; Windows then waits a moment
        for the block to end."""
        ended = threading.Event()

        def console_event(event: int) -> bool:
            if event not in (_CTRL_CLOSE, _CTRL_LOGOFF, _CTRL_SHUTDOWN):
                return False
            stop()
            ended.wait(_GRACE_S)
            return True

        handler = _ConsoleHandler(console_event)
        kernel = ctypes.WinDLL("kernel32", use_last_error=True)
        kernel.SetConsoleCtrlHandler(handler, True)
        window = threading.Thread(target=_watch_session, args=(stop, ended), name="session's end", daemon=True)
        window.start()
        try:
            yield
        finally:
            ended.set()
            kernel.SetConsoleCtrlHandler(handler, False)

    def _watch_session(stop: Callable[[], None], ended: threading.Event) -> None:
        """Only a window hears of the session's end where there is no console, or once user32 is loaded."""
        user = ctypes.WinDLL("user32", use_last_error=True)
        user.DefWindowProcW.restype = _LRESULT
        user.DefWindowProcW.argtypes = (wintypes.HWND, wintypes.UINT, wintypes.WPARAM, wintypes.LPARAM)
        user.CreateWindowExW.restype = wintypes.HWND

        def hear(window: int, message: int, first: int, second: int) -> int:
            if message == _WM_QUERYENDSESSION:
                return 1
            if (message == _WM_ENDSESSION and first) or message == _WM_CLOSE:
                stop()
                ended.wait(_GRACE_S)
                return 0
            found: int = user.DefWindowProcW(window, message, first, second)
            return found

        procedure = _WindowProcedure(hear)
        made = _WindowClass(procedure=procedure, class_name="suho-session")
        user.RegisterClassW(ctypes.byref(made))
        # Never shown; a message-only window would not be told.
        if not user.CreateWindowExW(0, "suho-session", "suho", 0, 0, 0, 0, 0, None, None, None, None):
            return
        message = wintypes.MSG()
        while user.GetMessageW(ctypes.byref(message), None, 0, 0) > 0:
            user.DispatchMessageW(ctypes.byref(message))

else:

    @contextmanager
    def told_to_end(stop: Callable[[], None]) -> Iterator[None]:
        """There is nothing to hear: signals tell it."""
        yield
