"""What `helm test` runs: has each model of a gateway transcribe a recording and looks for words. Needs only Python."""

from __future__ import annotations

import argparse
import json
import re
import sys
import time
import urllib.error
import urllib.request
import uuid
from pathlib import Path


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("clip")
    parser.add_argument("--expect", default="")
    parser.add_argument("--model", action="append", required=True, help="may be repeated")
    parser.add_argument("--timeout", type=float, default=300.0)
    parser.add_argument("--key-file", help="a file that holds an API key")
    parser.add_argument("--refused", action="store_true", help="succeed when a request without a key is answered 401")
    asked = parser.parse_args()
    audio = Path(asked.clip).read_bytes()
    key = Path(asked.key_file).read_text("utf-8").strip() if asked.key_file else ""
    deadline = time.monotonic() + asked.timeout
    good = True
    for model in asked.model:
        status, body = answer(asked.url, model, audio, key, deadline)
        print(model, status, body)
        if asked.refused:
            good = good and status == 401
        else:
            good = good and status == 200 and words(asked.expect) in words(json.loads(body)["text"])
    return 0 if good else 1


def answer(url: str, model: str, audio: bytes, key: str, deadline: float) -> tuple[int | None, str]:
    """What `transcribe` gives, once it is no matter of time any more."""
    while True:
        status, body = transcribe(url, model, audio, key, deadline - time.monotonic())
        if status not in (None, 429, 502, 503, 504) or time.monotonic() + 2 > deadline:
            return status, body
        time.sleep(2)


def transcribe(url: str, model: str, audio: bytes, key: str, timeout: float) -> tuple[int | None, str]:
    """The status of the answer, None without one, and its body or what went wrong."""
    mark = uuid.uuid4().hex
    parts = [
        f'--{mark}\r\nContent-Disposition: form-data; name="model"\r\n\r\n{model}\r\n'.encode(),
        f'--{mark}\r\nContent-Disposition: form-data; name="file"; filename="clip.mp3"\r\n\r\n'.encode(),
        audio,
        f"\r\n--{mark}--\r\n".encode(),
    ]
    headers = {"Content-Type": f"multipart/form-data; boundary={mark}"}
    if key:
        headers["Authorization"] = f"Bearer {key}"
    request = urllib.request.Request(f"{url}/v1/audio/transcriptions", b"".join(parts), headers)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=max(timeout, 1)) as answer:  # The chart gives the address.
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode(errors="replace")
    except OSError as error:
        return None, str(error)


def words(text: str) -> str:
    return " ".join(re.findall(r"[a-z']+", text.lower()))


if __name__ == "__main__":
    sys.exit(main())
