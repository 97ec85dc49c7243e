"""API keys: a file of salted hashes, one JSON object a line, and what is done with it.

A key is ``ws-<id>-<secret>`` with 256 random bits, so a fast hash is as safe as a slow one. The file never holds a key.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
import logging
import os
import secrets
import stat
import tempfile
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Final

from whisper_serve.settings import SettingsError

logger = logging.getLogger(__name__)

PREFIX: Final = "ws"
SECRET_BYTES: Final = 32
RELOAD_SECONDS: Final = 1.0
"""How old what is known of the file may be."""


class KeysError(SettingsError):
    """The file of keys cannot be read, or holds something else; the message says where."""


@dataclass(frozen=True, slots=True)
class ApiKey:
    """What is kept of a key. ``created`` is a time in ISO 8601, UTC."""

    id: str
    label: str
    salt: str
    hash: str
    created: str

    def matches(self, key: str) -> bool:
        """Whether this is that key, in the same time for every wrong one."""
        return hmac.compare_digest(self.hash, _hash(self.salt, key))


def add_key(path: Path, label: str = "") -> tuple[ApiKey, str]:
    """Make a key and put it into the file, which is made if there is none. The key itself is shown only now.

    Raises:
        KeysError: the file holds something else.
        OSError: it cannot be written.
    """
    known = list_keys(path) if path.exists() else []
    number = secrets.token_hex(6)
    key = f"{PREFIX}-{number}-{secrets.token_urlsafe(SECRET_BYTES)}"
    salt = secrets.token_hex(16)
    created = datetime.now(timezone.utc).isoformat(timespec="seconds")
    entry = ApiKey(number, label, salt, _hash(salt, key), created)
    _write(path, [*known, entry])
    return entry, key


def list_keys(path: Path) -> list[ApiKey]:
    """The keys of the file, in its order.

    Raises:
        KeysError: the file is missing or holds something else.
    """
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise KeysError(f"cannot read the keys file {path}: {error}") from error
    return [_entry(path, number, line) for number, line in enumerate(lines, start=1) if line.strip()]


def revoke_key(path: Path, key_id: str) -> bool:
    """Take the key with that id out of the file; false if there is none.

    Raises:
        KeysError: the file is missing or holds something else.
        OSError: it cannot be written.
    """
    known = list_keys(path)
    kept = [entry for entry in known if entry.id != key_id]
    if len(kept) == len(known):
        return False
    _write(path, kept)
    return True


class KeyRing:
    """The keys of a file as it is now: read again when it changes."""

    def __init__(self, path: Path) -> None:
        """Raises `KeysError` when the file cannot be read; later that is logged, and what was known goes on."""
        self._path = path
        self._version = _version(path)
        self._keys = {entry.id: entry for entry in list_keys(path)}
        self._failure = ""
        self._checked = time.monotonic()
        salt = secrets.token_hex(16)
        self._nobody = ApiKey("", "", salt, _hash(salt, secrets.token_urlsafe(SECRET_BYTES)), "")

    def find(self, key: str) -> ApiKey | None:
        """What is kept of this key, if it is known."""
        self._reload()
        parts = key.split("-", 2)
        entry = self._keys.get(parts[1] if len(parts) == 3 else "", self._nobody)
        return entry if entry.matches(key) else None

    def _reload(self) -> None:
        if time.monotonic() - self._checked < RELOAD_SECONDS:
            return
        self._checked = time.monotonic()
        version = _version(self._path)
        if version == self._version:
            return
        try:
            self._keys = {entry.id: entry for entry in list_keys(self._path)}
        except KeysError as error:
            # Tried again at the next look: that it may be read at last changes neither its time nor its size.
            if str(error) != self._failure:
                logger.error("%s; the keys known before stay in use", error)
            self._failure = str(error)
        else:
            self._version, self._failure = version, ""
            logger.info("read the keys file again: it holds %d keys", len(self._keys))


def _version(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino


def _hash(salt: str, key: str) -> str:
    return hmac.new(salt.encode(), key.encode("utf-8", "surrogateescape"), hashlib.sha256).hexdigest()


def _entry(path: Path, number: int, line: str) -> ApiKey:
    try:
        values = json.loads(line)
        entry = ApiKey(**values)
    except (ValueError, TypeError) as error:
        raise KeysError(f"line {number} of the keys file {path} is not a key") from error
    if not all(isinstance(value, str) for value in values.values()):
        raise KeysError(f"line {number} of the keys file {path} is not a key")
    return entry


def _write(path: Path, entries: Iterable[ApiKey]) -> None:
    """All or nothing. A new file is readable by its owner only; one that is replaced stays whose it was."""
    text = "".join(json.dumps(asdict(entry), ensure_ascii=False) + "\n" for entry in entries)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        _keep_owner(path, Path(temporary))
        Path(temporary).replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(temporary).unlink()
        raise


def _keep_owner(path: Path, replacement: Path) -> None:
    """Let who reads `path` read what takes its place: the owner where that is permitted, and the mode."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return
    for owner, group in ((-1, status.st_gid), (status.st_uid, -1)):
        with contextlib.suppress(PermissionError):
            os.chown(replacement, owner, group)
    replacement.chmod(stat.S_IMODE(status.st_mode))
