"""What Locust loads: the users, the shape that an option chooses, and what is written at the end.

``python -m loadtest`` runs it with servers of its own. By hand: ``locust -f loadtest/locustfile.py --headless``.
"""

from __future__ import annotations

import datetime
import logging
import sys
import time
from pathlib import Path
from typing import Any

from locust import LoadTestShape, events
from locust.argument_parser import LocustArgumentParser
from locust.env import Environment
from locust.runners import WorkerRunner

from loadtest.clips import Clips
from loadtest.errors import LoadTestError
from loadtest.recording import Recording
from loadtest.records import Results
from loadtest.shapes import SHAPES, Shape
from loadtest.users import GrpcUser, LiveUser, RestUser, StreamingUser, TorchServeGrpcUser, TorchServeUser

__all__ = ["ChosenShape", "GrpcUser", "LiveUser", "RestUser", "StreamingUser", "TorchServeGrpcUser", "TorchServeUser"]

SPAWN_RATE = 100
ROOT = Path(__file__).resolve().parents[1]


@events.init_command_line_parser.add_listener
def add_options(parser: LocustArgumentParser) -> None:
    """Our options, each of which an environment variable can set too; a master tells its workers: numbers and texts."""
    group = parser.add_argument_group("whisper-serve")

    def option(name: str, default: Any, told: str, **more: Any) -> None:
        group.add_argument(
            name, env_var=f"LOADTEST_{name.strip('-').replace('-', '_').upper()}", default=default, help=told, **more
        )

    option("--shape", "steady", "how the load changes", choices=sorted(SHAPES))
    option("--seconds", 60.0, "length of the run", type=float)
    option("--peak", 6, "most users at a time", type=int)
    option("--pause", 0.0, "mean seconds between an answer and the user's next request", type=float)
    option("--corpus", str(ROOT / "tests" / "data"), "folder of clips with manifest.tsv")
    option("--longest", float("inf"), "seconds of the longest clip that is sent", type=float)
    option("--most-word-errors", 0.5, "share of wrong words that makes a text a failure", type=float)
    option("--grpc-target", "127.0.0.1:9000", "host:port of the gateway's gRPC service")
    option("--torchserve-url", "http://127.0.0.1:8080", "TorchServe's address for inference")
    option("--torchserve-target", "127.0.0.1:7070", "host:port of TorchServe's gRPC for inference")
    option("--torchserve-model", "whisper", "what TorchServe calls the model")
    option("--api-key", None, "key for the gateway")
    option("--results", None, "file to write the results into, as JSON")
    option("--described-machine", "", "what the results say of the machine that is tested")
    option("--described-model", "", "what the results say of the model")


@events.init.add_listener
def prepare(environment: Environment, **_: Any) -> None:
    """Read the clips once, and keep what happens."""
    options = environment.parsed_options
    # It would tell of every request.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    try:
        environment.recording = Recording(environment)
        environment.clips = Clips.read(Path(options.corpus), options.longest)
        if environment.shape_class:
            environment.shape_class.shape = SHAPES[options.shape](options.seconds, options.peak)
    except (LoadTestError, ValueError, OSError) as error:
        sys.exit(f"The load test cannot begin: {error}")


@events.test_start.add_listener
def begin(environment: Environment, **_: Any) -> None:
    """The run's time begins."""
    environment.recording.began = time.time()


@events.quitting.add_listener
def finish(environment: Environment, **_: Any) -> None:
    """Write the results where all records are; whether they are good is not Locust's to say."""
    options = environment.parsed_options
    if isinstance(environment.runner, WorkerRunner):
        return
    environment.process_exit_code = 0
    if options.results:
        results_of(environment).write(Path(options.results))
        logging.getLogger(__name__).info("results are in %s", options.results)


def results_of(environment: Environment) -> Results:
    """All that was kept."""
    options, records = environment.parsed_options, environment.recording.records
    seconds = max((record.ended for record in records), default=0.0)
    date = datetime.datetime.now(datetime.timezone.utc).isoformat()
    return Results(options.shape, seconds, options.described_machine, options.described_model, date, records)


class ChosenShape(LoadTestShape):
    """The shape of `--shape`, told to Locust."""

    shape: Shape | None = None

    def tick(self) -> tuple[int, float] | None:
        """Users and how many start in a second; None when the run is over."""
        seconds, total = self.get_run_time(), self.runner.environment.parsed_options.seconds
        if self.shape is None or seconds >= total:
            return None
        return self.shape.users_at(seconds), SPAWN_RATE
