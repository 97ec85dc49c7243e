"""A real Prometheus on a loopback port, which reads a running stack every two seconds and works out the rules."""

from __future__ import annotations

import math
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import yaml

from tests.monitoring.queries import Query
from whisper_serve.torchserve.endpoints import on_free_ports


class Prometheus:
    """Answers queries."""

    def __init__(self, url: str) -> None:
        self._http = httpx.Client(base_url=url, timeout=30, trust_env=False)

    def get(self, path: str, **parameters: str) -> Any:
        """The data of an answer of its API."""
        answer = self._http.get(f"/api/v1/{path}", params=parameters)
        assert answer.status_code == 200, answer.text
        return answer.json()["data"]

    def numbers(self, query: str) -> list[float]:
        """What a query gives now, without what is not a number."""
        values = [float(sample["value"][1]) for sample in self.get("query", query=query)["result"]]
        return [value for value in values if not math.isnan(value)]

    def becomes(self, query: str, number: float, seconds: float, within: float = 0.0) -> bool:
        """Whether a query gives that one number, as near as `within`, before that time is over."""
        deadline = time.monotonic() + seconds
        while not (found := self.numbers(query)) or abs(found[0] - number) > within or len(found) > 1:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.5)
        return True

    def without_data(self, queries: Sequence[Query], seconds: float) -> list[str]:
        """Where the queries stand that have given no number when that time is over."""
        left, deadline = list(queries), time.monotonic() + seconds
        while left and time.monotonic() < deadline:
            left = [query for query in left if not self.numbers(query.text)]
            time.sleep(0.5)
        return [query.place for query in left]

    def rules(self) -> list[dict[str, Any]]:
        """All rules, with how they fare."""
        return [rule for group in self.get("rules")["groups"] for rule in group["rules"]]

    def is_up(self) -> bool:
        try:
            return self._http.get("/-/ready").status_code == 200
        except httpx.HTTPError:
            return False

    def close(self) -> None:
        self._http.close()


@contextmanager
def run_prometheus(program: str, targets: Mapping[str, str], rules: Path) -> Iterator[Prometheus]:
    """Prometheus reading `targets`, ``host:port`` by component, as soon as it is ready."""
    with tempfile.TemporaryDirectory(prefix="prom") as folder:
        config = Path(folder, "prometheus.yml")
        config.write_text(yaml.safe_dump(_config(targets, rules)), "utf-8")
        port = on_free_ports().inference
        command = [program, f"--config.file={config}", f"--storage.tsdb.path={folder}/data"]
        with Path(folder, "log").open("w+b") as log:
            process = subprocess.Popen([*command, f"--web.listen-address=127.0.0.1:{port}"], stderr=log)
            prometheus = Prometheus(f"http://127.0.0.1:{port}")
            try:
                _wait(process, prometheus, Path(folder, "log"))
                yield prometheus
            finally:
                prometheus.close()
                process.terminate()
                process.wait(30)


def _config(targets: Mapping[str, str], rules: Path) -> dict[str, Any]:
    """As docs/operations.md tells, but faster."""
    jobs = [
        {"job_name": part, "static_configs": [{"targets": [address], "labels": {"app_kubernetes_io_component": part}}]}
        for part, address in targets.items()
    ]
    times = {"scrape_interval": "2s", "scrape_timeout": "2s", "evaluation_interval": "1s"}
    return {"global": times, "rule_files": [str(rules)], "scrape_configs": jobs}


def _wait(process: subprocess.Popen[bytes], prometheus: Prometheus, log: Path) -> None:
    deadline = time.monotonic() + 60
    while not prometheus.is_up():
        assert process.poll() is None, log.read_text("utf-8")
        assert time.monotonic() < deadline, log.read_text("utf-8")
        time.sleep(0.1)


def find_prometheus() -> str | None:
    """The program, if it is installed."""
    return shutil.which("prometheus")
