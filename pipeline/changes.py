"""What has become of a dataset's films where their files lie: replaced, renamed, or gone.

Decided from what is there now alone (the rows of `videos`, and which file holds which film), so that a run that was
killed before it acted on it comes to the same answer.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Protocol


class FilesNow(Protocol):
    """One look at the sources."""

    def lacks(self, uri: str) -> bool:
        """Whether a film that was there once is not there now."""


@dataclass
class Changes:
    """Films of the dataset, by video_id. A film is in one of these at most."""

    replaced: dict[str, str] = field(default_factory=dict)  # its file now holds the film named here
    renamed: dict[str, str] = field(default_factory=dict)  # to this uri
    gone: dict[str, str] = field(default_factory=dict)  # from this uri


def changes(
    rows: Iterable[tuple[str, str]], held: dict[str, str], files: FilesNow, is_there: Callable[[str], bool]
) -> Changes:
    """Takes: (video_id, uri) of every row of `videos`; uri -> video_id of every file that was looked at; `is_there`
    looks at a file outside the sources, which is slow.

    Not promised: anything of a film whose files lie outside the sources.
    """
    holders: dict[str, list[str]] = {}
    for uri, video_id in held.items():
        holders.setdefault(video_id, []).append(uri)
    found = Changes()
    for video_id, uri in rows:
        if held.get(uri) == video_id:
            continue
        if video_id in holders:
            if uri in held or not is_there(uri):
                found.renamed[video_id] = holders[video_id][0]
        elif uri in held:
            found.replaced[video_id] = held[uri]
        elif files.lacks(uri):
            found.gone[video_id] = uri
    return found
