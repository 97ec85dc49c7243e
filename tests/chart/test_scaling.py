"""The simulated fleets: arithmetic that can be checked, and the document that shows them."""

from __future__ import annotations

import random
import re
from dataclasses import replace
from statistics import mean

import pytest
import yaml

from scripts import scaling
from scripts.scaling import Arrivals, Autoscaler, Outcome, Setting, simulate
from tests.chart.render import CHART, ROOT

SETTING = Setting()


def test_the_document_shows_what_the_script_prints() -> None:
    text = (ROOT / "docs" / "scaling.md").read_text("utf-8")
    assert scaling.table(SETTING) in text
    assert scaling.targets(SETTING) in text


def test_the_target_and_the_windows_are_the_charts() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text("utf-8"))["autoscaling"]["torchserve"]
    assert values["targetAudioSeconds"] == SETTING.target
    assert values["behavior"]["scaleDown"]["stabilizationWindowSeconds"] == SETTING.quiet_seconds
    up, down = (
        {policy["type"]: (policy["value"], policy["periodSeconds"]) for policy in values["behavior"][way]["policies"]}
        for way in ("scaleUp", "scaleDown")
    )
    assert up == {"Percent": (100, 30), "Pods": (2, 30)}
    assert down == {"Percent": (5, 120), "Pods": (1, 120)}


def test_waits_are_those_of_a_queue() -> None:
    # In each step comes what one pod computes in two; nothing more after the second.
    audio = SETTING.throughput * scaling.STEP
    outcome = Outcome(SETTING, came=[2 * audio, 2 * audio, 0, 0], waited=[audio, 2 * audio, audio, 0], replicas=[1] * 4)
    assert outcome.waits((0.5, 1.0)) == [scaling.STEP, 2 * scaling.STEP]
    assert outcome.utilization == 1
    assert outcome.gpu_hours == 4 * scaling.STEP / 3600
    assert outcome.price_of_1000_hours == pytest.approx(1000 / SETTING.throughput)


@pytest.mark.parametrize("audio", [30.0, 3000.0, 300_000.0])
def test_what_comes_is_on_average_what_should(audio: float) -> None:
    arrivals = Arrivals(replace(SETTING, seed=7))
    few = random.Random(1)  # how many draws, not what they are
    assert mean(arrivals.draw(audio) for _ in range(20_000 + few.randrange(2))) == pytest.approx(audio, rel=0.06)


def test_up_by_all_that_there_is_and_down_one_by_one() -> None:
    scaler = Autoscaler(SETTING, 100)
    assert scaler.decide(0, 0.0, 1) == 1
    assert scaler.decide(15, 1e6, 1) == 3
    assert scaler.decide(30, 1e6, 3) == 3
    assert scaler.decide(45, 1e6, 3) == 6
    assert scaler.decide(90, 6 * SETTING.target * 1.05, 6) == 6
    # Not before ten quiet minutes have passed.
    assert scaler.decide(600, 0.0, 6) == 6
    assert scaler.decide(691, 0.0, 6) == 5
    assert scaler.decide(706, 0.0, 5) == 5
    assert scaler.decide(811, 0.0, 5) == 4
    assert Autoscaler(replace(SETTING, min_replicas=0), 4).decide(0, 0.0, 0) == 0


def test_a_fixed_fleet_is_busy_as_the_day_is() -> None:
    outcome = simulate(10, SETTING, fixed=True)
    assert set(outcome.replicas) == {10}
    usual = mean(scaling.load_at(second) for second in range(0, scaling.DAY, 60))
    assert outcome.utilization == pytest.approx(0.8 * usual, rel=0.03)
    assert sum(outcome.came) == pytest.approx(outcome.audio_hours * 3600)
    assert outcome.waited[-1] < SETTING.throughput * 10


def test_the_command_takes_other_fleets(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.argv", ["scaling", "--fleets", "2", "--price", "3", "--throughput", "50"])
    scaling.main()
    (row,) = re.findall(r"^\| 2 \|.*$", capsys.readouterr().out, re.MULTILINE)
    cheap = scaling.table(replace(SETTING, throughput=50), [2]).splitlines()[-1]
    prices = [[float(cell) for cell in each.split("|")[-3:-1]] for each in (row, cheap)]
    assert prices[0] == pytest.approx([3 * price for price in prices[1]], rel=0.001)
