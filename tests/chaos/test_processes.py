"""Workers, TorchServe and the gateway: killed, stopped, slowed down, told to end."""

from __future__ import annotations

import threading
import time
from functools import partial

import psutil
import pytest

from tests.chaos.conftest import WINDOW_SECONDS
from tests.chaos.load import LOST, REFUSED
from tests.chaos.trial import GATEWAY, JAVA, Lab, is_whole, workers
from tests.e2e.stack import Stack, wait_until

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(600)]

STOPPED_SECONDS = WINDOW_SECONDS + 5
DRAINING = "503 draining"


@pytest.fixture(autouse=True)
def whole(stack: Stack) -> None:
    wait_until(lambda: is_whole(stack), 120)


def test_worker_killed(lab: Lab, stack: Stack) -> None:
    lab.trial("a worker killed (SIGKILL)", stack, workers(stack)[0].kill, whole=partial(is_whole, stack))


def test_all_workers_killed(lab: Lab, stack: Stack) -> None:
    def kill() -> None:
        for worker in workers(stack):
            worker.kill()

    lab.trial("all workers killed at once", stack, kill, whole=partial(is_whole, stack))


def test_torchserve_killed(lab: Lab, stack: Stack) -> None:
    kill = stack.descendant(JAVA).kill
    lab.trial("TorchServe killed (SIGKILL)", stack, kill, whole=partial(is_whole, stack))


def test_worker_stopped(lab: Lab, stack: Stack) -> None:
    name = f"a worker stopped for {STOPPED_SECONDS} s (SIGSTOP)"
    lab.trial(name, stack, lambda: suspend(workers(stack)[:1]), whole=partial(is_whole, stack))


def test_all_workers_stopped(lab: Lab, stack: Stack) -> None:
    name = f"all workers stopped for {STOPPED_SECONDS} s"
    lab.trial(name, stack, lambda: suspend(workers(stack)), whole=partial(is_whole, stack))


def test_torchserve_stopped(lab: Lab, stack: Stack) -> None:
    name = f"TorchServe stopped for {STOPPED_SECONDS} s"
    lab.trial(name, stack, lambda: suspend([stack.descendant(JAVA)]), whole=partial(is_whole, stack))


def test_workers_slowed_down(lab: Lab, stack: Stack) -> None:
    lab.trial("workers run a fifth of the time, for 20 s", stack, lambda: slow_down(workers(stack), 20))


def test_gateway_told_to_end(lab: Lab, stack: Stack) -> None:
    gateway = stack.descendant(GATEWAY)

    def end() -> None:
        gateway.terminate()
        gateway.wait(60)

    lab.trial("the gateway told to end (SIGTERM)", stack, end, allowed=(DRAINING, REFUSED))


def test_gateway_killed(lab: Lab, stack: Stack) -> None:
    kill = stack.descendant(GATEWAY).kill
    outcome = lab.trial("the gateway killed (SIGKILL)", stack, kill, allowed=(LOST, REFUSED))
    assert outcome.errors[LOST] <= 4  # one request of each client


def suspend(processes: list[psutil.Process]) -> None:
    """Stop processes for a while."""
    for process in processes:
        process.suspend()
    try:
        time.sleep(STOPPED_SECONDS)
    finally:
        for process in processes:
            process.resume()


def slow_down(processes: list[psutil.Process], seconds: float) -> None:
    """Let processes run for 0.1 s of every 0.5 s."""
    pause, until = threading.Event(), time.monotonic() + seconds
    while time.monotonic() < until:
        for process in processes:
            process.suspend()
        pause.wait(0.4)
        for process in processes:
            process.resume()
        pause.wait(0.1)
