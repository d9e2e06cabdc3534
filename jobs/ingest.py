"""latentreel ingest DATASET SOURCE...: only what is new or changed, with the dataset's own settings."""

import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace

from rich.console import Console

from jobs.bulk_run import default_pools, say, stop_request, work
from jobs.describe_job import job_of_dataset
from jobs.people import name_after_run
from pipeline.changes import Changes, changes
from pipeline.flow import engine
from pipeline.plan import Plan, plan_videos
from pipeline.refused import commit_refused
from pipeline.rewrite import drop_films, rename_films
from pipeline.sources import Stamp
from pipeline.staging import clear_leftovers
from pipeline.storage_errors import storage_trouble
from pipeline.storage_options import open_filesystem
from pipeline.tables import Tables, open_tables
from schemas.errors import WrongUse
from schemas.job import Input, Job

# A local film that was written to less than this ago is looked at once more before it is taken: it may be half copied.
SETTLED_S = 10.0


@dataclass(frozen=True, kw_only=True)
class IngestOptions:
    """What the command line says."""

    dataset: str
    sources: tuple[str, ...]
    watch: bool = False
    every_s: float = 30.0  # between two looks; listing 100,000 films takes seconds
    prune: bool = False
    workers: int | None = None
    decode_deadline_s: float = 60.0  # without a sign of life from a decoder
    device: str = "cpu"
    address: str | None = None
    storage_options: dict[str, str] = field(default_factory=dict, repr=False)  # of the dataset and of the films


def ingest(options: IngestOptions, console: Console | None = None) -> int:
    """Gives the exit code: 0 done, 1 some inputs failed and are named. Raises: WrongUse when nothing could start."""
    console = console or Console(stderr=True, highlight=False)
    tables = open_tables(options.dataset, options.storage_options)
    job = replace(
        job_of_dataset(tables, options.dataset, device=options.device), decode_deadline_s=options.decode_deadline_s
    )
    with ExitStack() as kept:
        return _Watch(options, tables, job, console, kept).run()


class _Watch:
    """One look at the sources, or one after the other. Ray is started for the first film and kept."""

    def __init__(self, options: IngestOptions, tables: Tables, job: Job, console: Console, kept: ExitStack) -> None:
        self.options, self.tables, self.job, self.console, self.kept = options, tables, job, console, kept
        self.stop = stop_request(job, console)
        self._has_engine = self._has_looked = False
        self._last: dict[str, Stamp] = {}  # what films that wait were like at the last look
        self._said: set[str] = set()  # a thing is said once, however often it is seen

    def run(self) -> int:
        with self.stop.caught():
            code = self.look()
            while self.options.watch and not self.stop.wait(self.options.every_s):
                code = max(code, self.look())
        if self.options.watch:
            say(self.console, "[bold]stopped[/]", f"watching {', '.join(self.options.sources)}")
        return code

    def look(self) -> int:
        with self.console.status("reading the sources"):
            plan = plan_videos(
                self.options.sources, self.tables, is_settled=self._is_settled, is_stopping=lambda: self.stop.asked
            )
            rows = ((video_id, row.uri) for video_id, row in plan.rows.items())
            found = changes(rows, plan.held, plan.listing, lambda uri: _is_there(uri, self.tables.storage_options))
        self._last = plan.waiting
        accounted = plan.held or found.gone or any(problem.is_lasting for problem in plan.problems)
        if plan.problems and not accounted and not self.options.watch:
            raise WrongUse("; ".join(f"{problem.source}: {problem.message}" for problem in plan.problems))
        clear_leftovers(self.tables.store, self.job.config_id, plan.done)
        commit_refused(plan.problems, self.job)
        problems = self._announce(plan, found)
        self._follow(plan, found)
        todo = [] if self.stop.asked else [_with_replaced(task, found) for task in plan.todo]
        pools = default_pools(self.options.workers, self.options.device, finder=self.job.config.faces.finder)
        summary = work(todo, self.job, pools, self.console, self._engine, self.stop)
        if summary.of("committed") or not self._has_looked:  # or an earlier run was killed before it came to this
            name_after_run(self.tables, self.console)
        self._has_looked = True
        return 1 if problems or plan.quarantined or summary.of("quarantined") else 0

    def _is_settled(self, uri: str, stamp: Stamp) -> bool:
        if not self.options.watch or stamp.written_s is None:
            return True
        return self._last.get(uri) == stamp or time.time() - stamp.written_s > SETTLED_S

    def _announce(self, plan: Plan, found: Changes) -> bool:
        """Gives whether a source failed that should not have."""
        rows, bad = plan.rows, False
        for problem in plan.problems:
            if plan.listing.missing.get(problem.source) not in found.gone.values():  # those are said below
                bad = True
                self._say("[red]failed[/]", f"{problem.source}: {problem.message}")
        for uri, twin in plan.doubles.items():
            self._say("[dim]same bytes[/]", f"as {twin}, done once: {uri}")
        for uri, reason in plan.quarantined.items():
            self._say("[red]quarantined[/]", f"by an earlier run: {uri}: {reason} (`latentreel retry` clears it)")
        for video_id, uri in found.renamed.items():
            self._say("[dim]renamed[/]", f"{rows[video_id].uri} is now {uri}, not done again")
        for video_id in found.replaced:
            self._say("[bold]changed[/]", f"{rows[video_id].uri}: its former rows go when the new ones are there")
        for uri in found.gone.values():
            what = "its rows go (--prune)" if self.options.prune else "its rows are kept; --prune drops them"
            self._say("[bold]gone[/]", f"{uri}: {what}")
        if plan.done or plan.todo:
            self._say("", f"{len(plan.done)} films are in {self.job.dataset} already, {len(plan.todo)} are new")
        return bad

    def _follow(self, plan: Plan, found: Changes) -> None:
        """What needs no work on a film."""
        if found.renamed:
            rename_films(self.tables, found.renamed)
        # The new content is there already: under another name, or a run was killed before it dropped the old rows.
        late = [old for old, new in found.replaced.items() if new in plan.done]
        if late:
            drop_films(self.tables, late, config_id=self.job.config_id, what="dropped the former content of files")
        if found.gone and self.options.prune:
            drop_films(self.tables, found.gone, config_id=self.job.config_id, what="dropped films that are gone")

    def _say(self, mark: str, text: str) -> None:
        if (mark + text) not in self._said:
            self._said.add(mark + text)
            say(self.console, mark, text)

    @contextmanager
    def _engine(self) -> Iterator[None]:
        if not self._has_engine:
            self.kept.enter_context(engine(self.options.address))
            self._has_engine = True
        yield


def _with_replaced(task: Input, found: Changes) -> Input:
    return replace(task, replaces=tuple(old for old, new in found.replaced.items() if new == task.video_id))


def _is_there(uri: str, storage_options: Mapping[str, str]) -> bool:
    """Also of what cannot be looked at: that is no proof that it is gone."""
    try:
        fs, path = open_filesystem(uri, storage_options)
        return bool(fs.exists(path))
    except Exception as err:
        if storage_trouble(err) is None:
            raise
        return True
