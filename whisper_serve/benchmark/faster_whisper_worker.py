"""The worker of faster-whisper: stands alone, since it runs in another environment; protocol.py tells what it says."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any


def main() -> None:
    """The argument is JSON: folder, device, compute_type, batch (0: none), threads, language (null: to be found out).

    There may be temperatures too (those of a fallback), task, and detect_only: only the languages are asked.
    """
    settings = json.loads(sys.argv[1])
    replies = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what libraries print must not come between the replies
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: settings["threads"]])
    try:
        model = load(settings)
        print(json.dumps({"ready": True}), file=replies)
        for line in sys.stdin:
            request = json.loads(line)
            # A request may say otherwise than the settings what is spoken and what to do.
            print(json.dumps(transcribe(model, request["files"], {**settings, **request})), file=replies)
    except Exception as error:
        print(json.dumps({"error": f"{type(error).__name__}: {error}"}), file=replies)
        raise


def load(settings: dict[str, Any]) -> Any:
    """The model, or the pipeline that batches its windows."""
    from faster_whisper import BatchedInferencePipeline, WhisperModel

    kind, _, number = settings["device"].partition(":")
    model = WhisperModel(
        settings["folder"],
        device=kind,
        device_index=int(number or 0),
        compute_type=settings["compute_type"],
        cpu_threads=settings["threads"],
    )
    return BatchedInferencePipeline(model) if settings["batch"] else model


def transcribe(model: Any, files: list[str], settings: dict[str, Any]) -> dict[str, Any]:
    """Without beams, and greedy unless temperatures are given; all else is faster-whisper's default."""
    options = {"language": settings["language"], "task": settings.get("task", "transcribe"), "beam_size": 1}
    options |= {"temperature": settings.get("temperatures", 0.0), "condition_on_previous_text": False}
    if settings["batch"]:
        options["batch_size"] = settings["batch"]
    started = time.perf_counter()
    found = []
    languages = []
    for name in files:
        segments, information = model.transcribe(name, **options)
        found.append([] if settings.get("detect_only") else list(segments))  # segments come as they are decoded
        languages.append(information.language)
    seconds = time.perf_counter() - started
    return {
        "texts": ["".join(segment.text for segment in one) for one in found],
        "languages": languages,
        "seconds": seconds,
        "tokens": sum(len(segment.tokens) for one in found for segment in one),
        "windows": sum(len({segment.seek for segment in one}) for one in found),
        "fill": None,
        "peak_rss": peak_memory(),
    }


def peak_memory() -> int:
    """Bytes that this process has held at most."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))


if __name__ == "__main__":
    main()
