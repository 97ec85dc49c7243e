"""`make fuzz`: mutations of the seeds, guided by which lines of ours they reach, until one breaks a target.

A target is broken by an exception that is not documented, by an input that takes HANG_SECONDS, and by more memory than
MEMORY_MB. Each runs in a process of its own, as libFuzzer ends the process. What broke it is kept in .fuzz/.
"""

from __future__ import annotations

import argparse
import logging
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

HANG_SECONDS: Final = 10
MEMORY_MB: Final = 2048
LONGEST_BYTES: Final = 65_536
FOUND: Final = Path(".fuzz")


def main(arguments: Sequence[str] | None = None) -> int:
    """Fuzz the targets one after the other; the number of those that broke."""
    from tests.fuzz.targets import TARGETS

    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"{', '.join(TARGETS)}; default: all")
    parser.add_argument("--seconds", type=int, default=60, help="for each target; default: 60")
    asked = parser.parse_args(arguments)
    if unknown := set(asked.targets) - TARGETS.keys():
        parser.error(f"there is no target {sorted(unknown)[0]!r}")
    return sum(_run(name, asked.seconds) for name in asked.targets or TARGETS)


def _run(name: str, seconds: int) -> bool:
    """Fuzz one target: whether it broke."""
    FOUND.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as corpus:
        code = "import sys; from tests.fuzz.__main__ import fuzz; fuzz(sys.argv[1], sys.argv[2:])"
        options = [
            f"-max_total_time={seconds}",
            f"-timeout={HANG_SECONDS}",
            f"-rss_limit_mb={MEMORY_MB}",
            f"-max_len={LONGEST_BYTES}",
            f"-artifact_prefix={FOUND}/{name}-",
            "-print_final_stats=1",
        ]
        print(f"{name}: {seconds} s", flush=True)
        done = subprocess.run([sys.executable, "-c", code, name, corpus, *options], check=False)
    print(f"{name}: {'broken' if done.returncode else 'not broken'}", flush=True)
    return done.returncode != 0


def fuzz(name: str, options: Sequence[str]) -> None:
    """Does not return; `options` are libFuzzer's, the folder of the corpus first."""
    import atheris

    with atheris.instrument_imports(include=["whisper_serve"]):
        from tests.fuzz.targets import TARGETS
    from tests.fuzz.seeds import SEEDS

    for number, seed in enumerate(SEEDS[name]()):
        (Path(options[0]) / str(number)).write_bytes(seed)
    logging.disable()  # The parser of forms tells of each form that it refuses.
    atheris.Setup([name, *options], TARGETS[name])
    atheris.Fuzz()


if __name__ == "__main__":
    sys.exit(main())
