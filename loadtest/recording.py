"""What Locust's users did, kept as records: on one machine, or by workers who tell their master."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from locust.env import Environment

from loadtest.answers import Answer, Refused, RequestError
from loadtest.clips import Clip
from loadtest.records import OK, Record

KEY = "records"


class Recording:
    """The records of this process, and on a master those of all workers too."""

    def __init__(self, environment: Environment) -> None:
        self.records: list[Record] = []
        self._environment = environment
        self._unsent: list[Record] = []
        self.began = time.time()
        environment.events.report_to_master.add_listener(self._tell)
        environment.events.worker_report.add_listener(self._hear)

    def run(self, endpoint: str, clip: Clip, ask: Callable[[], Answer]) -> Answer | None:
        """Send a request by `ask`, and keep what came of it: the answer, or None of a failed or refused one."""
        began, started = time.time() - self.began, time.perf_counter()
        try:
            answer: Answer | None = ask()
            error: RequestError | None = None
        except Exception as raised:  # Whatever it is, the request has failed, and Locust would only log it.
            answer, error = None, _as_request_error(raised)
        took = time.perf_counter() - started
        seconds = answer.seconds if answer else took
        first = answer.first_text_seconds if answer else None
        runner = self._environment.runner
        users = runner.user_count if runner else 1
        kind = error.kind if error else OK
        self._keep(Record(endpoint, began, began + took, seconds, clip.seconds, users, kind, first), error)
        return answer

    def _keep(self, record: Record, error: RequestError | None) -> None:
        self.records.append(record)
        self._unsent.append(record)
        refused = isinstance(error, Refused)
        fire = self._environment.events.request.fire
        common = {"request_type": record.endpoint, "response_length": 0, "context": {}}
        name = "refused" if refused else "whole text"
        fire(name=name, response_time=1000 * record.seconds, exception=None if refused else error, **common)
        if record.first_text_seconds is not None:
            fire(name="first text", response_time=1000 * record.first_text_seconds, exception=None, **common)

    def _tell(self, client_id: str, data: dict[str, Any]) -> None:
        data[KEY] = {"began": self.began, "records": [asdict(record) for record in self._unsent]}
        self._unsent = []

    def _hear(self, client_id: str, data: dict[str, Any]) -> None:
        told = data.get(KEY)
        if not told:
            return
        shift, users = told["began"] - self.began, self._environment.runner
        for each in told["records"]:
            # A worker knows only its own users: the master has them all.
            times = {name: each[name] + shift for name in ("started", "ended")}
            here = {**times, "users": max(each["users"], users.user_count if users else 0)}
            self.records.append(Record(**{**each, **here}))


def _as_request_error(error: Exception) -> RequestError:
    if isinstance(error, RequestError):
        return error
    return RequestError(type(error).__name__, str(error))
