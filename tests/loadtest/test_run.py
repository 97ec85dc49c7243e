"""Real runs of Locust, in its own environment, on a gateway that answers by rule."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from loadtest.__main__ import main
from loadtest.options import ROOT, read_options, seconds_of
from loadtest.records import Results
from loadtest.summary import summarise
from tests.gateway.deterministic import Deterministic, Served, serve
from tests.loadtest.examples import CLIP
from whisper_serve.gateway.failures import Overloaded
from whisper_serve.torchserve.endpoints import on_free_ports

LOCUST = ROOT / ".venv-loadtest" / "bin" / "locust"
needs_locust = pytest.mark.skipif(not LOCUST.is_file(), reason="there is no .venv-loadtest: make loadtest makes it")


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    # Any file is heard: Locust sends real ones.
    monkeypatch.setattr(Deterministic, "_check", _note)
    with serve() as running:
        yield running


def _note(self: Deterministic, work: object) -> None:
    if self.refuse:
        raise self.refuse


@pytest.fixture
def corpus(tmp_path: Path, data: Path) -> Path:
    shutil.copy(data / "en-jfk.mp3", tmp_path)
    (tmp_path / "manifest.tsv").write_text(f"path\tlanguage\ttranscript\nen-jfk.mp3\ten\t{CLIP.transcript}\n")
    return tmp_path


def arguments(served: Served, corpus: Path, *more: str) -> list[str]:
    target = ["--url", served.url, "--grpc", served.grpc, "--machine", "a test", "--model", "none"]
    load = ["--time", "2s", "--peak", "3", "--users", "RestUser,StreamingUser,GrpcUser", "--corpus", str(corpus)]
    return [*target, *load, "--locust", str(LOCUST), "--reports", str(corpus / "reports"), *more]


@needs_locust
def test_a_run_is_judged_and_reported(served: Served, corpus: Path, capfd: pytest.CaptureFixture[str]) -> None:
    page = corpus / "page.md"
    page.write_text("<!-- loadtest:soak -->\n<!-- /loadtest:soak -->\n<!-- loadtest:steady -->\n")
    written = ["--markdown", str(page), "--marker", "soak", "--svg", str(corpus / "reports.svg")]
    assert main(arguments(served, corpus, *written)) == 0
    results = Results.read(corpus / "reports" / "results.json")
    by_name = {each.endpoint: each for each in summarise(results)}
    assert by_name.keys() == {"rest", "streaming", "grpc"}
    assert all(each.good and not each.errors and not each.refused for each in by_name.values())
    assert by_name["streaming"].first_text_seconds(50) is not None
    assert (results.shape, results.machine, results.model) == ("steady", "a test", "none")
    assert max(record.users for record in results.records) == 3
    files = {path.name for path in (corpus / "reports").iterdir()}
    assert {"locust.html", "locust_stats.csv", "plot.svg", "results.json", "summary.md"} <= files
    summary = (corpus / "reports" / "summary.md").read_text()
    assert "| pass" in summary
    assert "FAIL" not in summary
    assert f"<!-- loadtest:soak -->\n\n{summary}\n![Seconds of each request](reports.svg)\n\n<!-- /" in page.read_text()
    assert (corpus / "reports.svg").read_text() == (corpus / "reports" / "plot.svg").read_text()
    assert summary in capfd.readouterr().out


@needs_locust
def test_a_wrong_text_fails_the_run(served: Served, corpus: Path, capfd: pytest.CaptureFixture[str]) -> None:
    manifest = corpus / "manifest.tsv"
    manifest.write_text(manifest.read_text().replace(CLIP.transcript, "Something else was said here."))
    assert main(arguments(served, corpus)) == 1
    out = capfd.readouterr().out
    assert "× wrong text" in out
    assert "FAIL" in out


@needs_locust
def test_refusals_are_counted_apart(served: Served, corpus: Path, tmp_path: Path) -> None:
    served.pipeline.refuse = Overloaded(7)
    limits = tmp_path / "limits.yaml"
    limits.write_text("endpoints: {default: {error_share: 0}}")
    assert main(arguments(served, corpus, "--thresholds", str(limits))) == 0
    for each in summarise(Results.read(corpus / "reports" / "results.json")):
        assert each.refused == len(each.records) > 0


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (["--thresholds", "/nowhere.yaml"], "/nowhere.yaml cannot be read"),
        (["--peak", "0"], "at least 1 user, not 0"),
        (["--peak", "2"], "a peak of 2 users is too few for 6 classes of them: RestUser, "),
        (["--markdown", "/nowhere.md"], "/nowhere.md has no lines <!-- loadtest:steady -->"),
        (["--svg", "/nowhere/plot.svg"], "/nowhere/plot.svg cannot be written: there is no folder /nowhere"),
        (["--locust", "/nowhere/locust"], "Locust did not start: /nowhere/locust: No such file"),
    ],
)
def test_what_cannot_run_is_told(
    more: list[str], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--url", "http://127.0.0.1:9", "--reports", str(tmp_path), *more]) == 2
    assert told in capsys.readouterr().err


@needs_locust
def test_a_folder_without_clips_is_told(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    options = ["--url", "http://127.0.0.1:9", "--reports", str(tmp_path), "--corpus", str(tmp_path)]
    assert main([*options, "--locust", str(LOCUST)]) == 2
    assert "it has no manifest.tsv" in capfd.readouterr().err


@pytest.mark.parametrize("text", ["0", "fast", "3d", "1.2.3", ""])
def test_durations_that_are_none(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        read_options(["--time", text])
    assert "is no duration such as 90s, 3m or 1.5h" in capsys.readouterr().err


def test_unknown_users(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        read_options(["--users", "RestUser,NoUser"])
    assert "there is no NoUser: choose of RestUser, " in capsys.readouterr().err


def test_options_are_read() -> None:
    options = read_options(["--users", "RestUser, GrpcUser", "--time", "1.5h", "--", "--tags", "a"])
    assert (options.users, options.seconds, options.more) == (("RestUser", "GrpcUser"), 5400.0, ("--tags", "a"))
    assert read_options(["--users", ""]).users == ()
    assert read_options([]).seconds == seconds_of("60")


@needs_locust
@pytest.mark.slow
def test_workers_do_what_their_master_is_told(served: Served, corpus: Path) -> None:
    port = str(on_free_ports().inference)
    work = [str(LOCUST), "-f", str(ROOT / "loadtest" / "locustfile.py"), "--worker", "--master-port", port]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "LOADTEST_CORPUS": str(corpus)}
    workers = [subprocess.Popen(work, env=environment, cwd=corpus) for _ in range(2)]
    try:
        # Workers that never pause may miss to tell their master, on a busy machine, that they live.
        master = ["--", "--pause", "0.2", "--master", "--master-bind-port", port, "--expect-workers", "2"]
        master += ["--expect-workers-max-wait", "120"]
        assert main(arguments(served, corpus, "--peak", "6", "--time", "8s", *master)) == 0
        assert [worker.wait(60) for worker in workers] == [0, 0]
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
    results = Results.read(corpus / "reports" / "results.json")
    assert {record.endpoint for record in results.records} == {"rest", "streaming", "grpc"}
    assert max(record.users for record in results.records) == 6
    # Told by the master's clock, on which the run began at zero.
    assert all(-1 <= record.started <= record.ended <= 60 for record in results.records)
