from __future__ import annotations

import numpy as np
import pytest

from loadtest.growth import trends
from loadtest.samples import Sample

HOUR = 3600


def series(values: list[float], hours: float = 1.0, process: str = "worker 1") -> list[Sample]:
    times = np.linspace(0, hours * HOUR, len(values))
    return [Sample(float(at), process, "USS MB", value) for at, value in zip(times, values, strict=True)]


def test_a_line_is_found_and_warm_up_is_left_out() -> None:
    times = np.linspace(0, 1, 401)
    values = np.where(times < 0.25, 50 + 1000 * times, 300 + 12 * times)
    (found,) = trends(series(list(values)))
    assert found.mean == pytest.approx(307.5, abs=0.1)
    assert found.growth == pytest.approx(100 * 12 / 307.5, rel=1e-3)
    assert found.uncertainty < 0.01
    assert found.hours == pytest.approx(0.75, abs=0.01)


@pytest.mark.parametrize("seed", range(5))
def test_noise_without_growth_is_within_its_uncertainty(seed: int) -> None:
    noise = np.random.default_rng(seed).normal(0, 5, 1000)
    (found,) = trends(series(list(300 + noise)))
    # Twice the half width of the 95 % interval: four standard errors.
    assert abs(found.growth) < 2 * found.uncertainty
    assert 0.05 < found.uncertainty < 2


@pytest.mark.parametrize("leak", [0.0, 12.0])
def test_where_the_load_rests_what_is_in_work_does_not_matter(leak: float) -> None:
    times = np.linspace(0, 1, 1801)  # every 2 s
    in_work = np.where(3600 * times % 160 < 100, 150 * np.random.default_rng(0).random(1801) * (1 + 2 * times), 0)
    (found,) = trends(series(list(300 + leak * times + in_work)), cycle=160)
    assert found.growth == pytest.approx(100 * leak / found.mean, abs=0.05)
    assert found.mean == pytest.approx(300 + leak * 0.6, abs=2)
    assert found.uncertainty < 0.1


def test_cycles_that_are_not_whole_do_not_count() -> None:
    values = [200.0 if at % 160 < 100 else 100.0 for at in range(0, 2000, 2)]
    values[-40:] = [200.0] * 40  # the run ends before its last rest
    (found,) = trends(series(values, hours=2000 / 3600), cycle=160)
    assert (found.mean, round(found.growth, 6)) == (100.0, 0.0)
    assert trends(series(values[:300], hours=600 / 3600), cycle=160) == []


def test_each_sample_is_in_one_cycle_of_the_same_length() -> None:
    # Seconds that are others once they were made hours and seconds again.
    first = 902.0370511392503
    times = [first + 2 * step for step in range(1354)]
    values = [200.0 if (at - first) % 160 < 100 else 100.0 for at in times]
    samples = [Sample(at, "worker 1", "USS MB", value) for at, value in zip(times, values, strict=True)]
    (found,) = trends(samples, cycle=160)
    assert (found.mean, round(found.growth, 6)) == (100.0, 0.0)


def test_what_was_there_too_shortly_has_no_trend() -> None:
    assert trends([]) == []
    assert trends(series([1.0] * 5)) == []
    both = [*series([5.0] * 100), *series([5.0] * 100, process="worker 2")]
    assert [(each.process, round(each.growth, 9)) for each in trends(both)] == [("worker 1", 0.0), ("worker 2", 0.0)]


def test_few_files_do_not_make_large_percentages() -> None:
    values = [0.0] * 90 + [1.0] * 10
    (found,) = trends(series(values))
    assert abs(found.growth) < 200
