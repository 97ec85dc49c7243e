"""What `make audit` makes of pip-audit's answers."""

from __future__ import annotations

import pytest

from scripts.audit import Verdict, judge

FOUND = "Found 1 known vulnerability in 1 package\n"
UNREACHABLE = "ERROR:pip_audit._cli:Max retries exceeded with url: /pypi/av/18.0.0/json\n"
UNKNOWN_THERE = "ERROR:pip_audit._cli:av: Dependency not found on PyPI and could not be audited: av (18.0.0)\n"


@pytest.mark.parametrize(
    ("code", "errors", "verdict"),
    [
        (0, "No known vulnerabilities found\n", Verdict.CLEAN),
        (1, FOUND, Verdict.VULNERABLE),
        (1, UNREACHABLE, Verdict.UNKNOWN),
        (1, UNKNOWN_THERE, Verdict.UNKNOWN),
        (1, "Traceback (most recent call last):\nrequests.exceptions.ConnectionError: no\n", Verdict.UNKNOWN),
    ],
)
def test_only_a_database_that_was_asked_says_anything(code: int, errors: str, verdict: Verdict) -> None:
    assert judge(code, errors) is verdict
