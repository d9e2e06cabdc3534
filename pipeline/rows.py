"""How our frozen rows travel in Ray's blocks: one row, one block, three columns.

Ray would otherwise turn every field into a tensor column and guess at ragged shapes. Inside an operator nothing of this
is visible. The bytes come from our own workers in the same job and from nowhere else.
"""

import pickle
from collections.abc import Iterator
from typing import Any

import pyarrow as pa

BLOCK = pa.schema([("kind", pa.string()), ("video_id", pa.string()), ("row", pa.large_binary())])


def pack(video_id: str, row: object) -> pa.Table:
    """One row as a block of its own, so that a lost block loses one unit of work."""
    content = pickle.dumps(row, protocol=pickle.HIGHEST_PROTOCOL)
    return pa.table({"kind": [type(row).__name__], "video_id": [video_id], "row": [content]}, schema=BLOCK)


def unpack(block: pa.Table) -> Iterator[Any]:
    """The rows of a block, in order."""
    for content in block.column("row"):
        yield pickle.loads(content.as_buffer())
