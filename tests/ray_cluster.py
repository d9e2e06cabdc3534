"""One Ray for all tests of a process, in processes of its own, and a view of those.

Starting Ray costs ten seconds of two busy cores, and Ray Data's own actors as much again. Jobs join it with
`--address`, as they join any cluster; each has workers of its own, which end with it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

# More than there are: two jobs at once have to stand here, each with an actor for every stage and a task that commits.
CPUS = 8
STORE_BYTES = 256 * 2**20  # crops of a few seconds


@contextmanager
def cluster() -> Iterator[Any]:
    """Gives a ray.cluster_utils.Cluster of one node; its `address` is what `--address` takes."""
    from ray._common.utils import reset_ray_address
    from ray.cluster_utils import Cluster

    found = Cluster()
    add_node(found)
    reset_ray_address()  # else whatever starts Ray on this machine without an address would join this one
    try:
        yield found
    finally:
        found.shutdown()


def add_node(found: Any) -> Any:
    """The first is the head."""
    return found.add_node(num_cpus=CPUS, object_store_memory=STORE_BYTES, include_dashboard=False)


def raylet(node: Any) -> int:
    """Its process id."""
    return int(node.all_processes["raylet"][0].process.pid)


def workers(raylets: set[int]) -> dict[int, str]:
    """The worker processes of some nodes by their ids, as they call themselves at this moment.

    `ray::MapWorker(MapBatches(FindFaces))` waits, `ray::MapWorker(MapBatches(FindFaces)).submit()` is at work.
    """
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text().rsplit(")", 1)[1].split()[1])
            title = (folder / "cmdline").read_text().split("\0", 1)[0].strip() if parent in raylets else ""
        except (OSError, IndexError):
            continue  # it has just ended
        if title.startswith("ray::"):
            found[int(folder.name)] = title
    return found
