"""Building both images with `make images` from what this machine reaches: its package index, its certificates."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.images.engine import Engine

ROOT = Path(__file__).resolve().parents[2]
TAG = "test"
BASE = "localhost/whisper-serve-test-base:bookworm"
CA_IN_BUILD = "/run/secrets/ca.pem"


def build(engine: Engine, folder: Path, target: str = "images") -> str:
    """Build both images, or by another target what that builds; what make prints."""
    variables = {"ENGINE": engine.program, "IMAGE_TAG": TAG, **pip_variables(engine, folder), **base_variables(engine)}
    for name in ("TORCH_INDEX", "PIP_INDEX"):
        if value := os.environ.get(name):
            variables[name] = value
    command = ["make", "--no-print-directory", target, *(f"{name}={value}" for name, value in variables.items())]
    with (folder / "build.log").open("w+") as log:
        done = subprocess.run(command, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT, check=False)
        log.seek(0)
        text = log.read()
    assert done.returncode == 0, text[-5000:]
    return text


def base_variables(engine: Engine) -> dict[str, str]:
    """IMAGE_BASE, or for root with debootstrap a Debian made here, where no registry needs to be reached."""
    if given := os.environ.get("IMAGE_BASE"):
        return {"IMAGE_BASE": given}
    if engine.is_docker:
        return {}
    if not shutil.which("debootstrap") or os.getuid():
        if engine.attempt("pull", "docker.io/library/debian:bookworm-slim").returncode:
            pytest.skip(
                "no base image: none can be pulled, and making one takes debootstrap and root; or set IMAGE_BASE"
            )
        return {}
    if not engine("images", "--quiet", BASE):
        make_base(engine)
    return {"IMAGE_BASE": BASE}


def make_base(engine: Engine) -> None:
    """Debian's smallest system as an image."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        subprocess.run(["debootstrap", "--variant=minbase", "bookworm", folder], capture_output=True, check=True)
        with Path(folder, "etc/apt/sources.list").open("a") as sources:
            sources.write("deb http://deb.debian.org/debian-security bookworm-security main\n")
        left_out = ("./var/cache/apt/archives/*.deb", "./var/lib/apt/lists/*")
        pack = ["tar", *(f"--exclude={each}" for each in left_out), "-C", folder, "-c", "."]
        with subprocess.Popen(pack, stdout=subprocess.PIPE) as tar:
            subprocess.run([engine.program, "import", "-", BASE], stdin=tar.stdout, capture_output=True, check=True)


def pip_variables(engine: Engine, folder: Path) -> dict[str, str]:
    """This machine's own settings of pip as a secret of the build, with certificates and folders of packages."""
    settings = pip_settings()
    certificates = settings.pop("cert", None)
    lines = [f"{name} = {value}" for name, value in settings.items()]
    if certificates:
        lines.append(f"cert = {CA_IN_BUILD}")
    config = folder / "pip.conf"
    config.write_text("\n".join(["[global]", *lines, ""]))
    variables = {"PIP_CONF": str(config)}
    if certificates:
        variables["CA_BUNDLE"] = certificates
    if not engine.is_docker:
        # Root in a container, such as a job of CI, may make no namespaces; the build then goes without.
        isolation = ["--isolation", "chroot", "--network", "host"] if os.getuid() == 0 else []
        mounts = [f"--volume={path}:{path}:ro" for path in local_folders(settings)]
        variables["IMAGE_ARGS"] = shlex.join([*isolation, *mounts])
    return variables


def pip_settings() -> dict[str, str]:
    """Where pip finds packages here, by the names of its options."""
    command = [sys.executable, "-m", "pip", "config", "list"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = {}
    for line in listed.splitlines():
        key, _, value = line.partition("=")
        name = key.rsplit(".", 1)[-1]
        if name in {"cert", "index-url", "extra-index-url", "find-links", "trusted-host"}:
            found[name] = shlex.split(value)[0]
    return found


def local_folders(settings: Mapping[str, str]) -> list[str]:
    """The folders of this machine that settings of pip name, each with all it holds."""
    words = [word.removeprefix("file://") for value in settings.values() for word in value.split()]
    folders = {Path(word) for word in words if word.startswith("/")}
    # An index's pages may point to files beside it.
    return sorted({str(each.parent if each.name == "simple" else each) for each in folders if each.is_dir()})
