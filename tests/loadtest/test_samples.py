from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from loadtest.samples import Sample, Sampler, write_samples

HOARDER = """
import sys
files, blocks = [], []
for line in sys.stdin:
    files.append(open(sys.argv[1] + "/" + line.strip(), "w"))
    blocks.append(bytearray(b"x" * 10_000_000))
"""


def test_a_process_that_hoards_is_seen(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOARDER, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        with Sampler(process.pid, tmp_path, 0.01) as sampler:
            wait_for(lambda: bool(sampler.samples))
            for name in ("a", "b", "c", "d"):
                process.stdin.write(f"{name}\n")
            process.stdin.flush()
            wait_for(lambda: sampler.samples[-1].value == 4 and len(sampler.samples) > 40)
        process.stdin.close()
    values = {
        quantity: [each.value for each in sampler.samples if each.quantity == quantity]
        for quantity in ("RSS MB", "USS MB", "descriptors", "temporary files")
    }
    assert {each.process for each in sampler.samples} == {f"supervisor {process.pid}", "all"}
    assert values["temporary files"][-1] == 4
    assert values["descriptors"][-1] - values["descriptors"][0] <= 4
    assert max(values["RSS MB"]) >= 30
    assert max(values["USS MB"]) >= 30


def test_the_end_of_a_process_is_no_error(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process, Sampler(process.pid, tmp_path, 0.01) as sampler:
        process.wait()
        time.sleep(0.05)
    assert {each.process for each in sampler.samples} <= {f"supervisor {process.pid}", "all"}


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_samples_are_written_as_csv(tmp_path: Path) -> None:
    write_samples(
        [Sample(1.5, "worker 7", "USS MB", 100.25), Sample(2.0, "all", "temporary files", 0)], tmp_path / "it"
    )
    lines = (tmp_path / "it").read_text(encoding="utf-8").splitlines()
    assert lines == ["seconds,process,quantity,value", "1.5,worker 7,USS MB,100.25", "2.0,all,temporary files,0"]
