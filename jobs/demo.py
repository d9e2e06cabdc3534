"""latentreel demo: the whole road on the embedded sample movie; ends with a table, a check and a contact sheet."""

import shutil
from pathlib import Path

from rich.console import Console
from rich.table import Table

from jobs.contact_sheet import write_contact_sheet
from jobs.invert import InvertOptions, invert
from pipeline.create_tables import CONTACT_SHEET, SAMPLE
from pipeline.read import Dataset, open_dataset
from schemas.embedded import asset_path
from schemas.emotions import EMOTIONS

TRUTH = "sample_truth.parquet"
# The shipped weights, and half the usual evaluations: a newcomer waits for it, and a track loses 0.4 to 0.8 dB.
_SETTINGS: dict[str, str | int] = {
    "generator": "puppet-128",
    "emotion.model": "puppet-emotion",
    "inversion.encoder_steps": 60,
    "inversion.next_steps": 6,
}

# Drawn faces lie nearer to each other than people's: at 0.4 all actors would be one (docs/people.md).
_PEOPLE_THRESHOLD = 0.25

# Of each face, the true face of that frame whose nose is nearest, where that one clearly feels something.
_NOSE_X, _NOSE_Y = 61, 62  # in a list of 68 x, y pairs that counts from 1: point 30
_EXPRESSIONS = f"""
select count(*), coalesce(avg((emotion = shown)::int), 0) from (
  select f.emotion, t.emotion as shown, t.intensity
  from frames f join {{truth}} t using (frame_index)
  qualify row_number() over (
    partition by f.track_id, frame_index
    order by abs(f.landmarks[{_NOSE_X}] - t.landmarks[{_NOSE_X}]) + abs(f.landmarks[{_NOSE_Y}] - t.landmarks[{_NOSE_Y}])
  ) = 1
) where intensity > 0.5
"""


def demo(output: str) -> int:
    """Inverts a copy of the sample with the embedded weights, shows what came of it, and compares it with the truth.

    Gives the exit code: 0 when cuts and tracks are those that were filmed, 1 when not or when the inversion failed.
    """
    console = Console(highlight=False)
    folder = Path(output)
    movie = folder / SAMPLE
    if not movie.exists():
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(asset_path(SAMPLE), movie)
    options = InvertOptions(
        sources=(str(movie),), dataset=output, overrides=dict(_SETTINGS), people_threshold=_PEOPLE_THRESHOLD
    )
    if code := invert(options, console):
        return code

    dataset = open_dataset(output)
    sheet = folder / CONTACT_SHEET
    write_contact_sheet(dataset, sheet)
    console.print(_tracks(dataset))
    n_frames = dataset.sql("select count(*) from frames").fetchall()[0][0]
    lines = [
        f'{n_frames} frames of faces are in {output}: latentreel query {output} "select count(*) from frames"',
        f"contact sheet: {sheet}  (top: the aligned face; below: what the generator makes of its latent)",
    ]
    differs, found = _compared(dataset)
    for line in [*lines, *found]:
        console.print(line, soft_wrap=True)
    return 1 if differs else 0


def _compared(dataset: Dataset) -> tuple[bool, list[str]]:
    """Whether cuts or tracks differ from what was filmed, and what to say of it."""
    path = asset_path(TRUTH).replace("'", "''")

    def column(query: str) -> list[int]:
        return [value for (value,) in dataset.sql(query.format(truth=f"read_parquet('{path}')")).fetchall()]

    true_cuts = column("select min(frame_index) from {truth} group by shot_index order by 1")
    true_shots = column("select shot_index from {truth} where actor is not null group by shot_index, actor order by 1")
    cuts = column("select first_frame from shots order by 1")
    shots = column("select shot_index from tracks order by 1")
    ((n_strong, share),) = dataset.sql(_EXPRESSIONS.format(truth=f"read_parquet('{path}')")).fetchall()
    lines = [
        f"shots begin at {_list(cuts)}: {'as filmed' if cuts == true_cuts else f'filmed were {_list(true_cuts)}'}",
        f"{len(shots)} tracks in shots {_list(shots)}: "
        f"{'as filmed' if shots == true_shots else f'filmed were {len(true_shots)} in {_list(true_shots)}'}",
        f"expressions: {share:.0%} of {n_strong} faces that clearly show one are read as they were acted",
    ]
    return cuts != true_cuts or shots != true_shots, lines


def _list(numbers: list[int]) -> str:
    return " ".join(map(str, numbers))


def _tracks(dataset: Dataset) -> Table:
    table = Table("track", "shot", "frames", "from", "to", "gaps", "expression", "PSNR dB", "flicker", title="tracks")
    rows = dataset.sql("select * from tracks order by track_id").to_arrow_table().to_pylist()
    for row in rows:
        table.add_row(
            row["track_id"][-9:],  # shot and track: enough of it for `render`, since there is one film
            str(row["shot_index"]),
            str(row["n_frames"]),
            f"{row['start_us'] / 1e6:.2f} s",
            f"{row['end_us'] / 1e6:.2f} s",
            str(row["gaps"]),
            "" if row["emotion"] is None else EMOTIONS[row["emotion"]],
            f"{row['psnr']:.1f}",
            "" if row["flicker"] is None else f"{row['flicker']:.2f}",
        )
    return table
