"""The name of a film is a hash of its bytes: the same film under two names is one video, a changed file a new one."""

import hashlib
from typing import IO

_HEX_DIGITS = 32  # 128 bits: no two films of any archive collide, and a path made of it stays readable


def video_id_of(film: IO[bytes]) -> str:
    """32 hex digits of the SHA-256 of an open file, read to its end as a stream. Raises: OSError as the file does."""
    return hashlib.file_digest(film, "sha256").hexdigest()[:_HEX_DIGITS]  # type: ignore[arg-type]
