from __future__ import annotations

import pytest

from loadtest.summary import percentile, summarise
from tests.loadtest.examples import record, results


def test_endpoints_are_counted_apart_and_refusals_are_no_errors() -> None:
    records = [record(2.0), record(4.0), record(9.0, error="HTTP 500"), record(9.0, error="refused")]
    grpc, rest = summarise(results([*records, record(endpoint="grpc", error="refused")]))
    assert (rest.endpoint, rest.refused, dict(rest.errors)) == ("rest", 1, {"HTTP 500": 1})
    assert rest.error_share == pytest.approx(1 / 3)
    assert rest.refused_share == pytest.approx(1 / 4)
    assert (rest.seconds(50), rest.seconds(99), rest.rtf(50)) == (2.0, 4.0, 0.2)
    assert rest.audio_seconds == 20.0
    assert rest.first_text_seconds(95) is None
    assert (grpc.error_share, grpc.refused_share, grpc.seconds(50)) == (0.0, 1.0, None)


def test_percentiles_are_values_that_were_measured() -> None:
    values = [float(each) for each in range(1, 101)]
    assert [percentile(values, each) for each in (1, 50, 95, 99, 100)] == [1, 50, 95, 99, 100]
    assert percentile([7.0], 1) == 7.0
