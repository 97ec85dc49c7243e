"""`make audit`: known vulnerabilities of what the lock files pin, by pip-audit.

Ends with 0 if none is known, with 1 if some are, and with 3 if the database cannot be asked. PyTorch is not in the lock
files: see `TORCH` in the Makefile.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from enum import IntEnum
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
_OUT_OF_REACH: Final = ("ConnectionError", "ServiceError", "Max retries exceeded", "Could not connect", "timed out")
"""Words of pip-audit where the database does not answer."""
_SHOWN_CHARACTERS: Final = 300


class Verdict(IntEnum):
    """How an audit ends, as an exit code."""

    CLEAN = 0
    VULNERABLE = 1
    UNKNOWN = 3


def main(arguments: Sequence[str] | None = None) -> int:
    """Audit lock files one after the other, until one cannot be."""
    parser = argparse.ArgumentParser(prog="python -m scripts.audit", description=__doc__)
    parser.add_argument("locks", nargs="*", type=Path, help="lock files; default: all of the project")
    locks = parser.parse_args(arguments).locks or sorted(ROOT.glob("requirements*.lock"))
    worst = Verdict.CLEAN
    for lock in locks:
        verdict = audit(lock)
        if verdict is Verdict.UNKNOWN:
            return verdict
        worst = max(worst, verdict)
    return worst


def audit(lock: Path) -> Verdict:
    """Audit one lock file, and say what was found."""
    # The lock names everything with its hash: nothing has to be resolved or installed. Strict: what the database does
    # not know is an error, not a line among others.
    options = ["--requirement", str(lock), "--require-hashes", "--disable-pip", "--strict", "--progress-spinner", "off"]
    done = subprocess.run([sys.executable, "-m", "pip_audit", *options], check=False, capture_output=True, text=True)
    verdict = judge(done.returncode, done.stderr)
    if verdict is Verdict.UNKNOWN:
        print(f"{lock.name}: the database of vulnerabilities cannot be asked, so nothing is known.", file=sys.stderr)
        print(done.stderr.strip()[-_SHOWN_CHARACTERS:], file=sys.stderr)
    else:
        print(f"{lock.name}: {done.stderr.strip() or 'nothing is known'}\n{done.stdout}".rstrip(), flush=True)
    return verdict


def judge(code: int, errors: str) -> Verdict:
    """What pip-audit's exit code and its words mean."""
    if code == 0:
        return Verdict.CLEAN
    # It ends with 1 for both: what it could not do, and what it found.
    failed = "Traceback" in errors or any(words in errors for words in _OUT_OF_REACH) or "ERROR" in errors
    return Verdict.UNKNOWN if failed else Verdict.VULNERABLE


if __name__ == "__main__":
    sys.exit(main())
