"""Locust's users: each sends one clip after the other, by a transport of its own."""

from __future__ import annotations

import random
import time
from typing import Final

import grpc.experimental.gevent as grpc_gevent
from locust import User, task
from locust.env import Environment

from loadtest.answers import Answer, Transport
from loadtest.clips import Clip, Clips
from loadtest.endpoints import ENDPOINTS
from loadtest.recording import Recording
from loadtest.transports.event_stream import EventStreamTransport
from loadtest.transports.form import FormTransport
from loadtest.transports.live_websocket import LiveTransport
from loadtest.transports.speech_grpc import SpeechGrpcTransport
from loadtest.transports.torchserve import TorchServeGrpcTransport, TorchServeRestTransport
from loadtest.wording import check

BACK_OFF_SECONDS: Final = 1.0

# gRPC waits in threads of its own, which would hold up all other users.
grpc_gevent.init_gevent()


class SpeechUser(User):
    """Sends a clip and checks its text."""

    abstract = True

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        self.recording: Recording = environment.recording
        self.clips: Clips = environment.clips
        self.options = environment.parsed_options
        self.chance = random.Random()  # noqa: S311  Nothing secret is chosen.

    def connect(self) -> Transport:
        """A transport of this user's own."""
        raise NotImplementedError

    def wait_time(self) -> float:
        """Seconds between an answer and the next request: at random, in the mean `--pause`."""
        return self.chance.uniform(0, 2 * float(self.options.pause))

    def on_start(self) -> None:
        """Open the connection."""
        self.transport = self.connect()

    def on_stop(self) -> None:
        """Close it."""
        self.transport.close()

    @task
    def transcribe(self) -> None:
        """Send one clip; after a failure or a refusal wait, as clients do."""
        clip = self.clips.choose(self.chance)
        if self.recording.run(ENDPOINTS[type(self).__name__], clip, lambda: self._ask(clip)) is None:
            time.sleep(BACK_OFF_SECONDS)

    def _ask(self, clip: Clip) -> Answer:
        answer = self.transport.transcribe(clip)
        check(answer, clip, self.options.most_word_errors)
        return answer


class RestUser(SpeechUser):
    """Uploads a file to OpenAI's REST API."""

    def connect(self) -> Transport:
        return FormTransport(self.environment.host, key=self.options.api_key)


class StreamingUser(SpeechUser):
    """The same, with the text as server-sent events."""

    def connect(self) -> Transport:
        return EventStreamTransport(self.environment.host, key=self.options.api_key)


class GrpcUser(SpeechUser):
    """Calls the project's gRPC service."""

    def connect(self) -> Transport:
        return SpeechGrpcTransport(self.options.grpc_target, key=self.options.api_key)


class LiveUser(SpeechUser):
    """Speaks a clip over a WebSocket, as fast as it was spoken."""

    def connect(self) -> Transport:
        return LiveTransport(self.environment.host, key=self.options.api_key)


class TorchServeUser(SpeechUser):
    """Posts a file to TorchServe's own REST API."""

    def connect(self) -> Transport:
        return TorchServeRestTransport(self.options.torchserve_url, self.options.torchserve_model)


class TorchServeGrpcUser(SpeechUser):
    """Calls TorchServe's own gRPC."""

    def connect(self) -> Transport:
        return TorchServeGrpcTransport(self.options.torchserve_target, self.options.torchserve_model)
