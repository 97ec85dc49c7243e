"""What can go wrong around TorchServe.

TorchServeError
├── ArchiveError        the archive cannot be built or read
├── JavaNotFound        no Java that runs TorchServe on this machine
├── PortsBusy           another program listens on a port TorchServe needs
├── ServerFailed        TorchServe or its worker did not start, or died again and again; has .log
└── RequestFailed       TorchServe answered a request with an error, or not at all; has .status
"""

from __future__ import annotations


class TorchServeError(Exception):
    """The base of this package's errors; its message is a sentence for the person at the terminal."""


class ArchiveError(TorchServeError):
    """The archive cannot be built, or the file is no archive of ours."""


class JavaNotFound(TorchServeError):
    """No Java of a version that runs TorchServe was found."""


class PortsBusy(TorchServeError):
    """At least one port that TorchServe needs is taken."""


class ServerFailed(TorchServeError):
    """TorchServe did not become ready, or died too often.

    `log` holds the last lines it or its workers wrote, oldest first.
    """

    def __init__(self, message: str, log: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.log = log


class RequestFailed(TorchServeError):
    """A request was answered with an error or could not be sent.

    `status` is the HTTP status, or the gRPC status code's name, or None when there was no answer.
    """

    def __init__(self, message: str, status: int | str | None = None) -> None:
        super().__init__(message)
        self.status = status
