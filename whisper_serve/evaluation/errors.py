"""What can go wrong in an evaluation.

EvaluationError
├── CorpusError   the corpus cannot be read
├── BadSystem     a system that is not known, or that cannot run here
├── SystemFailed  a system did not answer, or answered an error
└── NoMarkers     a page has no place for the tables
"""

from __future__ import annotations


class EvaluationError(Exception):
    """The base of this package's errors; its message is a sentence for the person at the terminal."""


class CorpusError(EvaluationError):
    """The message says what is missing, and for a manifest in which line and column."""


class BadSystem(EvaluationError):
    """The message says which systems there are, or what this one lacks."""


class SystemFailed(EvaluationError):
    """The reason goes into the report; the other systems are measured on."""


class NoMarkers(EvaluationError):
    """The message says between which lines of which page the tables would go."""
