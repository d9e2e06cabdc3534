"""Fetch one published file: resumed where it broke off, checked, and under its own name only when it is whole.

In order of time: NAME.lock is locked; NAME.part grows, flushed to the disk, and survives a kill; its sums are compared;
its sha256 is kept in NAME.sha256 where none is published; it becomes NAME. A process that dies leaves the lock to the
others, since the system gives it back.
"""

import fcntl
import http.client
import os
import re
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from operators.models.published import difference, record, record_of
from schemas.embedded import MODELS
from schemas.errors import WrongUse
from schemas.model_files import ModelFile

Progress = Callable[[int, int | None], None]  # bytes that are here, of how many; None: the server does not say

_BLOCK_BYTES = 2**18
_SILENCE_S = 30  # without a byte; a slow line is not a dead one
_TRIES = 5  # in a row without a byte more; each byte won starts the count again
_PAUSE_S = 1.0  # before the second try, then twice as long each time
_TRY_AGAIN = frozenset({408, 429, 500, 502, 503, 504})  # answers of a server that may think better of it


def download(file: ModelFile, path: Path, progress: Progress | None = None) -> None:
    """`path` is the published file afterwards, whoever fetched it. Proxies as the environment names them (urllib).

    Takes: a file with an address; `progress`, which is called after each block.

    Raises: WrongUse when it cannot be fetched (what came is kept in NAME.part and used next time), when what came is
    not the published file (it is removed), or when nothing can be written there.
    """
    part = path.with_name(f"{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _locked(path.with_name(f"{path.name}.lock")):
            if path.is_file():  # somebody else was quicker
                return
            _fetch(file, part, progress or (lambda _have, _total: None))
            _require_published(file, part, path)
            record(part, file, path)
            part.replace(path)
            _flush(path.parent)
    except OSError as err:  # not of the network: `_fetch` has told those
        raise WrongUse(f"{path}: cannot be written ({err}); set XDG_CACHE_HOME to a folder that can be") from err


def _fetch(file: ModelFile, part: Path, progress: Progress) -> None:
    """`part` is complete, as far as the server tells."""
    failures, most = 0, _size(part)
    while True:
        try:
            if _append(file, part, progress):
                return
            reason = "the connection was cut"
        except urllib.error.HTTPError as err:
            if err.code not in _TRY_AGAIN:
                raise _unreachable(file, f"the server answers {err.code}") from err
            reason = f"the server answers {err.code}"
        except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError, ssl.SSLError) as err:
            reason = str(getattr(err, "reason", err)) or type(err).__name__
        failures = 1 if _size(part) > most else failures + 1
        most = max(most, _size(part))
        if failures == _TRIES:
            raise _unreachable(file, reason)
        time.sleep(_PAUSE_S * 2 ** (failures - 1))


def _append(file: ModelFile, part: Path, progress: Progress) -> bool:
    """One request from the end of `part` on. True: nothing is missing any more."""
    have = _size(part)
    request = urllib.request.Request(file.url, headers={"User-Agent": "latentreel", "Accept-Encoding": "identity"})
    if have:
        request.add_header("Range", f"bytes={have}-")
    try:
        # A new opener each time: `urlopen` keeps the proxies that the environment named when it was first called.
        response = urllib.request.build_opener().open(request, timeout=_SILENCE_S)
    except urllib.error.HTTPError as err:
        if err.code == 416 and have:  # nothing behind what we have: it is whole, or it is something else
            return True
        raise
    with response:
        resumed = response.status == 206 and _first_byte(response.headers.get("Content-Range")) == have
        with part.open("ab" if resumed else "wb") as content:  # a server without ranges sends all of it again
            expected = _length(response.headers.get("Content-Length"))
            before = have if resumed else 0
            total = file.bytes if expected is None else before + expected
            got = _copy(response, content, lambda n: progress(before + n, total))
            content.flush()
            os.fsync(content.fileno())
    return expected is None or got == expected


def _copy(response: IO[bytes], content: IO[bytes], told: Callable[[int], None]) -> int:
    n = 0
    while block := response.read(_BLOCK_BYTES):
        n += content.write(block)
        told(n)
    return n


def _first_byte(content_range: str | None) -> int | None:
    found = re.match(r"bytes (\d+)-", content_range or "")
    return int(found[1]) if found else None


def _length(header: str | None) -> int | None:
    return int(header) if header and header.isdigit() else None


def _size(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _require_published(file: ModelFile, part: Path, path: Path) -> None:
    why = difference(part, file, path)
    if why is not None:
        part.unlink()  # or the next try would go on from it
        changed = not file.told_by_sum and record_of(path).exists()
        cure = (
            f"remove {record_of(path)} if you trust it"
            if changed
            else f"fetch it elsewhere, put it into a folder and set {MODELS} to it"
        )
        raise WrongUse(f"{file.name}: {file.url} gave another file: {why}; {cure}")


def _unreachable(file: ModelFile, reason: str) -> WrongUse:
    return WrongUse(
        f"{file.name}: {file.url} cannot be fetched ({reason}); try `latentreel models fetch {file.short}`, which goes "
        f"on where it broke off, or put it into a folder and set {MODELS} to it"
    )


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _flush(folder: Path) -> None:
    """The new name, too, survives a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
