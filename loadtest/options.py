"""The options of `python -m loadtest`."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from loadtest.endpoints import ENDPOINTS
from loadtest.shapes import SHAPES

HERE: Final = Path(__file__).parent
ROOT: Final = HERE.parent
UNITS: Final = {"": 1, "s": 1, "m": 60, "h": 3600}
EPILOG: Final = """examples:
  python -m loadtest --model trial --shape steady --time 3m --peak 5
  python -m loadtest --model trial --shape soak --time 8h --users RestUser,GrpcUser
  python -m loadtest --url http://whisper.example --grpc whisper.example:9000 --machine "2 × L4" --users RestUser

exit codes: 0 all thresholds were kept, 1 some were not, 2 there was no run
"""


@dataclass(frozen=True, slots=True)
class Options:
    """What a run is asked."""

    model: str
    device: str
    store: Path | None
    url: str | None
    grpc: str
    torchserve_url: str
    torchserve_grpc: str
    machine: str
    users: tuple[str, ...]
    shape: str
    seconds: float
    peak: int
    corpus: Path
    thresholds: Path
    reports: Path
    markdown: Path | None
    marker: str
    svg: Path | None
    locust: str
    more: tuple[str, ...]


def read_options(arguments: Sequence[str]) -> Options:
    """The command line; argparse's own way out on a bad one."""
    given = vars(_parser().parse_args(arguments))
    return Options(**{**given, "more": tuple(given["more"]), "marker": f"loadtest:{given['marker']}"})


def seconds_of(text: str) -> float:
    """A duration such as ``90``, ``90s``, ``3m`` or ``1.5h``, in seconds.

    >>> seconds_of("3m"), seconds_of("1.5h"), seconds_of("20")
    (180.0, 5400.0, 20.0)
    """
    found = re.fullmatch(r"([0-9.]+)([smh]?)", text)
    try:
        seconds = float(found[1]) * UNITS[found[2]] if found else 0.0
    except ValueError:
        seconds = 0.0
    if not seconds:
        raise argparse.ArgumentTypeError(f"{text!r} is no duration such as 90s, 3m or 1.5h")
    return seconds


def users_of(text: str) -> tuple[str, ...]:
    """Classes of users, separated by commas or spaces."""
    users = tuple(re.findall(r"[^\s,]+", text))
    if unknown := [each for each in users if each not in ENDPOINTS]:
        raise argparse.ArgumentTypeError(f"there is no {unknown[0]}: choose of {', '.join(ENDPOINTS)}")
    return users


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m loadtest",
        description="Load servers with real clips, check every text, and hold the times against thresholds.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_target(parser)
    _add_load(parser)
    _add_output(parser)
    parser.add_argument("more", nargs="*", help="more for Locust, after --")
    return parser


def _add_target(parser: argparse.ArgumentParser) -> None:
    own = parser.add_argument_group("what is tested: servers of its own")
    own.add_argument("--model", default="default", help="a name, a path, trial or default [%(default)s]")
    own.add_argument("--device", default="cpu", help="cpu or cuda [%(default)s]")
    own.add_argument("--store", type=Path, help="folder of the model archive [one for this run alone]")
    other = parser.add_argument_group("or servers that run already")
    other.add_argument("--url", help="the gateway's address; --model then only says what it serves")
    other.add_argument("--grpc", default="127.0.0.1:9000", help="the gateway's gRPC [%(default)s]")
    other.add_argument("--torchserve-url", default="http://127.0.0.1:8080", help="TorchServe's REST [%(default)s]")
    other.add_argument("--torchserve-grpc", default="127.0.0.1:7070", help="TorchServe's gRPC [%(default)s]")
    other.add_argument("--machine", default="a machine that was not described", help="what they run on")


def _add_load(parser: argparse.ArgumentParser) -> None:
    load = parser.add_argument_group("load")
    load.add_argument("--users", type=users_of, default=(), help=f"some of {', '.join(ENDPOINTS)} [all]")
    load.add_argument("--shape", choices=sorted(SHAPES), default="steady", help="how the load changes [%(default)s]")
    load.add_argument("--time", type=seconds_of, dest="seconds", default="60s", help="length of the run [%(default)s]")
    load.add_argument("--peak", type=int, default=6, help="most users at a time [%(default)s]")
    load.add_argument(
        "--corpus", type=Path, default=ROOT / "tests" / "data", help="folder of clips with manifest.tsv [tests/data]"
    )
    load.add_argument("--locust", default=_locust(), help="the command [%(default)s]")


def _add_output(parser: argparse.ArgumentParser) -> None:
    output = parser.add_argument_group("what comes of it")
    output.add_argument(
        "--thresholds", type=Path, default=HERE / "thresholds.yaml", help="what to keep to [loadtest/thresholds.yaml]"
    )
    output.add_argument("--reports", type=Path, default=Path("reports"), help="folder for reports [%(default)s]")
    output.add_argument("--markdown", type=Path, help="write the tables into this page too")
    output.add_argument("--marker", default="steady", help="between <!-- loadtest:MARKER --> and its end [%(default)s]")
    output.add_argument("--svg", type=Path, help="draw the requests into this file; the page shows it")


def _locust() -> str:
    """Locust of its own environment where the Makefile has made it, or else the one on the path."""
    own = ROOT / ".venv-loadtest" / "bin" / "locust"
    return os.environ.get("LOCUST") or (str(own) if own.is_file() else "locust")
