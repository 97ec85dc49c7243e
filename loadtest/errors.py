"""What stops a load test before it has begun, or is wrong with its files.

LoadTestError
├── BadThresholds   the thresholds file cannot be used
├── BadShape        the shape's numbers do not go together
├── BadPlace        a file cannot be written where it should be
├── BadResults      a file of results cannot be read
└── NotStarted      the servers or Locust did not start
"""

from __future__ import annotations


class LoadTestError(Exception):
    """The base; its message is a sentence for the person at the terminal."""


class BadThresholds(LoadTestError):
    """The thresholds file cannot be used."""


class BadShape(LoadTestError):
    """The shape's numbers do not go together."""


class BadPlace(LoadTestError):
    """A file cannot be written where it should be."""


class BadResults(LoadTestError):
    """A file of results cannot be read."""


class NotStarted(LoadTestError):
    """The servers or Locust did not start."""
