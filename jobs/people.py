"""latentreel people DATASET: who is who, and who is seen how long."""

from collections.abc import Mapping

import pyarrow as pa
from deltalake.exceptions import DeltaError
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from jobs.bulk_run import say
from pipeline.people import Named, name_people
from pipeline.read import open_dataset
from pipeline.tables import Tables, open_tables
from schemas.errors import LatentreelError

_SHOWN = 50  # people, those who are seen longest

_PEOPLE = f"""
select person_id, count(*), count(distinct (video_id, shot_index)), count(distinct video_id),
    sum(seconds(end_us - start_us)) as seen_s, count(*) over () as everybody,
    arg_min(uri, (committed_at, video_id, start_us)), arg_min(seconds(start_us), (committed_at, video_id, start_us))
from tracks join videos using (video_id)
where person_id is not null
group by person_id
order by seen_s desc, person_id
limit {_SHOWN}
"""


def people(
    dataset: str,
    *,
    threshold: float | None = None,
    anew: bool = False,
    storage_options: Mapping[str, str] | None = None,
) -> int:
    """Names the tracks that have no person yet, and prints everybody. Gives the exit code. Raises: WrongUse."""
    tables = open_tables(dataset, storage_options)
    named = name_people(tables, threshold=threshold, anew=anew)
    rows = open_dataset(dataset, storage_options).sql(_PEOPLE).fetchall()
    console = Console(highlight=False, soft_wrap=True)
    console.print(_said(named))
    if not rows:
        console.print("no track has an identity, so there is nobody to tell apart")
        return 0
    table = Table("person", "tracks", "shots", "films", "seconds", "first seen", box=None)
    for person_id, n_tracks, n_shots, n_films, seen_s, _, uri, at_s in rows:
        first = f"{escape(uri)} at {at_s:.1f} s"
        table.add_row(escape(person_id), str(n_tracks), str(n_shots), str(n_films), f"{seen_s:.1f}", first)
    console.print(table)
    if (others := rows[0][5] - len(rows)) > 0:
        console.print(f"and {others} others; `latentreel query` lists them all")
    return 0


def name_after_run(tables: Tables, console: Console, *, threshold: float | None = None) -> None:
    """Says who came. Films that are committed stay so, whatever happens here."""
    try:
        named = name_people(tables, threshold=threshold)
    except (OSError, DeltaError, LatentreelError, pa.ArrowException) as err:
        what = " ".join(str(err).split())
        cure = f"the films are whole; `latentreel people {tables.root}` tries again"
        say(console, "[bold]people[/]", f"are not told apart ({what}); {cure}")
    else:
        if named.n_tracks:
            say(console, "", f"{_said(named)} (`latentreel people {tables.root}`)")


def _said(named: Named) -> str:
    return f"{named.n_tracks} tracks named, {named.n_new_people} people new among {named.n_people}"
