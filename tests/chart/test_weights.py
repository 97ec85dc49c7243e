"""The command that copies weights out of an image, really run: twice, at once and killed, as pods with a claim do."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.chart.render import Object, render_case
from tests.e2e.stack import wait_until

pytestmark = pytest.mark.chart

TOOLS = ("sh", "cp", "mv", "rm", "mkdir", "chmod")
"""All that the image has to have."""


@pytest.fixture(params=["coreutils", "busybox"])
def tools(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A folder with these programs alone."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for tool in TOOLS:
        program = shutil.which("busybox" if request.param == "busybox" else tool)
        if program is None:
            pytest.skip(f"{request.param} is not installed")
        (folder / tool).symlink_to(program)
    return folder


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "models"
    (folder / "tuned" / "deep").mkdir(parents=True)
    (folder / "tuned" / "model.bin").write_bytes(os.urandom(4 << 20))
    for number in range(20):
        (folder / "tuned" / "deep" / f"{number}.json").write_text(str(number))
    return folder


@pytest.fixture
def target(tmp_path: Path) -> Path:
    (tmp_path / "cache").mkdir()
    return tmp_path / "cache" / "03c0"


def container() -> Object:
    (copying,) = render_case("weights-image").pod("-torchserve")["initContainers"]
    return dict(copying)


def start(tools: Path, source: Path, target: Path, pod: str, before: str = "") -> subprocess.Popen[bytes]:
    """The rendered command, with these folders instead of the container's; the shell runs `before` first."""
    shell, option, script, name, *arguments = container()["command"]
    assert (shell, option, arguments[-1]) == ("sh", "-c", "$(POD_NAME)")
    # Kubernetes puts variables in, and makes $$ to $.
    assert "$(" not in script
    assert "$$" not in script
    command = [str(tools / shell), option, before + script, name, str(target), str(source), pod]
    return subprocess.Popen(command, env={"PATH": str(tools)}, stderr=subprocess.DEVNULL)


def copy(tools: Path, source: Path, target: Path, pod: str) -> int:
    return start(tools, source, target, pod).wait(60)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def inodes(folder: Path) -> dict[str, tuple[int, int]]:
    return {str(each): (each.stat().st_ino, each.stat().st_mtime_ns) for each in folder.rglob("*")}


def test_the_pod_is_told_its_name() -> None:
    assert {"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}} in container()["env"]


def test_what_is_there_is_left_alone(tools: Path, source: Path, target: Path) -> None:
    assert copy(tools, source, target, "a") == 0
    first, before = contents(source), inodes(target)
    assert contents(target) == first
    # As if the tag had been pushed again.
    (source / "tuned" / "model.bin").write_bytes(b"other")
    assert copy(tools, source, target, "b") == 0
    assert inodes(target) == before
    assert contents(target) == first
    assert list(target.parent.iterdir()) == [target]


def test_pods_that_start_at_once(tools: Path, source: Path, target: Path) -> None:
    running = [start(tools, source, target, f"pod-{number}") for number in range(8)]
    seen: set[int] = set()
    while any(each.poll() is None for each in running):
        if target.exists():
            # Whoever sees it sees all of it, and it is never another one.
            seen.add((target / "tuned" / "model.bin").stat().st_ino)
    assert [each.wait(60) for each in running] == [0] * 8
    assert len(seen) <= 1
    assert contents(target) == contents(source)
    assert list(target.parent.iterdir()) == [target]


@pytest.mark.parametrize("tool", ["mkdir", "cp", "mv"])
def test_the_slower_one_gives_way(tool: str, tools: Path, source: Path, target: Path, tmp_path: Path) -> None:
    """Whatever it was about to do when the faster one was done."""
    begun, go = tmp_path / "begun", tmp_path / "go"
    waiting = f': > "{begun}"; while [ ! -e "{go}" ]; do :; done'
    slow = start(tools, source, target, "slow", f'{tool}() {{ {waiting}; command {tool} "$@"; }}\n')
    try:
        wait_until(begun.exists, 30)
        assert copy(tools, source, target, "fast") == 0
        before = inodes(target)
        go.touch()
        assert slow.wait(60) == 0
    finally:
        slow.kill()
        slow.wait()
    assert inodes(target) == before
    assert contents(target) == contents(source)
    assert list(target.parent.iterdir()) == [target]


def test_what_killed_pods_leave_is_no_copy(tools: Path, source: Path, target: Path) -> None:
    for pod in ("killed", "again"):
        left = target.with_name(f"{target.name}.part-{pod}")
        left.mkdir()
        (left / "half").write_bytes(b"ha")
        (left / "locked").mkdir(mode=0o555)
    assert copy(tools, source, target, "again") == 0
    assert contents(target) == contents(source)
    assert list(target.parent.iterdir()) == [target]


def test_a_copy_that_fails_is_no_copy(tools: Path, source: Path, target: Path) -> None:
    assert copy(tools, source / "missing", target, "a") != 0
    assert list(target.parent.iterdir()) == []
    assert copy(tools, source, target, "a") == 0
    assert contents(target) == contents(source)
