"""Runs in a pod: sends a recording again and again until /tmp/stop is there, and tells what came of each request.

Each request has a connection of its own, so that a Service spreads them. The chart's script, which lies
beside, sends them.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from pathlib import Path

from smoke import transcribe, words

STOP = Path("/tmp/stop")


def send_until_stopped(url: str, audio: bytes, expected: str) -> None:
    while not STOP.exists():
        started = time.monotonic()
        status, body = transcribe(url, "whisper-1", audio, "", 300)
        good = status == 200 and expected in words(json.loads(body)["text"])
        seconds = round(time.monotonic() - started, 3)
        sys.stdout.write(json.dumps({"good": good, "status": status, "seconds": seconds, "body": body[:500]}) + "\n")
        sys.stdout.flush()


def main() -> None:
    url, clip, expected, threads = sys.argv[1:]
    arguments = (url, Path(clip).read_bytes(), expected)
    senders = [threading.Thread(target=send_until_stopped, args=arguments) for _ in range(int(threads))]
    for each in senders:
        each.start()
    for each in senders:
        each.join()


if __name__ == "__main__":
    main()
