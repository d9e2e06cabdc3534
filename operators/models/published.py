"""Whether a file is the published one: by the sums that are published, and else by what came first.

Where nothing is published that tells a file from every other, the sha256 of the first that came is kept beside it in
NAME.sha256 (as `sha256sum` writes it), and every later use of it, by any process, compares: such a file can be the
wrong one from the start, but it cannot change unseen.
"""

import hashlib
import os
from contextlib import suppress
from pathlib import Path

from schemas.model_files import ModelFile

_BLOCK_BYTES = 2**20


def sha256_of(path: Path) -> str:
    """64 hex digits."""
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def record_of(path: Path) -> Path:
    """Where the sha256 of a file is kept of which none is published."""
    return path.with_name(f"{path.name}.sha256")


def difference(content: Path, file: ModelFile, path: Path) -> str | None:
    """What tells `content` from the published file, as a clause; None: nothing does.

    Takes: `path`, under which it lies or is to lie: NAME.sha256 is beside that.
    """
    found = sha256_of(content)
    if not found.startswith(file.sha256):
        return f"its sha256 begins with {found[:10]}, that of the published file with {file.sha256[:10]}"
    if file.git_blob and (blob := _git_blob(content)) != file.git_blob:
        return f"git's SHA-1 of it begins with {blob[:10]}, that of the published file with {file.git_blob[:10]}"
    if file.told_by_sum:  # its size then follows, and a wrong one in the registry would refuse the right file
        return None
    size, first = content.stat().st_size, recorded(path)
    if file.bytes is not None and size != file.bytes:
        return f"it has {size} bytes, the published file {file.bytes}"
    if first is not None and first != found:
        kept = record_of(path)
        return f"its sha256 begins with {found[:10]}, that of the file which came first with {first[:10]} ({kept})"
    return None


def recorded(path: Path) -> str | None:
    """The sha256 in NAME.sha256; None: there is no such file."""
    record = record_of(path)
    return (record.read_text().split() or ["nothing"])[0] if record.is_file() else None


def record(content: Path, file: ModelFile, path: Path) -> None:
    """Keeps the sha256 of `content` beside `path`, unless sums are published or one is kept already.

    Not promised: that it is kept where nothing can be written, as in a mirror that is read only.
    """
    kept = record_of(path)
    if file.told_by_sum or kept.exists():
        return
    draft = kept.with_name(f"{kept.name}.{os.getpid()}")
    with suppress(OSError):
        try:
            with draft.open("w") as text:
                text.write(f"{sha256_of(content)}  {path.name}\n")
                text.flush()
                os.fsync(text.fileno())
            os.link(draft, kept)  # unlike a rename it fails where another process was first
        finally:
            draft.unlink(missing_ok=True)


def warnings_of(file: ModelFile) -> list[str]:
    """What a user has to know of a file who fetches it: one line each."""
    told = []
    if file.non_commercial:
        told.append(f"{file.short} is NON-COMMERCIAL: {file.licence}; see what it allows before you use it")
    if not file.told_by_sum:
        size = "not even its size" if file.bytes is None else "only its size"
        told.append(
            f"{file.short} cannot be verified: no sum of it is published, {size}; the sha256 of what came is kept in "
            f"{file.name}.sha256 and compared from now on"
        )
    return told


def _git_blob(path: Path) -> str:
    """The SHA-1 under which git holds the file's content: of a header with its size, and its bytes."""
    digest = hashlib.sha1(f"blob {path.stat().st_size}\0".encode(), usedforsecurity=False)
    with path.open("rb") as content:
        while block := content.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()
