"""The command line: what it prints and how it ends."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from whisper_serve import __version__
from whisper_serve.cli.servers import alias_of, gateway_config
from whisper_serve.engine.weights import Weights, save_weights
from whisper_serve.engine.weights.files import cache_folder

ALIASES = "WHISPER_MODEL_ALIASES"


def run(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "whisper_serve", *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=120, check=False)


def test_version() -> None:
    assert run("--version").stdout == f"whisper-serve {__version__}\n"


def test_no_command_lists_the_commands() -> None:
    text = run().stdout
    commands = ("build", "serve", "gateway", "keys", "demo", "transcribe", "eval", "bench", "profile")
    assert all(command in text for command in commands)


@pytest.mark.parametrize(
    "command",
    [
        "build",
        "serve",
        "gateway",
        "keys add",
        "keys list",
        "keys revoke",
        "demo",
        "transcribe",
        "eval",
        "bench",
        "profile",
    ],
)
def test_help_has_examples(command: str) -> None:
    answer = run(*command.split(), "--help")
    assert answer.returncode == 0
    assert "Example" in answer.stdout
    assert f"whisper-serve {command}" in answer.stdout


@pytest.mark.parametrize(
    ("model", "alias"),
    [("default", "base"), ("trial", "base"), ("turbo", "turbo"), ("/models/fine,tuned", "fine tuned")],
)
def test_requests_may_call_a_model_by_its_name(monkeypatch: pytest.MonkeyPatch, model: str, alias: str) -> None:
    def aliases() -> str:
        return gateway_config(
            "127.0.0.1:7070", "whisper", alias_of(model), host=None, port=None, grpc_port=None
        ).environment[ALIASES]

    assert aliases() == f"whisper-1,{alias}"
    monkeypatch.setenv(ALIASES, "mine")
    assert aliases() == "mine"


def test_unknown_model_is_one_sentence(tmp_path: Path) -> None:
    answer = run("build", "--model", "no-such-model", "--output", str(tmp_path))
    assert answer.returncode == 1
    assert answer.stderr.startswith("Error: ")
    assert "no-such-model" in answer.stderr
    assert "Traceback" not in answer.stderr


def test_serving_nothing_is_one_sentence(tmp_path: Path) -> None:
    answer = run("serve", "--no-build", "--model-store", str(tmp_path))
    assert answer.returncode == 1
    assert answer.stderr.startswith("Error: There is no model archive")


def test_demo_of_a_missing_file(tmp_path: Path) -> None:
    answer = run("demo", str(tmp_path / "none.mp3"))
    assert answer.returncode == 2
    assert "none.mp3" in answer.stderr


def test_build_makes_an_archive(tmp_path: Path) -> None:
    answer = run("build", "--model", "random:tiny", "--output", "store", "--name", "small", cwd=tmp_path)
    assert answer.returncode == 0, answer.stderr
    assert (tmp_path / "store" / "small.mar").is_file()
    assert "Built store/small.mar" in answer.stdout


def test_build_without_weights_reads_none(tmp_path: Path) -> None:
    answer = run("build", "--model", "/models/not/here.pt", "--no-weights", "--output", "store", cwd=tmp_path)
    assert answer.returncode == 0, answer.stderr
    assert (tmp_path / "store" / "whisper.mar").stat().st_size < 1_000_000
    both = run("build", "--no-weights", "--external-weights", cwd=tmp_path)
    assert both.returncode == 1
    assert "exclude each other" in both.stderr


def test_fetch_says_what_it_cannot_fetch(tmp_path: Path) -> None:
    answer = run("fetch", "base", "./base.pt", "--output", "cache", cwd=tmp_path)
    assert answer.returncode == 1
    assert "'./base.pt' is no model that can be fetched: expected " in answer.stderr
    assert answer.stderr.rstrip().endswith("or URL#sha256=HEX.")
    assert not list(tmp_path.iterdir())


@pytest.mark.weights
def test_fetch_says_where_weights_are(base_weights: Weights, tmp_path: Path) -> None:
    answer = run("fetch", "trial", cwd=tmp_path)
    assert answer.stdout == f"{cache_folder(None)} holds the weights of {base_weights.name}.\n"


def test_transcribe_names_what_it_cannot_use(data: Path, tmp_path: Path) -> None:
    clip = str(data / "en-jfk.mp3")
    for arguments, words in (
        (["--format", "docx"], "docx"),
        (["--language", "klingon"], "klingon"),
        (["--temperature", "2"], "temperature"),
        (["--format", "vtt", "--max-line-width", "0"], "max_line_width"),
        (["--format", "vtt", "--max-line-count", "2"], "max_line_width"),
        (["--format", "vtt", "--max-line-width", "42", "--max-words-per-line", "5"], "max_words_per_line"),
        (["--highlight-words"], "'srt' or 'vtt'"),
        (["--patience", "2"], "patience needs beam_size"),
        (["--device", "tpu", "--model", "random:tiny"], "tpu"),
    ):
        answer = run("transcribe", clip, *arguments)
        assert answer.returncode == 1
        assert answer.stderr.startswith("Error: ")
        assert words in answer.stderr
        assert "Traceback" not in answer.stderr


def test_a_bad_recording_does_not_stop_the_others(data: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.wav"
    bad.write_bytes(b"")
    good = data / "en-librispeech-1089-134686-0001.flac"
    answer = run(
        "transcribe", str(bad), str(good), "--model", "random:tiny", "--temperature", "0.1", "-o", "texts", cwd=tmp_path
    )
    assert answer.returncode == 1
    assert f"Error: {bad}: the file is empty" in answer.stderr
    assert "Traceback" not in answer.stderr
    assert (tmp_path / "texts" / f"{good.stem}.txt").is_file()


@pytest.mark.parametrize("more", [["--model", "random:tiny"], ["--url", "http://127.0.0.1:9"]])
@pytest.mark.parametrize("names", [("a.mp3", "b.mp3", "a.wav"), ("x/a.mp3", "y/a.mp3")])
def test_texts_of_the_same_name_are_refused(tmp_path: Path, names: tuple[str, ...], more: list[str]) -> None:
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"audio")
    answer = run("transcribe", *names, "-o", "texts", *more, cwd=tmp_path)
    assert answer.returncode == 1
    assert answer.stderr.replace("\n", " ").startswith(
        f"Error: {names[0]} and {names[-1]} would both be written as 'a'"
    )
    assert not (tmp_path / "texts").exists()
    # Printed, they are told apart; and a file that is named twice has one text.
    assert "would both" not in run("transcribe", *names, *more, cwd=tmp_path).stderr
    assert "would both" not in run("transcribe", names[0], names[0], "-o", "texts", *more, cwd=tmp_path).stderr


@pytest.mark.weights
def test_transcribe_prints_the_text(data: Path) -> None:
    answer = run("transcribe", str(data / "en-jfk.mp3"), "--model", "trial", "--format", "srt")
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.startswith("1\n00:00:0")
    assert "ask what you can do for your country." in answer.stdout


@pytest.mark.weights
def test_transcribe_lays_subtitles_out(data: Path) -> None:
    def cues(*options: str) -> list[str]:
        answer = run("transcribe", str(data / "en-jfk.mp3"), "--model", "trial", "--format", "vtt", *options)
        assert answer.returncode == 0, answer.stderr
        return answer.stdout.removeprefix("WEBVTT\n\n").strip().split("\n\n")

    for cue in cues("--max-line-width", "20", "--max-line-count", "2"):
        _, *lines = cue.split("\n")
        assert len(lines) <= 2
        assert max(map(len, lines)) <= 20
    words = cues("--max-words-per-line", "3", "--highlight-words")
    assert "<u>And</u> so my" in words[0]
    assert max(len(cue.split("\n")[1].split()) for cue in words) == 3


def test_evaluation_fails_before_it_measures(data: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("no markers")
    for corpus, arguments, words in (
        (tmp_path, [], "manifest.tsv"),
        (data, ["--system", "abacus"], "unknown system 'abacus'"),
        (data, ["--system", "engine-int9"], "int9"),
        (data, ["--language", "klingon"], "klingon"),
        (data, ["--language", "sv"], "its languages are de, en, fr"),
        (data, ["--device", "tpu"], "tpu"),
        (data, ["--model", "no-such-model"], "no-such-model"),
        (data, ["--system", "http://127.0.0.1:9/v1"], "does not answer"),
        (data, ["--html", str(tmp_path / "none" / "page.html")], "there is no folder"),
        (data, ["--markdown", str(page)], "<!-- bench:quality -->"),
        (data, ["--markdown", str(page), "--borders", "1"], "<!-- bench:borders -->"),
        (data, ["--borders", "1", "--language", "en", "--language", "sv"], "is in 'sv'"),
    ):
        answer = run("eval", str(corpus), *arguments)
        assert answer.returncode == 1
        assert answer.stderr.startswith("Error: ")
        assert words in answer.stderr
        assert "Traceback" not in answer.stderr


def test_evaluation_writes_what_it_measured(data: Path, tmp_path: Path, tiny_weights: Weights) -> None:
    save_weights(tiny_weights, tmp_path / "tiny.safetensors")
    page = tmp_path / "page.md"
    page.write_text("<!-- bench:quality -->\n<!-- /bench:quality -->\n")
    systems = ["--system", "ours=engine", "--system", "openai-whisper", "--system", "faster-whisper"]
    arguments = ["--model", "tiny.safetensors", "--greedy", "--limit", "1", "--language", "fr", "--language", "German"]
    files = ["--json", "all.json", "--html", "page.html", "--markdown", "page.md"]
    answer = run("eval", str(data / "manifest.tsv"), *systems, *arguments, *files, cwd=tmp_path)
    assert answer.returncode == 0, answer.stderr
    assert "− ours" in answer.stdout
    assert "faster-whisper failed: of its format we have the base model only" in answer.stdout
    measured = json.loads((tmp_path / "all.json").read_text())
    assert [line["name"] for line in measured["errors"]] == ["de", "fr", "mean"]
    assert len(measured["spoken"]) == 2
    assert "| openai-whisper − ours |" in page.read_text()
    assert "de-common-voice-17922420.mp3" in (tmp_path / "page.html").read_text()


@pytest.mark.slow
def test_evaluation_writes_what_happens_at_borders(data: Path, tmp_path: Path, tiny_weights: Weights) -> None:
    save_weights(tiny_weights, tmp_path / "tiny.safetensors")
    page = tmp_path / "page.md"
    page.write_text("<!-- bench:borders -->\n<!-- /bench:borders -->\n")
    arguments = ["--borders", "1", "--language", "fr", "--language", "German", "--model", "tiny.safetensors"]
    files = ["--json", "all.json", "--markdown", "page.md"]
    answer = run("eval", str(data), *arguments, *files, cwd=tmp_path)
    assert answer.returncode == 0, answer.stderr
    ways = [(each["language"], each["label"]) for each in json.loads((tmp_path / "all.json").read_text())]
    assert ways == [(code, way) for code in ("fr", "de") for way in ("without overlap", "overlapping within speech")]
    for code, way in ways:
        assert f"| {code} | {way} |" in page.read_text()


def test_keys_are_added_listed_and_revoked(tmp_path: Path) -> None:
    file = f"--keys-file={tmp_path / 'keys.jsonl'}"
    added = run("keys", "add", file, "Anna")
    assert added.returncode == 0, added.stderr
    key = added.stdout.splitlines()[-1]
    assert key not in (tmp_path / "keys.jsonl").read_text()
    key_id = added.stdout.split()[1].rstrip(".")
    assert key_id in key
    listed = run("keys", "list", file).stdout
    assert key_id in listed
    assert "Anna" in listed
    assert run("keys", "revoke", file, key_id).returncode == 0
    assert run("keys", "list", file).stdout == ""
    again = run("keys", "revoke", file, key_id)
    assert (again.returncode, again.stderr.count("\n")) == (1, 1)
    assert key_id in again.stderr


@pytest.mark.parametrize(
    ("option", "value", "named"), [("torchserve", "nowhere", "torchserve_grpc"), ("models", "[]", "models")]
)
def test_a_bad_setting_of_the_gateway_is_one_sentence(option: str, value: str, named: str) -> None:
    answer = run("gateway", f"--{option}", value)
    assert answer.returncode == 1
    assert answer.stderr.startswith("Error: bad gateway settings")
    assert f" {named}: " in " ".join(answer.stderr.split())
    assert "Traceback" not in answer.stderr


def test_benchmark_fails_before_it_measures(data: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("no markers")
    for arguments, words in (
        (["--systems", "engine,abacus"], "unknown system abacus"),
        (["--baseline", "abacus"], "the baseline 'abacus'"),
        (["--device", "tpu"], "tpu"),
        (["--json", str(tmp_path / "none" / "file.json")], "there is no folder"),
        (["--markdown", str(page), "--device", "cpu"], "<!-- bench:cpu -->"),
    ):
        answer = run("bench", str(data), *arguments)
        assert answer.returncode == 1
        assert answer.stderr.startswith("Error: ")
        assert words in answer.stderr
        assert "Traceback" not in answer.stderr


def test_benchmark_writes_what_it_measured(data: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("<!-- bench:cpu -->\n<!-- /bench:cpu -->\n")
    arguments = ["--systems", "speech-detector", "--device", "cpu", "--minutes", "0.05", "--rounds", "1"]
    files = ["--json", "all.json", "--svg", "chart.svg", "--markdown", "page.md"]
    answer = run("bench", str(data), *arguments, *files, cwd=tmp_path)
    assert answer.returncode == 0, answer.stderr
    assert "speech-detector" in answer.stdout
    assert (tmp_path / "all.json").read_text().startswith("{")
    assert (tmp_path / "chart.svg").read_text().startswith("<svg")
    assert "| speech-detector | one core |" in page.read_text()
    assert "(chart.svg)" in page.read_text()


def test_benchmark_of_nothing_that_runs_fails(data: Path) -> None:
    answer = run("bench", str(data), "--systems", "faster-whisper-float16", "--device", "cpu", "--minutes", "0.05")
    assert answer.returncode == 1
    assert "not available: it is for cuda only" in " ".join(answer.stdout.split())
