"""The worker of other projects' systems: stands alone, as it runs in their environment.

protocol.py tells what it says.
"""

from __future__ import annotations

import json
import os
import sys
import time
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

Settings = dict[str, Any]
Answer = dict[str, Any]
Transcribe = Callable[[list[str], Settings], Answer]


def main() -> None:
    """The argument is JSON: kind, folder, device, dtype, batch (0: none), threads, language (null: to be found out).

    For faster-whisper there may be temperatures too (those of a fallback), task, and detect_only: only languages are
    asked. A request may say otherwise than the argument what is spoken and what to do.
    """
    settings = json.loads(sys.argv[1])
    replies = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what libraries print must not come between the replies
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: settings["threads"]])
    try:
        transcribe = KINDS[settings["kind"]](settings)
        print(json.dumps({"ready": True}), file=replies)
        for line in sys.stdin:
            request = json.loads(line)
            started = time.perf_counter()
            answer = transcribe(request["files"], {**settings, **request})
            taken = {"seconds": time.perf_counter() - started, "fill": None, "peak_rss": peak_memory()}
            print(json.dumps({**answer, **taken}), file=replies)
    except Exception as error:
        print(json.dumps({"error": f"{type(error).__name__}: {error}"}), file=replies)
        raise


def faster_whisper(settings: Settings) -> Transcribe:
    """Without beams, and greedy unless temperatures are given; all else is faster-whisper's default."""
    from faster_whisper import BatchedInferencePipeline, WhisperModel

    kind, _, number = settings["device"].partition(":")
    model = WhisperModel(
        settings["folder"],
        device=kind,
        device_index=int(number or 0),
        compute_type=settings["dtype"],
        cpu_threads=settings["threads"],
    )
    system = BatchedInferencePipeline(model) if settings["batch"] else model
    always = {"beam_size": 1, "condition_on_previous_text": False}
    if settings["batch"]:
        always["batch_size"] = settings["batch"]

    def transcribe(files: list[str], asked: Settings) -> Answer:
        options = {"language": asked["language"], "task": asked.get("task", "transcribe"), **always}
        options["temperature"] = asked.get("temperatures", 0.0)
        found = []
        languages = []
        for name in files:
            segments, information = system.transcribe(name, **options)
            found.append([] if asked.get("detect_only") else list(segments))  # segments come as they are decoded
            languages.append(information.language)
        return {
            "texts": ["".join(segment.text for segment in one) for one in found],
            "languages": languages,
            "tokens": sum(len(segment.tokens) for one in found for segment in one),
            "windows": sum(len({segment.seek for segment in one}) for one in found),
        }

    return transcribe


def transformers(settings: Settings) -> Transcribe:
    """The speech recognition pipeline, window by window with times as its makers advise, greedy, without fallback."""
    import torch
    from transformers import WhisperFeatureExtractor, WhisperForConditionalGeneration, WhisperTokenizer, pipeline
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    folder = Path(settings["folder"])
    torch.set_num_threads(settings["threads"])
    vocabulary = json.loads((folder / "vocab.json").read_text(encoding="utf-8"))
    letters = bytes_to_unicode()  # type: ignore[no-untyped-call]
    texts = {"".join(letters[byte] for byte in bytes.fromhex(text)): n for n, text in enumerate(vocabulary["text"])}
    tokenizer = WhisperTokenizer(vocab=texts, merges=[])  # It only has to decode.
    tokenizer.add_tokens(vocabulary["special"], special_tokens=True)
    extractor: Any = WhisperFeatureExtractor
    model: Any = WhisperForConditionalGeneration.from_pretrained(folder, dtype=getattr(torch, settings["dtype"]))
    recognizer: Any = pipeline(
        "automatic-speech-recognition",
        model=model,
        tokenizer=tokenizer,
        feature_extractor=extractor(feature_size=vocabulary["n_mels"]),
        device=settings["device"],
    )
    options = {"language": settings["language"], "task": "transcribe"}

    def transcribe(files: list[str], _: Settings) -> Answer:
        texts = [recognizer(samples(name), return_timestamps=True, generate_kwargs=options)["text"] for name in files]
        return {"texts": texts, "tokens": None, "windows": None}

    return transcribe


KINDS = {"faster-whisper": faster_whisper, "transformers": transformers}


def samples(name: str) -> Any:
    """The float32 samples of a WAV file of 16 bits, mono, 16 kHz: what is measured is written so."""
    import numpy as np

    with wave.open(name, "rb") as file:
        return np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(np.float32) / 32768


def peak_memory() -> int:
    """Bytes that this process has held at most."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))


if __name__ == "__main__":
    main()
