"""torch.save's files since its version 1.6: a zip of one pickle and of blocks that lie in it as they are."""

import io
import struct
import zipfile
from pathlib import Path
from typing import Any

from operators.stylegan.checkpoints import inert
from operators.stylegan.checkpoints.safe_unpickler import SafeUnpickler, storage_parts
from operators.stylegan.checkpoints.stored_array import Span

_LOCAL_HEADER_BYTES = 30  # PKWARE APPNOTE 4.3.7; name and extra field follow


def read_torch_zip(path: Path) -> Any:
    """The object in it, tensors left on the disk.

    Raises: as SafeUnpickler; zipfile.BadZipFile for a broken zip, KeyError for one of something else.
    """
    with zipfile.ZipFile(path) as archive:
        places = {info.filename: info for info in archive.infolist()}
        name = next((name for name in places if name.endswith("/data.pkl")), "data.pkl")
        folder = name.removesuffix("data.pkl")
        if f"{folder}byteorder" in places and archive.read(f"{folder}byteorder") != b"little":
            raise zipfile.BadZipFile("its numbers are big-endian")
        if places[name].compress_type != zipfile.ZIP_STORED:
            raise zipfile.BadZipFile("its pickle is compressed, which torch's never is")
        content = archive.read(name)

        def placed(pid: Any) -> inert.Storage:
            kind, key, n_bytes = storage_parts(pid)
            span = _span(path, places[f"{folder}data/{key}"])
            if span.n_bytes < n_bytes:
                raise EOFError
            return inert.Storage(content=span, dtype=kind.dtype)

        return SafeUnpickler(io.BytesIO(content), content, storage=placed).load()


def _span(path: Path, info: zipfile.ZipInfo) -> Span:
    if info.compress_type != zipfile.ZIP_STORED:
        raise zipfile.BadZipFile("its blocks are compressed")
    with path.open("rb") as file:
        file.seek(info.header_offset)
        header = file.read(_LOCAL_HEADER_BYTES)
    n_name, n_extra = struct.unpack("<HH", header[26:30])
    return Span(path=path, offset=info.header_offset + _LOCAL_HEADER_BYTES + n_name + n_extra, n_bytes=info.file_size)
