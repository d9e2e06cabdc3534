"""SOURCE arguments: what each kind gives, and one line for each that gives nothing."""

import json
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.sources import Listing, expand_sources


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("b.mp4", "a.MOV", "notes.txt", "deep/c.mkv"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    return tmp_path


def _names(listing: Listing, root: Path) -> list[str]:
    return [str(Path(film).relative_to(root)) for film in listing.films]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        pytest.param("b.mp4", ["b.mp4"], id="file"),
        pytest.param("notes.dat", ["notes.dat"], id="file_with_any_suffix"),
        pytest.param(".", ["a.MOV", "b.mp4", "deep/c.mkv"], id="folder_is_searched_deep"),
        pytest.param("*.mp4", ["b.mp4"], id="glob"),
        pytest.param("**/*.mk?", ["deep/c.mkv"], id="deep_glob"),
    ],
)
def test_sources_on_disk(folder: Path, source: str, expected: list[str]) -> None:
    (folder / "notes.dat").write_text("x")
    listing = expand_sources((f"{folder}/{source}",))
    assert (_names(listing, folder), listing.problems) == (expected, [])


@pytest.mark.parametrize("form", ["txt", "csv", "jsonl", "parquet"])
def test_manifests_name_films_relative_to_themselves(folder: Path, form: str) -> None:
    manifest, names = folder / f"list.{form}", ["b.mp4", "deep/c.mkv"]
    if form == "txt":
        manifest.write_text("# my films\n" + "\n".join(names) + "\n\n")
    elif form == "csv":
        manifest.write_text("title,uri\n" + "".join(f"film,{name}\n" for name in names))
    elif form == "jsonl":
        manifest.write_text("".join(json.dumps({"path": name}) + "\n" for name in names))
    else:
        pq.write_table(pa.table({"uri": names}), manifest)
    listing = expand_sources((str(manifest),))
    assert (_names(listing, folder), listing.problems) == (names, [])


def test_a_url_in_a_manifest_stays_a_url(folder: Path) -> None:
    (folder / "list.txt").write_text("s3://bucket/film.mp4\n")
    assert list(expand_sources((str(folder / "list.txt"),)).films) == ["s3://bucket/film.mp4"]


def test_a_film_named_twice_is_taken_once(folder: Path) -> None:
    assert len(expand_sources((f"{folder}/b.mp4", f"{folder}/*.mp4")).films) == 1


@pytest.mark.parametrize(
    ("source", "says"),
    [
        pytest.param("gone.mp4", "no such file or folder", id="missing_path"),
        pytest.param("empty", "holds no films", id="empty_folder"),
        pytest.param("*.webm", "no file matches", id="glob_without_a_match"),
        pytest.param("bad.csv", "none of the columns uri, path, url, file", id="manifest_without_a_column"),
        pytest.param("blank.txt", "lists no films", id="empty_manifest"),
        pytest.param("pipe.txt", "is a pipe or a device, not a file", id="manifest_that_is_a_pipe"),
    ],
)
def test_what_gives_nothing_is_one_line_and_stops_nothing(folder: Path, source: str, says: str) -> None:
    (folder / "empty").mkdir()
    (folder / "bad.csv").write_text("title\nfilm\n")
    (folder / "blank.txt").write_text("\n")
    os.mkfifo(folder / "pipe.txt")
    listing = expand_sources((f"{folder}/{source}", f"{folder}/b.mp4"))
    (problem,) = listing.problems
    assert _names(listing, folder) == ["b.mp4"]
    assert says in problem.message
    assert "\n" not in problem.message
    assert problem.source.endswith(source)
