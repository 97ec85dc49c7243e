"""One fault, while clients send recordings to the real processes."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence

import httpx
import psutil

from tests.chaos.load import Clip, Load
from tests.chaos.report import Outcome, Report
from tests.e2e.stack import Gateway, Stack, is_ready, wait_until

WORKER = "model_service_worker"
JAVA = "ModelServer"
GATEWAY = "--torchserve="
"""Words in the command lines of what runs below the supervisor."""
WORKERS = 2
"""Of the archive's model-config.yaml."""


class Lab:
    """Where trials are made: what is sent, and the report that they are written into."""

    def __init__(self, clips: Sequence[Clip], report: Report) -> None:
        self.clips = clips
        self.report = report

    def trial(
        self,
        name: str,
        gateway: Gateway,
        fault: Callable[[], None],
        *,
        allowed: Collection[str] = (),
        seconds: float = 90,
        whole: Callable[[], bool] | None = None,
    ) -> Outcome:
        """Let `fault` happen under load, and return when all is well again; it returns when the fault is over.

        Fails when a request ends in any other way than with the right text or as `allowed`, or when it takes longer
        than `seconds` until a new request is answered and `whole` is true.
        """
        with Load(gateway.url, self.clips) as load:
            load.wait_right(0, seconds, answers=len(self.clips))
            fault()
            over = time.monotonic()
            recovered = load.wait_right(over, seconds) - over
            wait_until(whole or (lambda: is_ready(gateway)), seconds)
            whole_after = time.monotonic() - over
            load.wait_right(over, seconds, answers=2 * len(self.clips))
        outcome = Outcome(name, tuple(load.answers), recovered, whole_after)
        assert set(outcome.errors) <= set(allowed), outcome.errors
        self.report.outcomes.append(outcome)
        return outcome


def workers(stack: Stack) -> list[psutil.Process]:
    """The workers that run now."""
    below = psutil.Process(stack.process.pid).children(recursive=True)
    return [each for each in below if any(WORKER in part for part in each.cmdline())]


def is_whole(stack: Stack) -> bool:
    """Whether the gateway is ready and TorchServe knows as many ready workers as there are, and no dead one."""
    try:
        answer = httpx.get(f"{stack.endpoints.management_url}/models/whisper", trust_env=False, timeout=2)
        known = [each for version in answer.json() for each in version["workers"]]
        running = {each.pid for each in workers(stack)}
    except (httpx.HTTPError, psutil.NoSuchProcess):
        return False
    ready = {int(each["pid"]) for each in known if each["status"] == "READY"}
    return is_ready(stack) and len(known) == WORKERS and ready == running
