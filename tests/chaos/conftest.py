"""Faults in the real processes: TorchServe with the base model, and the gateway."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.chaos.load import Clip
from tests.chaos.report import MARKER, Report
from tests.chaos.trial import Lab
from tests.e2e.stack import Stack, run_stack
from whisper_serve.evaluation.corpus import Sample
from whisper_serve.evaluation.markers import write_between_markers

CLIPS: Final = ("en-jfk.mp3", "de-common-voice-17922420.mp3", "fr-common-voice-20046123.mp3")
WINDOW_SECONDS: Final = 15
"""How long a window may take at one address: less than by default, so that what hangs is noticed sooner."""
_REPORT = pytest.StashKey[Report]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--markdown", type=Path, help=f"write the tables between the markers {MARKER} of this file")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_REPORT] = Report()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, exitstatus: int, config: pytest.Config) -> None:
    report = config.stash[_REPORT]
    if not report.outcomes and not report.starts:
        return
    terminalreporter.section("faults")
    terminalreporter.write_line(report.markdown())
    path: Path | None = config.getoption("--markdown")
    if path is None:
        return
    if exitstatus != pytest.ExitCode.OK or terminalreporter.stats.get("deselected"):
        terminalreporter.write_line(f"{path} is left as it was: not every fault was tried, or something failed.")
    else:
        write_between_markers(path, MARKER, report.markdown())


@pytest.fixture(scope="session")
def stack(archive: Path) -> Iterator[Stack]:
    """TorchServe and the gateway, for all faults that they recover from."""
    with run_stack(archive.parent, WHISPER_WINDOW_TIMEOUT=str(WINDOW_SECONDS)) as running:
        yield running


@pytest.fixture(scope="session")
def report(pytestconfig: pytest.Config) -> Report:
    return pytestconfig.stash[_REPORT]


@pytest.fixture(scope="session")
def lab(stack: Stack, clips: dict[str, Sample], report: Report) -> Lab:
    """With the texts that are answered while nothing is wrong."""
    contents = {name: clips[name].path.read_bytes() for name in CLIPS}
    sent = [Clip(name, content, stack.text(content).text) for name, content in contents.items()]
    return Lab(sent, report)


@pytest.fixture(scope="session")
def root() -> None:
    """Skips where the test may not mount and make networks."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
