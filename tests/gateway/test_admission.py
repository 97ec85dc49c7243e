"""What is let in, what is refused, and when to come again."""

from __future__ import annotations

import pytest

from tests.gateway.standin import Log, settings_for_tests
from whisper_serve.gateway.admission import Admission, Clients, Ticket
from whisper_serve.gateway.failures import Overloaded
from whisper_serve.gateway.settings import GatewaySettings


class Clock:
    """Time that passes when told."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def settings(**changes: object) -> GatewaySettings:
    values = {"max_queued_audio_seconds": 100, "max_requests_per_client": 2, "max_bytes_per_client": 1000}
    return settings_for_tests(**{**values, **changes})


def admission(clock: Clock | None = None, log: Log | None = None, **changes: object) -> Admission:
    limits = settings(**changes)
    return Admission(limits, Clients(limits), log or Log(), clock=clock or Clock())


def compute(ticket: Ticket, clock: Clock, audio: float, took: float) -> None:
    """A window of so much audio is computed in so much time."""
    ticket.decoded(audio)
    ticket.cut(audio)
    ticket.sent(audio)
    clock.now += took
    ticket.left(audio, answered=True)


def test_who_is_refused_is_told_how_much_audio_is_ahead() -> None:
    it = admission()
    with it.admit("a", 600) as first, it.admit("b", 1) as second:
        first.expect(99)
        first.decoded(30)
        first.cut(30)
        first.sent(20)
        with pytest.raises(Overloaded) as caught:
            it.admit("a", 500)
        assert (caught.value.code, caught.value.audio_seconds_ahead) == ("too_many_bytes", 99)
        second.expect(10)
        for client, code in (("c", "overloaded"), ("a", "too_many_bytes")):
            with pytest.raises(Overloaded) as caught:
                it.admit(client, 500)
            assert (caught.value.code, caught.value.audio_seconds_ahead) == (code, 109)
        first.left(20, answered=True)
        with it.admit("a", 1), pytest.raises(Overloaded) as caught:
            it.admit("a", 1)
        assert (caught.value.code, caught.value.audio_seconds_ahead) == ("too_many_requests", 89)


def test_a_file_does_not_stand_before_itself() -> None:
    it = admission()
    with it.admit("a", 1) as first, it.admit("b", 1) as second:
        second.expect(50)
        first.expect(120)
        with pytest.raises(Overloaded) as caught:
            second.expect(50)
        assert caught.value.audio_seconds_ahead == 120


def test_audio_seconds_are_bounded() -> None:
    it = admission()
    with it.admit("a", 1) as first:
        first.expect(150)  # Longer than the bound, but nothing else waits.
        with pytest.raises(Overloaded):
            it.admit("b", 1)
        first.decoded(60)
        with it.admit("b", 1) as second:
            second.expect(20)
            with pytest.raises(Overloaded):
                it.admit("c", 1)
    with it.admit("c", 1):
        assert it.seconds_waiting == 0


def test_files_that_are_opened_at_the_same_time_are_bounded_too() -> None:
    it = admission()
    with it.admit("a", 1) as first, it.admit("b", 1) as second:
        first.expect(100)
        with pytest.raises(Overloaded):
            second.expect(1)


def test_a_file_of_unknown_length_counts_by_its_size() -> None:
    it = admission(max_audio_seconds=50, max_bytes_per_client=10**9)
    with it.admit("a", 320_000) as first:
        first.expect(0)
        assert it.seconds_waiting == pytest.approx(20)
        first.decoded(5, end=True)
        assert it.seconds_waiting == 0
    with it.admit("a", 10**8) as second:
        second.expect(0)
        assert it.seconds_waiting == 50


def test_requests_of_one_client_are_bounded() -> None:
    it = admission()
    with it.admit("a", 1), it.admit("a", 1):
        with pytest.raises(Overloaded) as caught:
            it.admit("a", 1)
        assert caught.value.code == "too_many_requests"
        with it.admit("b", 1):
            pass
    with it.admit("a", 1):
        pass


def test_bytes_of_one_client_are_bounded() -> None:
    it = admission()
    with it.admit("a", 600):
        with pytest.raises(Overloaded) as caught:
            it.admit("a", 500)
        assert caught.value.code == "too_many_bytes"
        with it.admit("b", 500), it.admit("a", 400):
            pass


def test_a_client_has_its_share_of_all_models_and_each_model_a_queue_of_its_own() -> None:
    limits = settings()
    clients = Clients(limits)
    one, two = (Admission(limits, clients, Log(), clock=Clock()) for _ in range(2))
    with one.admit("a", 600) as first:
        first.expect(100)
        with pytest.raises(Overloaded) as caught:
            one.admit("b", 1)
        assert caught.value.code == "overloaded"
        with pytest.raises(Overloaded) as caught:
            two.admit("a", 500)
        assert caught.value.code == "too_many_bytes"
        with two.admit("a", 400), pytest.raises(Overloaded) as caught:
            two.admit("a", 0)
        assert caught.value.code == "too_many_requests"
        assert (one.seconds_waiting, two.seconds_waiting) == (100, 0)
    with two.admit("a", 1000):
        pass


def test_retry_after_is_the_queue_by_the_measured_throughput() -> None:
    clock = Clock()
    it = admission(clock)
    assert it.retry_after == 5
    with it.admit("a", 1) as first:
        first.expect(200)
        for _ in range(5):
            compute(first, clock, audio=20, took=2)
        assert it.retry_after == pytest.approx(100 / 10, rel=0.01)
        with pytest.raises(Overloaded) as caught:
            it.admit("b", 1)
        assert caught.value.retry_after == pytest.approx(10, rel=0.01)


def test_retry_after_follows_a_throughput_that_changes_and_forgets_idle_time() -> None:
    clock = Clock()
    it = admission(clock)
    with it.admit("a", 1) as first:
        first.expect(10_000)
        compute(first, clock, audio=100, took=1)
    clock.now += 3600
    with it.admit("a", 1) as second:
        second.expect(500)
        compute(second, clock, audio=100, took=1)
        assert it.retry_after == pytest.approx(4, rel=0.01)
        second.expect(10_000)
        for _ in range(60):
            compute(second, clock, audio=10, took=2)
        second.decoded(0, end=True)
        second.cut(50)
        assert it.retry_after == pytest.approx(50 / 5, rel=0.05)


@pytest.mark.parametrize(("waiting", "seconds"), [(1.0, 1.0), (100_000.0, 120.0)])
def test_retry_after_is_clamped(waiting: float, seconds: float) -> None:
    clock = Clock()
    it = admission(clock)
    with it.admit("a", 1) as ticket:
        compute(ticket, clock, audio=100, took=10)
        ticket.cut(waiting)
        assert it.retry_after == seconds


def test_failed_windows_are_no_throughput() -> None:
    clock = Clock()
    it = admission(clock)
    with it.admit("a", 1) as ticket:
        ticket.cut(30)
        ticket.sent(30)
        clock.now += 0.01
        ticket.left(30, answered=False)
        assert it.retry_after == 5


def test_the_observer_sees_what_waits_and_what_is_in_flight() -> None:
    log = Log()
    it = admission(log=log)
    with it.admit("a", 1) as ticket:
        ticket.expect(60)
        ticket.decoded(40)
        ticket.cut(30)
        ticket.sent(30)
    assert log.loads == [(60, 0), (20, 0), (50, 0), (20, 30), (0, 0)]
