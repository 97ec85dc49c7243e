"""More audio than the model can take: what is too much is refused at once, and who comes again in time is served."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import psutil
import pytest

from tests.e2e.recordings import JFK
from tests.e2e.stack import Gateway, Stack, is_ready, run_gateway, wait_until
from whisper_serve.evaluation.scores import error_rate

pytestmark = [pytest.mark.e2e, pytest.mark.weights, pytest.mark.slow, pytest.mark.timeout(900)]

CLIP_SECONDS = 11
QUEUED_SECONDS = 88
CLIENTS = 4 * QUEUED_SECONDS // CLIP_SECONDS
"""Four times as many as have room."""
LOAD_SECONDS = 60
MOST_TRIES = 30


@dataclass(slots=True)
class Outcome:
    """How one client's requests ended: the tries that each took, and the seconds that refusals asked for."""

    tries: list[int] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)


def test_overload_is_refused_and_whoever_tries_again_succeeds(stack: Stack, jfk: bytes) -> None:
    with (
        run_gateway(stack.endpoints.grpc_target, WHISPER_MAX_QUEUED_AUDIO_SECONDS=str(QUEUED_SECONDS)) as gateway,
        ThreadPoolExecutor(CLIENTS) as pool,
    ):
        wait_until(lambda: is_ready(gateway), 30)
        started = time.monotonic()
        clients = [pool.submit(keep_asking, gateway, jfk, started + LOAD_SECONDS) for _ in range(CLIENTS)]
        time.sleep(10)
        early = memory(gateway)
        outcomes = [client.result() for client in clients]
        late = memory(gateway)
    waits = [wait for outcome in outcomes for wait in outcome.waits]
    assert len(waits) >= CLIENTS - QUEUED_SECONDS // CLIP_SECONDS - 1, "it was no overload"
    tries = [count for outcome in outcomes for count in outcome.tries]
    print(f"{len(tries)} answered after at most {max(tries)} tries; {len(waits)} refused for at most {max(waits)} s")
    print(f"memory grew by {(late - early) / 1e6:.1f} MB to {late / 1e6:.0f} MB")
    assert late - early <= 60e6


def keep_asking(gateway: Gateway, clip: bytes, end: float) -> Outcome:
    """Send request after request until `end`, and finish the last."""
    outcome = Outcome()
    while time.monotonic() < end:
        outcome.tries.append(ask(gateway, clip, outcome))
    return outcome


def ask(gateway: Gateway, clip: bytes, outcome: Outcome) -> int:
    """One request, sent again as refusals say: how many tries it took."""
    for tried in range(1, MOST_TRIES + 1):
        answer = gateway.text(clip, language="en")
        if answer.status_code == 200:
            assert error_rate(JFK, answer.text, "en").percent <= 10
            return tried
        assert answer.status_code == 429, answer.text
        wait = float(answer.headers["retry-after"])
        assert 0 < wait <= 120
        assert int(answer.headers["x-audio-seconds-ahead"]) >= QUEUED_SECONDS
        outcome.waits.append(wait)
        time.sleep(wait)
    raise AssertionError(f"not served after {MOST_TRIES} tries")


def memory(gateway: Gateway) -> int:
    return int(psutil.Process(gateway.pid).memory_info().rss)
