"""The newcomer's first command, with the weights and the movie that are shipped."""

from pathlib import Path

from pipeline.read import open_dataset
from tests.runs import Run


def test_the_demo_finds_what_was_filmed(latentreel: Run, tmp_path: Path) -> None:
    """Exit code 0 says that cuts and tracks are exactly those of the script; the numbers are read off it."""
    done = latentreel("demo", "-o", "demo", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "shots begin at 0 54 100 160 196 240: as filmed" in done.stdout
    assert "6 tracks in shots 0 1 2 2 4 5: as filmed" in done.stdout
    (share,) = [line.split()[1] for line in done.stdout.splitlines() if line.startswith("expressions: ")]
    assert int(share.rstrip("%")) >= 90
    dataset = open_dataset(str(tmp_path / "demo"))
    ((n_frames, psnr),) = dataset.sql("select count(*), min(psnr) from frames").fetchall()
    assert f"{n_frames} frames of faces are in demo" in done.stdout
    assert psnr > 24  # a face is recognised from 22 dB on; trained weights give 28 and more on the mean
    assert (tmp_path / "demo" / "contact_sheet.png").read_bytes().startswith(b"\x89PNG")
