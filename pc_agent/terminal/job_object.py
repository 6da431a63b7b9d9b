"""Windows' job objects: limits for a process and everything that it starts."""

import ctypes
import os
import sys
from ctypes import wintypes

_EXTENDED_LIMITS, _CPU_RATE = 9, 15
_LIMIT_JOB_MEMORY = 0x200
_CPU_RATE_ENABLE, _CPU_RATE_HARD_CAP = 0x1, 0x4
_MB = 1 << 20


class _BasicLimits(ctypes.Structure):
    _fields_ = (
        ("per_process_user_time", ctypes.c_int64),
        ("per_job_user_time", ctypes.c_int64),
        ("flags", ctypes.c_uint32),
        ("minimum_working_set", ctypes.c_size_t),
        ("maximum_working_set", ctypes.c_size_t),
        ("active_processes", ctypes.c_uint32),
        ("affinity", ctypes.c_size_t),
        ("priority_class", ctypes.c_uint32),
        ("scheduling_class", ctypes.c_uint32),
    )


class _ExtendedLimits(ctypes.Structure):
    _fields_ = (
        ("basic", _BasicLimits),
        ("io", ctypes.c_uint64 * 6),
        ("process_memory", ctypes.c_size_t),
        ("job_memory", ctypes.c_size_t),
        ("peak_process_memory", ctypes.c_size_t),
        ("peak_job_memory", ctypes.c_size_t),
    )


class _CpuRate(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint32), ("rate", ctypes.c_uint32))


def cpu_rate(percent_of_one: float, processors: int) -> int:
    """In hundredths of a percent of all processors, as a job counts."""
    return max(1, min(10_000, round(percent_of_one * 100 / processors)))


if sys.platform == "win32":

    def put_in_job(cpu_percent: float, memory_mb: float) -> None:
        """This process, and what it starts from here on; 0: no such limit.

        The job lives as long as a process is in it: a terminal outlives the worker that started it.

        Raises:
            OSError: Windows refuses.
        """
        kernel = ctypes.WinDLL("kernel32", use_last_error=True)
        kernel.CreateJobObjectW.restype = wintypes.HANDLE
        kernel.GetCurrentProcess.restype = wintypes.HANDLE
        job = wintypes.HANDLE(_held(kernel.CreateJobObjectW(None, None)))
        if memory_mb:
            limits = _ExtendedLimits(job_memory=int(memory_mb * _MB))
            limits.basic.flags = _LIMIT_JOB_MEMORY
            _held(kernel.SetInformationJobObject(job, _EXTENDED_LIMITS, ctypes.byref(limits), ctypes.sizeof(limits)))
        if cpu_percent:
            rate = _CpuRate(_CPU_RATE_ENABLE | _CPU_RATE_HARD_CAP, cpu_rate(cpu_percent, os.cpu_count() or 1))
            _held(kernel.SetInformationJobObject(job, _CPU_RATE, ctypes.byref(rate), ctypes.sizeof(rate)))
        _held(kernel.AssignProcessToJobObject(job, wintypes.HANDLE(kernel.GetCurrentProcess())))

    def _held(result: int) -> int:
        if not result:
            raise ctypes.WinError(ctypes.get_last_error())
        return result
