"""What README.md tells people to try does what it says."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.recordings import JFK
from tests.e2e.stack import Stack

pytestmark = [pytest.mark.e2e, pytest.mark.weights]

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Example:
    """A command, and the beginning of what it prints; … stands for anything."""

    command: str
    output: str

    def printed_by(self, output: str) -> bool:
        pattern = ".*".join(re.escape(piece) for piece in self.output.split("…"))
        return re.match(pattern, spaced(output), re.DOTALL) is not None


def spaced(output: str) -> str:
    """JSON as the README writes it, with spaces; anything else as it is."""
    try:
        return json.dumps(json.loads(output), ensure_ascii=False)
    except ValueError:
        return output


def blocks(language: str) -> list[str]:
    """The blocks of code in a language, of the section for those who try it."""
    [section] = re.findall(r"^## Try it\n(.*?)^## ", (ROOT / "README.md").read_text("utf-8"), re.MULTILINE | re.DOTALL)
    return re.findall(rf"^```{language}\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)


def examples() -> list[Example]:
    """Each `curl` with the comment below it."""
    found = re.findall(r"^(curl .*)\n((?:# .*\n)+)", "\n".join(blocks("sh")), re.MULTILINE)
    return [Example(command, re.sub(r"^# ", "", said.rstrip("\n"), flags=re.MULTILINE)) for command, said in found]


def here(text: str, stack: Stack) -> str:
    """With the stack's addresses for those that it has by default."""
    for address, own in (
        ("http://127.0.0.1:8000", stack.url),
        ("http://127.0.0.1:8080", stack.endpoints.inference_url),
        ("127.0.0.1:9000", stack.grpc),
        ('"127.0.0.1:7070"', f'"{stack.endpoints.grpc_target}"'),
    ):
        text = text.replace(address, own)
    return text


def run(command: list[str]) -> str:
    """What it prints, run where the README is."""
    environment = {**os.environ, "NO_PROXY": "127.0.0.1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_command_has_its_output_below() -> None:
    commands = re.findall(r"^curl .*$", "\n".join(blocks("sh")), re.MULTILINE)
    assert [example.command for example in examples()] == commands
    assert len(commands) >= 5
    assert len(blocks("python")) == 3


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
@pytest.mark.parametrize("example", examples(), ids=lambda example: example.command.removeprefix("curl "))
def test_a_command_prints_what_the_readme_says(stack: Stack, example: Example) -> None:
    command = here(example.command, stack)
    assert command != example.command
    output = run(shlex.split(command))
    assert example.printed_by(output), output


@pytest.mark.parametrize("number", [0, 1, 2], ids=["openai", "grpc", "torchserve"])
def test_a_program_prints_what_was_said(stack: Stack, number: int) -> None:
    program = blocks("python")[number]
    assert here(program, stack) != program
    assert run([sys.executable, "-c", here(program, stack)]).strip() == JFK
