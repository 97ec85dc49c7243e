"""`python -m loadtest`: a load test with servers of its own or of others, judged by thresholds."""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence

from loadtest.errors import LoadTestError
from loadtest.options import read_options
from loadtest.run import run
from whisper_serve.evaluation.errors import EvaluationError


def main(arguments: Sequence[str]) -> int:
    """0: all thresholds were kept; 1: some were not; 2: there was no run."""
    try:
        return 0 if run(read_options(arguments)) else 1
    except (LoadTestError, EvaluationError) as error:
        print(f"loadtest: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    # SIGTERM stops what was started, as Ctrl-C does.
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    sys.exit(main(sys.argv[1:]))
