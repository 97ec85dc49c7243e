"""Everything that can go wrong while weights are found, fetched and read.

WeightsError
├── UnknownModel           the name is no official model, no special name and no path
├── SourceNotFound         a path that does not exist
├── UnknownLayout          a file or folder that is none of the formats read here
│   └── QuantizedWeights   weights in integers, from which the float weights cannot be restored
├── IncompatibleWeights    a tensor is missing, unexpected in shape, or contradicts the dimensions
├── WrongHash              what was fetched or read is not what its SHA-256 promises
├── DownloadFailed         the file could not be fetched
│   └── Unreachable        the server could not be reached, or went silent
└── CacheUnusable          the cache folder cannot be written
"""

from __future__ import annotations


class WeightsError(Exception):
    """Base of all errors of this package; the message says what was expected and what was found."""


class UnknownModel(WeightsError):
    """The name is no official model, no special name and no path."""


class SourceNotFound(WeightsError):
    """The path does not exist."""


class UnknownLayout(WeightsError):
    """The file or folder is none of the formats read here, or is damaged."""


class QuantizedWeights(UnknownLayout):
    """The weights are stored as integers; the message says what to convert them to."""


class IncompatibleWeights(WeightsError):
    """A tensor is missing, has the wrong shape or type, or contradicts the dimensions."""


class WrongHash(WeightsError):
    """A SHA-256 is not the pinned one, or not the one that was written with the weights."""

    def __init__(self, what: str, expected: str, found: str) -> None:
        super().__init__(f"{what} has the wrong SHA-256: expected {expected}, found {found}")
        self.expected = expected
        self.found = found


class DownloadFailed(WeightsError):
    """The file could not be fetched."""


class Unreachable(DownloadFailed):
    """The server could not be reached, or stopped answering (a network error, not a refusal)."""


class CacheUnusable(WeightsError):
    """The folder that keeps fetched and converted weights cannot be written, or its disk is full."""
