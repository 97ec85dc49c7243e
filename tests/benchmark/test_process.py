"""Workers as real processes: ones that answer, ones that fail and ones that die."""

from __future__ import annotations

import sys
from pathlib import Path

import psutil
import pytest

from whisper_serve.benchmark.errors import WorkerFailed
from whisper_serve.benchmark.process import Worker

HEAD = """
import os, sys
from contextlib import contextmanager
from whisper_serve.benchmark.protocol import Work, serve

@contextmanager
def system():
    print("loaded")
    {loading}
    yield transcribe

def transcribe(files, concurrency):
    {working}
    return Work([path.name for path in files], 0.5, windows=concurrency)

serve(system)
"""


def started(loading: str = "pass", working: str = "pass") -> Worker:
    return Worker([sys.executable, "-c", HEAD.format(loading=loading, working=working)], threads=1)


def test_a_worker_answers_whatever_its_libraries_print() -> None:
    worker = started(working="print('noise'); os.system('echo noise')")
    try:
        for _ in range(2):
            answer = worker.ask([Path("a.wav"), Path("b.wav")], 8)
            assert (answer.work.texts, answer.work.seconds, answer.work.windows) == (["a.wav", "b.wav"], 0.5, 8)
            assert answer.work.tokens is None
            assert answer.peak_rss > 5_000_000
    finally:
        worker.close()


def test_threads_are_told_and_wait_as_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    variables = "os.environ['OMP_NUM_THREADS'], str(os.environ.get('OMP_WAIT_POLICY'))"
    worker = started(working=f"return Work([{variables}], 1.0)")
    assert worker.ask([]).work.texts == ["1", "None"]
    worker.close()


@pytest.mark.parametrize(
    ("loading", "reason"),
    [
        ("raise ValueError('no such\\nmodel')", r"^ValueError: no such model$"),
        ("os._exit(3)", "its process ended with exit code 3: loaded"),
        ("os.kill(os.getpid(), 9)", "its process was killed by signal 9"),
    ],
)
def test_a_worker_that_does_not_start_says_why(loading: str, reason: str) -> None:
    with pytest.raises(WorkerFailed, match=reason):
        started(loading=loading)


def test_a_worker_that_dies_at_work_says_why() -> None:
    worker = started(working="print('out of memory'); sys.stdout.flush(); os._exit(1)")
    with pytest.raises(WorkerFailed, match="its process ended with exit code 1: out of memory"):
        worker.ask([Path("a.wav")])
    with pytest.raises(WorkerFailed, match="exit code 1"):
        worker.ask([Path("a.wav")])
    worker.close()


def test_what_a_worker_started_ends_with_it() -> None:
    start = "import subprocess; child = subprocess.Popen(['sleep', '600'])"
    worker = started(loading=start.replace("child", "globals()['child']"), working="return Work([str(child.pid)], 1.0)")
    pid = int(worker.ask([]).work.texts[0])
    child = psutil.Process(pid)
    worker.close()
    psutil.wait_procs([child], timeout=10)
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE
