"""One run: the target, Locust on it, the processes watched meanwhile, and the verdict."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from typing import Final

from loadtest.endpoints import ENDPOINTS
from loadtest.errors import BadPlace, BadShape, NotStarted
from loadtest.growth import trends
from loadtest.options import HERE, ROOT, Options
from loadtest.plot import plot
from loadtest.records import Results
from loadtest.report import markdown
from loadtest.samples import Sampler, write_samples
from loadtest.shapes import SHAPES, SOAK_CYCLE
from loadtest.target import Target, own_servers
from loadtest.thresholds import Check, Thresholds, judge
from whisper_serve.evaluation.markers import picture, split_at_markers, write_between_markers

FINISH_SECONDS: Final = 300
"""What running requests may take at the end."""
RESULTS: Final = "results.json"
SAMPLES: Final = "samples.csv"
MOST_SAMPLES: Final = 2000


def run(options: Options) -> bool:
    """Run, print and write; whether all thresholds were kept.

    Raises:
        LoadTestError: the thresholds, the shape or the drawing's place cannot be used, or nothing could be started.
        NoMarkers: the page has no place for the tables.
    """
    find_places(options)
    thresholds = Thresholds.read(options.thresholds)
    SHAPES[options.shape](options.seconds, options.peak)
    users = options.users or tuple(ENDPOINTS)
    if options.peak < len(users):
        raise BadShape(
            f"a peak of {options.peak} users is too few for {len(users)} classes of them: {', '.join(users)}"
        )
    options.reports.mkdir(parents=True, exist_ok=True)
    with target_of(options) as target:
        results = load(options, target)
    checks = judge(results, thresholds, [ENDPOINTS[each] for each in users])
    publish(options, results, checks)
    return all(check.passed for check in checks)


def find_places(options: Options) -> None:
    """Let what could not be written at the end fail now. Raises BadPlace or NoMarkers."""
    if options.markdown:
        split_at_markers(options.markdown, options.marker)
    if options.svg and not options.svg.parent.is_dir():
        raise BadPlace(f"{options.svg} cannot be written: there is no folder {options.svg.parent}")


@contextmanager
def target_of(options: Options) -> Iterator[Target]:
    """Servers of its own, or those that the options name."""
    if options.url is None:
        with own_servers(options.model, options.device, options.store) as target:
            yield target
    else:
        places = (options.url, options.grpc, options.torchserve_url, options.torchserve_grpc)
        yield Target(*places, options.machine, options.model)


def load(options: Options, target: Target) -> Results:
    """Run Locust, and sample the servers meanwhile if they are here."""
    path = options.reports / RESULTS
    path.unlink(missing_ok=True)
    interval = max(1.0, options.seconds / MOST_SAMPLES)
    watch = Sampler(target.pid, target.folder, interval) if target.pid and target.folder else nullcontext()
    with watch as sampler:
        try:
            done = subprocess.run(command(options, target), cwd=ROOT, env=_environment(), check=False)
        except OSError as error:
            raise NotStarted(f"Locust did not start: {options.locust}: {error.strerror}. Try: make loadtest") from error
    if done.returncode or not path.is_file():
        raise NotStarted(f"Locust ended with exit code {done.returncode} and without results")
    results = Results.read(path)
    if sampler is None:
        return results
    write_samples(sampler.samples, options.reports / SAMPLES)
    return replace(results, trends=trends(sampler.samples, SOAK_CYCLE if options.shape == "soak" else None))


def command(options: Options, target: Target) -> list[str]:
    """Locust's command line."""
    reports = options.reports.resolve()
    return [
        *(options.locust, "-f", str(HERE / "locustfile.py"), "--headless", "--only-summary"),
        *("--stop-timeout", str(FINISH_SECONDS), "--html", str(reports / "locust.html")),
        *("--csv", str(reports / "locust"), "--results", str(reports / RESULTS)),
        *("--shape", options.shape, "--seconds", str(options.seconds), "--peak", str(options.peak)),
        *("--corpus", str(options.corpus.resolve()), *target.options(), *options.more, *options.users),
    ]


def publish(options: Options, results: Results, checks: list[Check]) -> None:
    """Print the tables and write all files."""
    text, drawn = markdown(results, checks), plot(results)
    print(f"\n{text}")
    results.write(options.reports / RESULTS)
    (options.reports / "summary.md").write_text(text, encoding="utf-8")
    (options.reports / "plot.svg").write_text(drawn, encoding="utf-8")
    print(f"Reports: {', '.join(sorted(path.name for path in options.reports.iterdir()))} in {options.reports}")
    if options.svg:
        options.svg.write_text(drawn, encoding="utf-8")
    if options.markdown:
        shown = f"\n{picture(options.markdown, 'Seconds of each request', options.svg)}" if options.svg else ""
        write_between_markers(options.markdown, options.marker, text + shown)


def _environment() -> dict[str, str]:
    """With the project on Python's path, whose packages Locust's environment does not have."""
    before = os.environ.get("PYTHONPATH")
    return {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{before}" if before else str(ROOT)}
