"""The images, built and run as a cluster runs them: without root, nothing writable but /tmp."""

from __future__ import annotations

import json
import re
import threading
import time
from pathlib import Path

import httpx
import pytest

from tests.images.conftest import GATEWAY, TORCHSERVE
from tests.images.engine import Container, Engine
from whisper_serve.client import SpeechClient
from whisper_serve.evaluation.corpus import Sample

pytestmark = [pytest.mark.images, pytest.mark.weights, pytest.mark.timeout(3600)]
BOTH = pytest.mark.parametrize("image", [GATEWAY, TORCHSERVE])
SAID = "ask not what your country can do for you"
NOT_TO_BE_THERE = "cc gcc g++ make git curl wget pip3 uv hatch"
CACHES = "/root/.cache /tmp/.cache /var/lib/apt/lists/* /var/cache/apt/archives/*.deb /wheels /src /opt/tools"


def test_sizes_are_told(built: str) -> None:
    for name in ("gateway", "torchserve"):
        row = re.search(rf"whisper-serve/{name}\s+test\s.*?([\d.]+ ?[MG]B)\s*$", built, re.MULTILINE)
        assert row, built[-1000:]
        print(f"{name}: {row[1]}")


@BOTH
def test_nothing_to_build_or_to_gain_rights_with_is_left(engine: Engine, built: str, image: str) -> None:
    script = (
        f"for name in {NOT_TO_BE_THERE}; do type -P $name; done; "
        f"for path in {CACHES}; do ls -d $path 2>/dev/null; done; "
        "find / -xdev -type f -perm /6000 2>/dev/null; find /opt -not -type l \\( -perm /022 -o -user whisper \\)"
    )
    assert engine.inside(image, f"({script}) || true", "--user=0:0") == ""


def test_gateway_has_neither_torch_nor_java_nor_pip(engine: Engine, built: str) -> None:
    script = 'type -P java; for name in torch ts pip; do python -c "import $name" 2>/dev/null && echo $name; done'
    assert engine.inside(GATEWAY, f"({script}) || true") == ""


@BOTH
def test_user_is_not_root(engine: Engine, built: str, image: str) -> None:
    assert engine.inside(image, "id -u; id -g; whoami").split() == ["10001", "10001", "whisper"]
    assert engine("inspect", "--format", "{{.Config.User}}", image) == "10001:10001"


@BOTH
def test_labels_say_what_it_is(engine: Engine, built: str, image: str) -> None:
    labels = json.loads(engine("inspect", "--format", "{{json .Config.Labels}}", image))
    found = {name.removeprefix("org.opencontainers.image."): value for name, value in labels.items()}
    assert found["version"] == "test"
    assert found["licenses"] == "Apache-2.0"
    assert len(found["revision"]) == 40
    assert found["base.name"]


def test_http_transcribes(gateway: Container, clips: dict[str, Sample]) -> None:
    response = transcribe(gateway, clips["en-jfk.mp3"].path)
    assert response.status_code == 200, response.text
    assert SAID in response.text


def test_grpc_transcribes(gateway: Container, clips: dict[str, Sample]) -> None:
    with SpeechClient(gateway.port(9000)) as client:
        assert SAID in client.transcribe(clips["en-jfk.mp3"].path).text


def test_root_file_system_stays_as_it_is(gateway: Container, torchserve: Container) -> None:
    for container in (gateway, torchserve):
        assert container.run("touch", "/tmp/written").returncode == 0
        assert "Read-only file system" in container.run("touch", "/opt/written").stderr


def test_management_is_not_on_the_network(gateway: Container, torchserve: Container) -> None:
    connect = "import socket, sys; sys.exit(socket.socket().connect_ex((sys.argv[1], int(sys.argv[2]))) != 0)"
    reached = {
        port for port in (7070, 7071, 8080, 8081, 8082)
        if gateway.run("python", "-c", connect, torchserve.ip, str(port)).returncode == 0
    }  # fmt: skip
    assert reached == {7070, 8080, 8082}


def test_missing_weights_are_told(engine: Engine, built: str, torchserve: Container) -> None:
    with engine.running(TORCHSERVE, weights="/models/none.safetensors", workers="1") as container:
        deadline = time.monotonic() + 180
        while container.running and time.monotonic() < deadline:
            time.sleep(0.5)
        assert not container.running
        assert container.exit_code == 1
        assert "the weights '/models/none.safetensors' cannot be loaded" in container.logs()
        assert "WHISPER_MODEL_CACHE, which is /models" in container.logs()


def test_gateway_finishes_its_work_when_it_is_told_to_stop(gateway: Container, clips: dict[str, Sample]) -> None:
    recording = clips["de-librivox-simplicissimus.ogg"]
    answers: list[httpx.Response] = []
    thread = threading.Thread(target=lambda: answers.append(transcribe(gateway, recording.path)))
    thread.start()
    deadline = time.monotonic() + 30
    while not busy(gateway):
        assert time.monotonic() < deadline, "no window is in work"
        time.sleep(0.05)
    seconds = gateway.stop(60)
    thread.join()
    assert answers[0].status_code == 200
    assert "mit Lachen die Wahrheit zu sagen" in answers[0].text
    assert gateway.exit_code == 0
    assert seconds < 45


def test_torchserve_stops_well_and_soon(torchserve: Container) -> None:
    assert torchserve.stop(30) < 25
    assert torchserve.exit_code == 0
    assert "Stopped." in torchserve.logs()


def transcribe(gateway: Container, path: Path) -> httpx.Response:
    url = f"http://{gateway.port(8000)}/v1/audio/transcriptions"
    form = {"model": "whisper-1", "response_format": "text"}
    return httpx.post(url, files={"file": path.read_bytes()}, data=form, timeout=300, trust_env=False)


def busy(gateway: Container) -> bool:
    """Whether audio of it is at TorchServe."""
    metrics = httpx.get(f"http://{gateway.port(8000)}/metrics", trust_env=False).text
    found = re.search(r"^whisper_gateway_in_flight_audio_seconds\{.*\} (\S+)$", metrics, re.MULTILINE)
    return found is not None and float(found[1]) > 0
