"""A network link between this machine and a network namespace, over which packets come late or not at all.

The link is two TUN devices between which this process carries the packets. So it needs root and /dev/net/tun, and no
module of the kernel such as netem.
"""

from __future__ import annotations

import fcntl
import heapq
import os
import random
import select
import struct
import subprocess
import threading
import time
from contextlib import ExitStack, suppress
from types import TracebackType
from typing import Final

HERE: Final = "10.203.7.1"
THERE: Final = "10.203.7.2"
NAMESPACE: Final = "whisper-chaos"
_TUNSETIFF: Final = 0x400454CA
_IFF_TUN: Final = 0x0001
_IFF_NO_PI: Final = 0x1000
_DEVICES: Final = ("wschaos0", "wschaos1")
_PACKET_BYTES: Final = 65536


class Link:
    """A context manager: HERE is reached from the namespace, THERE from this machine.

    `loss` is the share of packets that vanish, `delay` the seconds that the others take, each way. Both may change at
    any time. Entry raises OSError where TUN devices cannot be made, CalledProcessError where networks cannot.
    """

    def __init__(self) -> None:
        self.loss = 0.0
        self.delay = 0.0
        self.dropped = 0
        self._chance = random.Random(0)
        self._stack = ExitStack()
        self._stop = threading.Event()
        self._waiting: list[tuple[float, int, int, bytes]] = []
        """When a packet is due, its number, where it goes, and itself."""
        self._number = 0

    def __enter__(self) -> Link:
        with ExitStack() as stack:
            ends = [_open_tun(name) for name in _DEVICES]
            for end in ends:
                stack.callback(os.close, end)
            _ip("netns", "add", NAMESPACE)
            stack.callback(_ip, "netns", "delete", NAMESPACE)
            _configure()
            carrier = threading.Thread(target=self._carry, args=(dict(zip(ends, reversed(ends), strict=True)),))
            carrier.start()
            stack.callback(carrier.join)
            stack.callback(self._stop.set)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def _carry(self, other: dict[int, int]) -> None:
        while not self._stop.is_set():
            readable, _, _ = select.select([*other], [], [], self._patience())
            for end in readable:
                self._take(os.read(end, _PACKET_BYTES), other[end])
            while self._waiting and self._waiting[0][0] <= time.monotonic():
                *_, end, packet = heapq.heappop(self._waiting)
                with suppress(OSError):  # a device that is down takes none
                    os.write(end, packet)

    def _take(self, packet: bytes, end: int) -> None:
        if self._chance.random() < self.loss:
            self.dropped += 1
            return
        self._number += 1
        heapq.heappush(self._waiting, (time.monotonic() + self.delay, self._number, end, packet))

    def _patience(self) -> float:
        """Seconds until the next packet is due, at most so long that the end is noticed."""
        due = self._waiting[0][0] - time.monotonic() if self._waiting else 0.1
        return min(max(due, 0.0), 0.1)


def _open_tun(name: str) -> int:
    end = os.open("/dev/net/tun", os.O_RDWR)
    try:
        fcntl.ioctl(end, _TUNSETIFF, struct.pack("16sH", name.encode(), _IFF_TUN | _IFF_NO_PI))
    except OSError:
        os.close(end)
        raise
    return end


def _configure() -> None:
    here, there = _DEVICES
    inside = ("-n", NAMESPACE)
    _ip("link", "set", there, "netns", NAMESPACE)
    _ip("address", "add", HERE, "peer", THERE, "dev", here)
    _ip("link", "set", here, "up")
    _ip(*inside, "address", "add", THERE, "peer", HERE, "dev", there)
    _ip(*inside, "link", "set", there, "up")
    _ip(*inside, "link", "set", "lo", "up")


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)
