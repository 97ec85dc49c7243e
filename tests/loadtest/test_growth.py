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


def test_what_was_there_too_shortly_has_no_trend() -> None:
    assert trends([]) == []
    assert trends(series([1.0] * 5)) == []
    both = [*series([5.0] * 100), *series([5.0] * 100, process="worker 2")]
    assert [(each.process, round(each.growth, 9)) for each in trends(both)] == [("worker 1", 0.0), ("worker 2", 0.0)]


def test_few_files_do_not_make_large_percentages() -> None:
    values = [0.0] * 90 + [1.0] * 10
    (found,) = trends(series(values))
    assert abs(found.growth) < 200
