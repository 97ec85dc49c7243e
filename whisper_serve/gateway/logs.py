"""Logs as JSON, one object a line, each with the request that it belongs to."""

from __future__ import annotations

import json
import logging
import logging.config
from contextvars import ContextVar
from datetime import datetime, timezone
from typing import Any, Final

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
"""Of the request that is being answered."""

_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "color_message", "taskName"}


class JsonFormatter(logging.Formatter):
    """A record as one JSON object: time, level, logger, message, request_id, and what ``extra`` brought."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, timezone.utc).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if (current := request_id.get()) is not None:
            line["request_id"] = current
        line |= {name: value for name, value in vars(record).items() if name not in _STANDARD}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


def _is_no_access(record: logging.LogRecord) -> bool:
    """uvicorn logs each WebSocket with its query, in which there may be a prompt; the gateway logs it without."""
    return '"WebSocket %s"' not in str(record.msg)


def configure(level: str) -> None:
    """Send all logs, uvicorn's too, to standard error as JSON; requests are logged by the gateway itself.

    Of uvicorn at most `info` is told: in its details are the headers and messages of WebSockets, with keys and prompts.
    """
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {"json": {"()": JsonFormatter}},
            "filters": {"websockets": {"()": lambda: _is_no_access}},
            "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "json"}},
            "root": {"level": level.upper(), "handlers": ["stderr"]},
            "loggers": {
                "uvicorn": {"handlers": [], "propagate": True},
                "uvicorn.error": {
                    "level": "INFO" if level == "debug" else level.upper(),
                    "handlers": [],
                    "propagate": True,
                    "filters": ["websockets"],
                },
                "uvicorn.access": {"handlers": [], "propagate": False},
            },
        }
    )
