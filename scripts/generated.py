"""Files that a script makes of others: written, or only compared with what is there."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]


def run(description: str, files: Mapping[Path, str], target: str) -> int:
    """The command line of such a script; the exit code: 1 if with ``--check`` some file is not as it should be.

    Args:
        files: the text of each.
        target: of make, which writes them.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--check", action="store_true", help="write nothing; fail if they are not up to date")
    check = parser.parse_args().check
    stale = [path for path, text in files.items() if not path.is_file() or path.read_text("utf-8") != text]
    if check and stale:
        names = " and ".join(os.path.relpath(path, ROOT) for path in stale)
        print(f"out of date: {names}: make {target}", file=sys.stderr)
        return 1
    for path in stale:
        path.write_text(files[path], "utf-8")
    return 0
