from __future__ import annotations

import json
from dataclasses import replace

import pytest

from tests.evaluation.examples import OTHER, OURS, report, sample
from whisper_serve.evaluation.results import Report
from whisper_serve.evaluation.scores import Repeat


@pytest.fixture
def both() -> Report:
    return report(OURS, OTHER)


def test_errors_come_by_language_and_as_their_mean(both: Report) -> None:
    german, english, mean = both.errors
    assert [(one.name, one.unit, one.files, one.length) for one in (german, english)] == [
        ("de", "WER", 1, 3),
        ("en", "WER", 2, 9),
    ]
    assert [score.percent for score in german.scores] == pytest.approx([0, 100 / 3])
    # One of the first file's words is another and one is missing; the second file has its three words twice more.
    assert [score.percent for score in english.scores] == pytest.approx([0, 100 * (2 + 9) / 9])
    assert mean.scores[1].percent == pytest.approx((100 / 3 + 100 * 11 / 9) / 2)


def test_folders_are_told_apart_where_there_are_several(both: Report) -> None:
    assert [line.name for line in both.folders] == ["de, de", "en, en"]


def test_what_is_longer_than_a_window_has_lines_of_its_own(both: Report) -> None:
    (english,) = both.long_form
    assert (english.name, english.files, english.length) == ("en", 1, 3)
    assert [score.percent for score in english.scores] == pytest.approx([0, 300])


def test_languages_translations_and_speed(both: Report) -> None:
    english = both.identification[0]["en"]
    assert (english.right, english.files, english.taken_for) == (1, 2, {"nl": 1})
    (line,) = both.bleus
    assert (line.language, line.files) == ("de", 1)
    assert line.scores == pytest.approx((100, 100))
    assert [both.speed(one) for one in both.outcomes] == [10, 2]


def test_what_nobody_said_is_counted(both: Report) -> None:
    assert both.invented == ((0,), (4,))
    assert both.silent_minutes == 0.5
    assert both.repeated == (0, 0, 4)
    assert [(loop.label, loop.sample, loop.repeat) for loop in both.loops] == [
        ("other <1>", "en/b.wav", Repeat("all is well here all", 2))
    ]


def test_a_loop_beside_what_is_said_often_is_found() -> None:
    chorus, verse = "la " * 12, "and then we all went home "
    said = sample("song.wav", "en", chorus + verse)
    right, louder, loops = (
        replace(OURS, label=label, texts=(text,))
        for label, text in (
            ("right", said.transcript),
            ("louder", "la " + said.transcript),
            ("loops", chorus + verse * 4),
        )
    )
    found = replace(report(right, louder, loops), spoken=(said,)).loops
    # The chorus is said eight times: nine times is a little worse, and the verse four times instead of once is worst.
    assert [(loop.label, loop.repeat) for loop in found] == [
        ("loops", Repeat("and then we all went", 4)),
        ("louder", Repeat("la la la la la", 9)),
    ]


def test_all_of_it_goes_into_json(both: Report) -> None:
    read = json.loads(json.dumps(both.as_dict()))
    assert read["systems"] == ["engine", "other <1>"]
    assert read["invented_words"] == {"engine": 0, "other <1>": 4}
    assert read["spoken"][2]["texts"] == {"engine": "Alles ist gut", "other <1>": "Alles is gut"}
    assert read["translated"][0]["translation"] == "All is well with us."
    assert read["silent"][0]["texts"]["other <1>"] == "Thank you for watching"
    assert read["errors"][1]["scores"][1]["difference"]["interval"].keys() == {"low", "high"}
