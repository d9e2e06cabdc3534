"""latentreel demo: the whole road on the embedded sample movie; ends with a table and a contact sheet."""

from pathlib import Path

from rich.console import Console
from rich.table import Table

from jobs.contact_sheet import write_contact_sheet
from jobs.invert import InvertOptions, invert
from operators.puppets.astronaut import write_astronaut_movie
from pipeline.read import Dataset, open_dataset
from pipeline.tables import CONTACT_SHEET, SAMPLE


def demo(output: str) -> int:
    """Makes the sample, inverts it, shows what came of it. Gives the exit code of the inversion."""
    console = Console(highlight=False)
    folder = Path(output)
    movie = folder / SAMPLE
    if not movie.exists():
        folder.mkdir(parents=True, exist_ok=True)
        write_astronaut_movie(movie)
    code = invert(InvertOptions(sources=(str(movie),), dataset=output), console)

    dataset = open_dataset(output)
    sheet = folder / CONTACT_SHEET
    write_contact_sheet(dataset, sheet)
    console.print(_tracks(dataset))
    n_frames = dataset.sql("select count(*) from frames").fetchall()[0][0]
    console.print(
        f'{n_frames} frames of faces are in {output}: latentreel query {output} "select count(*) from frames"',
        soft_wrap=True,
    )
    console.print(
        f"contact sheet: {sheet}  (top: the aligned face; below: what the generator makes of its latent)",
        soft_wrap=True,
    )
    if dataset.properties["generator_id"].startswith("random"):
        console.print(
            "the generator has random weights: it shows the road, not the quality of trained ones", soft_wrap=True
        )
    return code


def _tracks(dataset: Dataset) -> Table:
    table = Table("track", "shot", "frames", "from", "to", "gaps", "PSNR dB", "flicker", title="tracks")
    rows = dataset.sql("select * from tracks order by track_id").to_arrow_table().to_pylist()
    for row in rows:
        table.add_row(
            f"…{row['track_id'][-17:]}",
            str(row["shot_index"]),
            str(row["n_frames"]),
            f"{row['start_us'] / 1e6:.2f} s",
            f"{row['end_us'] / 1e6:.2f} s",
            str(row["gaps"]),
            f"{row['psnr']:.1f}",
            "" if row["flicker"] is None else f"{row['flicker']:.2f}",
        )
    return table
