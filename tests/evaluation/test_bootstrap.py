from __future__ import annotations

import pytest

from whisper_serve.evaluation.bootstrap import Interval, scores
from whisper_serve.evaluation.scores import ErrorRate

HALF = [ErrorRate(0, 10), ErrorRate(10, 10)] * 50


def test_an_interval_is_about_two_standard_errors_wide() -> None:
    (score,) = scores([HALF])
    assert score.percent == 50.0
    assert score.interval is not None
    # The standard error of a mean of 100 coins is 5 points.
    assert score.interval.low == pytest.approx(50 - 1.96 * 5, abs=1)
    assert score.interval.high == pytest.approx(50 + 1.96 * 5, abs=1)
    assert score.difference is None


def test_systems_are_compared_on_the_same_files() -> None:
    worse = [ErrorRate(one.errors + 1, 10) for one in HALF]
    _, same, other = scores([HALF, HALF, worse])
    assert same.difference is not None
    assert (same.difference.points, same.difference.interval) == (0.0, Interval(0.0, 0.0))
    assert not same.difference.certain
    assert other.difference is not None
    # Each file has one error more: files that are drawn again and again change the rates, and not what is between.
    assert other.difference.points == pytest.approx(10)
    assert other.difference.interval is not None
    assert other.difference.interval.low == pytest.approx(10)
    assert other.difference.certain


@pytest.mark.parametrize(("files", "certain"), [(2, False), (9, False), (10, True)])
def test_few_files_leave_a_doubt(files: int, certain: bool) -> None:
    _, worse = scores([HALF[:files], [ErrorRate(one.errors + 1, 10) for one in HALF[:files]]])
    assert worse.difference is not None
    assert worse.difference.interval is not None
    assert worse.difference.interval.low > 0
    assert worse.difference.certain is certain


def test_it_comes_out_the_same_each_time() -> None:
    assert scores([HALF]) == scores([HALF])


def test_a_single_file_has_no_interval() -> None:
    one, other = scores([[ErrorRate(1, 10)], [ErrorRate(2, 10)]])
    assert one.interval is None
    assert other.difference is not None
    assert other.difference.interval is None
    assert not other.difference.certain


def test_the_mean_of_groups_counts_each_the_same() -> None:
    good = [ErrorRate(0, 10)] * 3
    (score,) = scores([HALF], [good])
    assert score.percent == 25.0
    assert score.interval is not None
    assert score.interval.low == pytest.approx(25 - 1.96 * 2.5, abs=0.6)


def test_references_without_words_divide_by_nothing() -> None:
    (score,) = scores([[ErrorRate(2, 0), ErrorRate(0, 0)]])
    assert score.percent == 0.0
