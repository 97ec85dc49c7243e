"""One benchmark from start to end."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from whisper_serve.benchmark.errors import BadPlan, BenchmarkError, Unavailable
from whisper_serve.benchmark.machine import this_machine
from whisper_serve.benchmark.process import Worker
from whisper_serve.benchmark.protocol import Answer
from whisper_serve.benchmark.results import SERVED_BASELINE, Report, Round, Row
from whisper_serve.benchmark.systems import LANGUAGE, REQUESTS_AT_ONCE, SYSTEMS, Setup, System, chosen, command
from whisper_serve.benchmark.workload import Material, gather
from whisper_serve.cores import usable_cores
from whisper_serve.engine import resolve_device
from whisper_serve.evaluation.corpus import read_corpus
from whisper_serve.evaluation.scores import error_rate, total

Step = Callable[[str], None]
"""Called before each step with what it is."""
Commands = Callable[[System, Setup], Sequence[str]]
REQUESTS_EACH: Final = 4
"""How many requests follow each other, at least, for each of those at a time: else most would be the last ones."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to measure."""

    corpus: Path
    model: str
    device: str = "auto"
    systems: str = ""
    """Names with commas between; none: all that are for the device."""
    baseline: str = "openai-whisper"
    minutes: float = 5.0
    rounds: int = 3
    latency_runs: int = 5
    threads: int | None = None
    tokens: int | None = None
    peers: Path = Path(".venv-peers")


@dataclass(slots=True)
class Contestant:
    """A system in the race: its files, its process while it runs, and what was measured of it."""

    system: System
    files: tuple[Path, ...]
    references: tuple[str, ...]
    row: Row
    concurrency: int = 1
    """How many of the files are asked for at a time."""
    worker: Worker | None = None

    def start(self, setup: Setup, commands: Commands, first: Path) -> None:
        """Start its process and have it answer a first clip, so that the first round pays for nothing."""
        try:
            arguments = commands(self.system, setup)
            started = time.perf_counter()
            self.worker = Worker(arguments, setup.threads)
        except Unavailable as error:
            self.row.problem = f"not available: {error}"
        except BenchmarkError as error:
            self.row.problem = f"failed: {error}"
        if self.ask([first]) and self.system.workload != "full batches":
            self.row.first_answer = time.perf_counter() - started

    def ask(self, files: Sequence[Path]) -> Answer | None:
        """The answer, or None if it does not run any more."""
        if self.worker is None:
            return None
        try:
            answer = self.worker.ask(files, self.concurrency)
        except BenchmarkError as error:
            self.row.problem = f"failed: {error}"
            self.close()
            return None
        self.row.peak_rss = max(self.row.peak_rss, answer.peak_rss)
        return answer

    def close(self) -> None:
        if self.worker is not None:
            self.worker.close()
        self.worker = None


def benchmark(console: Console, plan: Plan, commands: Commands = command) -> Report:
    """Measure the systems in turns, one at a time, with a progress bar on the console.

    Raises:
        BadPlan: a system or the baseline is not known.
        CorpusError: the corpus cannot be read, or nothing in it is of use.
        DeviceError: the device is not there.
    """
    device = str(resolve_device(plan.device))
    systems = chosen(plan.systems, device)
    if plan.baseline not in SYSTEMS:
        raise BadPlan(f"the baseline {plan.baseline!r} is none of the systems, which are {', '.join(SYSTEMS)}")
    threads = min(plan.threads or usable_cores(), usable_cores())
    # A Unix socket's path may have 107 characters at most: hence the short name.
    with tempfile.TemporaryDirectory(prefix="ws") as scratch, ExitStack() as stack:
        console.print("Gathering recordings …")
        material = gather(read_corpus(plan.corpus), LANGUAGE, plan.minutes * 60, Path(scratch))
        setup = Setup(plan.model, device, threads, plan.tokens, plan.peers, Path(scratch))
        requests = REQUESTS_AT_ONCE[device.partition(":")[0]]
        contestants = [_contestant(system, material, requests) for system in systems]
        for one in contestants:
            stack.callback(one.close)
        _race(console, plan, setup, contestants, material, commands)
    return Report(
        machine=this_machine(threads, device),
        model=plan.model,
        device=device,
        date=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        notes=_notes(plan, material, requests),
        baseline=plan.baseline,
        rows=tuple(one.row for one in contestants),
    )


def _contestant(system: System, material: Material, requests: int) -> Contestant:
    if system.workload == "requests":
        times = -(-REQUESTS_EACH * requests // len(material.samples))
        files = tuple(sample.path for sample in material.samples) * times
        references = tuple(sample.transcript for sample in material.samples) * times
        row = Row(system.name, f"{requests} requests", material.seconds * times)
        return Contestant(system, files, references, row, requests)
    row = Row(system.name, system.workload, material.joined_seconds)
    return Contestant(system, (material.joined,), (material.transcript,), row)


def _race(
    console: Console,
    plan: Plan,
    setup: Setup,
    contestants: Sequence[Contestant],
    material: Material,
    commands: Commands,
) -> None:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    steps = len(contestants) * (1 + plan.rounds + plan.latency_runs * len(material.clips))
    with Progress(*columns, console=console, transient=True) as bar:
        job = bar.add_task("", total=steps)

        def step(what: str) -> None:
            bar.update(job, description=what, advance=1)
            if not console.is_terminal:  # where no bar is shown
                console.print(what)

        for one in contestants:
            step(f"starting {one.system.name}")
            one.start(setup, commands, material.clips[min(material.clips)])
        told = not setup.random and plan.tokens is None
        for number in range(1, plan.rounds + 1):
            for one in contestants:
                step(f"round {number} of {plan.rounds}: {one.system.name}")
                _measure_speed(one, told=told)
        _measure_latencies(contestants, material, plan.latency_runs, step)


def _measure_speed(one: Contestant, *, told: bool) -> None:
    """``told``: the words are a real model's, whose errors are counted."""
    answer = one.ask(one.files)
    if answer is None:
        return
    work = answer.work
    one.row.rounds.append(Round(work.seconds, work.tokens, work.windows, work.fill))
    if told and one.row.word_errors is None and one.system.workload != "one core":
        pairs = zip(one.references, work.texts, strict=True)
        one.row.word_errors = total(error_rate(said, heard, LANGUAGE) for said, heard in pairs).percent


def _measure_latencies(contestants: Sequence[Contestant], material: Material, runs: int, step: Step) -> None:
    for number in range(1, runs + 1):
        for seconds, clip in material.clips.items():
            for one in contestants:
                step(f"latency of {seconds} s, {number} of {runs}: {one.system.name}")
                if one.system.workload in ("one recording", "requests") and (answer := one.ask([clip])):
                    one.row.latencies.setdefault(seconds, []).append(answer.work.seconds)


def _notes(plan: Plan, material: Material, requests: int) -> tuple[str, ...]:
    length = f"{len(material.samples)} recordings, {material.joined_seconds / 60:.1f} minutes"
    repeated = ", some of them more than once as the corpus has too little English" if material.repeated else ""
    notes = [
        f"{length}{repeated}. Rounds: {plan.rounds}; requests with each clip: {plan.latency_runs}.",
        f"Ratio: to {plan.baseline} (one recording) or to {SERVED_BASELINE} ({requests} requests).",
    ]
    if plan.tokens is not None:
        notes.append(f"{plan.tokens} tokens of each window, whatever was said.")
    return tuple(notes)
