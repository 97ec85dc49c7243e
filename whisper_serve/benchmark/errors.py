"""What can go wrong in a benchmark.

BenchmarkError
├── BadPlan       what was asked for cannot be measured
├── Unavailable   a system cannot run here
└── WorkerFailed  a system's process did not start, or died, or reported an error
"""

from __future__ import annotations


class BenchmarkError(Exception):
    """The base of this package's errors; its message is a sentence for the person at the terminal."""


class BadPlan(BenchmarkError):
    """An unknown system, or a file that the results cannot be written to."""


class Unavailable(BenchmarkError):
    """The reason goes into the table; the other systems are measured."""


class WorkerFailed(BenchmarkError):
    """The reason goes into the table; the other systems are measured on."""
