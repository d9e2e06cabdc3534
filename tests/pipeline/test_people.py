"""Who is who in a dataset: named after the films are there, once, whoever else is writing."""

import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import deltalake
import numpy as np
import pytest

from operators.faces.people import tell_apart
from pipeline import people as naming
from pipeline import people_ledger
from pipeline.commit import append_once
from pipeline.compact import compact
from pipeline.create_tables import open_or_create
from pipeline.final_files import write_rows
from pipeline.people import name_people
from pipeline.read import open_dataset
from pipeline.rewrite import drop_films
from pipeline.tables import Tables
from pipeline.vacuum import vacuum
from schemas.config import Config
from schemas.errors import WrongUse
from schemas.tables import TRACKS
from tests import builders
from tests.datasets import KnownFilm, KnownTrack, commit_film, make_dataset
from tests.s3_server import S3Server

A, B, C, D = (letter * 32 for letter in "abcd")
ANNA, BEN, CLEO = np.eye(128, dtype=np.float32)[:3]  # 1.4 apart


def film(video_id: str, *faces: Any, seed: int = 0, n_frames: int = 20) -> KnownFilm:
    """One shot a face; a face that comes again is not quite the same."""
    random = np.random.default_rng([seed, ord(video_id[0])])
    tracks = []
    for i, face in enumerate(faces):
        near = None if face is None else (face + random.normal(size=128) * 0.01).astype(np.float32)
        tracks.append(KnownTrack(n_frames=n_frames + i, first_frame=100 * i, shot_index=i, identity=near))
    return KnownFilm(video_id=video_id, uri=f"{video_id[0]}.mp4", tracks=tracks)


FILMS = [film(A, ANNA, BEN, ANNA), film(B, BEN, CLEO, BEN), film(C, CLEO, ANNA)]


def names(path: str | Path, version: int | None = None) -> dict[str, str | None]:
    """Of the tracks a reader sees: film's letter and shot -> person."""
    rows = open_dataset(str(path), version=version).sql("select video_id, shot_index, person_id from tracks")
    return {f"{video[0]}{shot}": person for video, shot, person in rows.fetchall()}


def people(path: str | Path) -> set[frozenset[str]]:
    found = names(path)
    assert None not in found.values()
    return {frozenset(track for track in found if found[track] == person) for person in found.values()}


EXPECTED = {frozenset({"a0", "a2", "c1"}), frozenset({"a1", "b0", "b2"}), frozenset({"b1", "c0"})}


def test_everybody_has_a_name_for_every_reader(tmp_path: Path) -> None:
    tables = make_dataset(str(tmp_path), FILMS)
    before = tables.open("videos").version()
    named = name_people(tables)
    assert (named.n_tracks, named.n_new_people, named.n_people) == (8, 3, 3)
    assert people(tmp_path) == EXPECTED
    assert set(names(tmp_path, before).values()) == {None}, "an older version is as it was"
    plain = deltalake.DeltaTable(tmp_path / "tracks").to_pyarrow_table()
    assert {(row["video_id"][0] + str(row["shot_index"])): row["person_id"] for row in plain.to_pylist()} == names(
        tmp_path
    )
    others = [
        open_dataset(str(tmp_path), version=version).tracks.sort_by("track_id").drop_columns(["person_id"])
        for version in (None, before)
    ]
    assert others[0] == others[1]


def test_who_is_named_stays_so(tmp_path: Path) -> None:
    tables, job = make_dataset(str(tmp_path), FILMS[:1]), builders.job(str(tmp_path))[0]
    name_people(tables)
    once = names(tmp_path)
    version = tables.open("videos").version()
    assert name_people(tables).n_tracks == 0
    assert tables.open("videos").version() == version, "there was nothing left to do"
    for known in FILMS[1:]:
        commit_film(tables, job, known)
        name_people(tables)
    assert people(tmp_path) == EXPECTED
    assert once.items() <= names(tmp_path).items()
    make_dataset(str(tmp_path), [])  # a further run opens it


def test_the_order_of_films_and_of_files_leaves_no_trace(tmp_path: Path) -> None:
    found = []
    for order in ([0, 1, 2], [2, 0, 1]):
        tables = make_dataset(str(tmp_path / str(order[0])), [FILMS[i] for i in order])
        if order[0]:
            compact(tables)
        name_people(tables)
        found.append(names(tmp_path / str(order[0])))
    assert found[0] == found[1]


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 1, 0], [1, 2, 0]])
def test_the_order_of_runs_changes_names_alone(tmp_path: Path, order: list[int]) -> None:
    tables, job = make_dataset(str(tmp_path), []), builders.job(str(tmp_path))[0]
    for i in order:
        commit_film(tables, job, FILMS[i])
        name_people(tables)
    assert people(tmp_path) == EXPECTED


def test_a_track_without_an_identity_has_no_name(tmp_path: Path) -> None:
    tables = make_dataset(str(tmp_path), [film(A, None, ANNA), film(B, None)])
    assert name_people(tables).n_tracks == 1
    assert {track for track, person in names(tmp_path).items() if person is None} == {"a0", "b0"}
    assert name_people(tables).n_tracks == 0


def test_where_nobody_has_an_identity_nothing_is_written(tmp_path: Path) -> None:
    tables = make_dataset(str(tmp_path), [film(A, None, None)])
    before = [tables.open("tracks").version(), tables.open("videos").version()]
    assert name_people(tables).n_people == 0
    assert [tables.open("tracks").version(), tables.open("videos").version()] == before
    assert not tables.has("_people")


def test_a_film_that_is_not_committed_yet_waits(tmp_path: Path) -> None:
    """Its rows of `tracks` are there, its row of `videos` is not."""
    tables, job = make_dataset(str(tmp_path), FILMS[:1]), builders.job(str(tmp_path))[0]
    make_dataset(str(tmp_path / "other"), [FILMS[1]])
    rows = deltalake.DeltaTable(tmp_path / "other" / "tracks").to_pyarrow_table().cast(TRACKS)
    append_once(tables, "tracks", write_rows(tables.store, "tracks", rows), app=f"tracks:{B}:x", generation=1, what="t")
    assert name_people(tables).n_tracks == 3
    commit_film(tables, job, KnownFilm(video_id=B, uri="b.mp4", status="no_faces"))
    assert name_people(tables).n_tracks == 0, "no_faces has no tracks to name"


@pytest.mark.parametrize("meanwhile", ["drop", "replace", "commit", "compact", "name", "vacuum"])
def test_what_happens_meanwhile_is_no_obstacle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, meanwhile: str) -> None:
    tables, job = make_dataset(str(tmp_path), FILMS[:2]), builders.job(str(tmp_path))[0]
    happened: list[str] = []

    def slowly(*args: Any) -> Any:
        found = tell_apart(*args)
        if not happened:
            happened.append(meanwhile)
            match meanwhile:
                case "drop":
                    drop_films(tables, [A], config_id=job.config_id, what="test")
                case "replace":
                    commit_film(tables, job, FILMS[2], replaces=(A,))
                case "commit":
                    commit_film(tables, job, FILMS[2])
                case "compact":
                    compact(tables)
                case "name":
                    name_people(tables)
                case "vacuum":
                    compact(tables)
                    vacuum(tables, older_than_s=0)
        return found

    monkeypatch.setattr(naming, "tell_apart", slowly)
    name_people(tables)
    assert happened
    films = {"drop": "b", "replace": "bc", "commit": "abc"}.get(meanwhile, "ab")
    kept = {frozenset(track for track in person if track[0] in films) for person in EXPECTED}
    found = people(tmp_path)
    assert found == {person for person in kept if person}
    rows = tables.open("tracks").to_pyarrow_table()
    if meanwhile != "replace":  # its rows wait for `sweep`
        assert rows.num_rows == len(names(tmp_path)), "nothing doubled"


def test_two_calls_at_once_name_each_track_once(tmp_path: Path) -> None:
    tables = make_dataset(str(tmp_path), FILMS)
    at_once, done = threading.Barrier(3), []

    def call() -> None:
        at_once.wait()
        done.append(name_people(Tables(str(tmp_path), {})))

    threads = [threading.Thread(target=call) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(named.n_tracks for named in done) == [0, 0, 8]
    assert people(tmp_path) == EXPECTED
    assert tables.open("tracks").to_pyarrow_table().num_rows == 8
    assert {named.n_people for named in done} == {3}


def test_without_the_memory_everybody_is_known_all_the_same(tmp_path: Path) -> None:
    tables, job = make_dataset(str(tmp_path), FILMS[:2]), builders.job(str(tmp_path))[0]
    name_people(tables)
    once = names(tmp_path)
    tables.store.remove_folder("_people")
    commit_film(tables, job, FILMS[2])
    assert name_people(tables).n_new_people == 0
    assert people(tmp_path) == EXPECTED
    assert once.items() <= names(tmp_path).items()
    assert tables.has("_people")


def test_the_memory_is_what_the_tracks_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also when its many small files have become one."""
    monkeypatch.setattr(people_ledger, "_FILES_MAX", 2)
    tables, job = make_dataset(str(tmp_path), []), builders.job(str(tmp_path))[0]
    for known in [*FILMS, film(D, ANNA)]:
        commit_film(tables, job, known)
        name_people(tables)
    table = tables.open("tracks")
    remembered = people_ledger.PeopleLedger(tables).read(people_ledger.round_of(table))
    assert remembered is not None
    counted = people_ledger.people_in_tracks(tables, table)
    order = [counted.person_ids.index(person) for person in remembered.person_ids]
    assert sorted(order) == list(range(3))
    assert remembered.n_tracks_P.tolist() == counted.n_tracks_P[order].tolist()
    assert remembered.n_frames_P.tolist() == counted.n_frames_P[order].tolist()
    np.testing.assert_allclose(remembered.identity_P128, counted.identity_P128[order], atol=1e-6)
    assert len(tables.open("_people").file_uris()) <= 2
    vacuum(tables, older_than_s=0)
    assert len(list((tmp_path / "_people").glob("*.parquet"))) == len(tables.open("_people").file_uris())


def test_more_tracks_than_a_round_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (naming, people_ledger):
        monkeypatch.setattr(module, "ROWS_AT_ONCE", 1)
    tables = make_dataset(str(tmp_path), FILMS)
    before = tables.open("videos").version()
    assert name_people(tables).n_tracks == 8
    assert people(tmp_path) == EXPECTED
    assert tables.open("videos").version() == before + 1, "one version shows them all"
    tables.store.remove_folder("_people")
    assert name_people(tables).n_people == 3


def test_the_threshold_stays_until_all_starts_over(tmp_path: Path) -> None:
    near = (BEN + 0.5 * (CLEO - BEN) / np.linalg.norm(CLEO - BEN)).astype(np.float32)  # 0.5 away
    tables, job = make_dataset(str(tmp_path), [film(A, BEN, near)]), builders.job(str(tmp_path))[0]
    assert name_people(tables, threshold=0.6).n_people == 1
    with pytest.raises(WrongUse, match=r"told apart at 0\.6, not at 0\.4; leave --threshold out, or start over"):
        name_people(tables, threshold=0.4)
    commit_film(tables, job, film(B, BEN))
    assert name_people(tables).n_new_people == 0
    named = name_people(tables, threshold=0.42, anew=True)
    assert (named.n_tracks, named.n_people) == (3, 2)
    assert named.threshold == pytest.approx(0.42)
    assert people(tmp_path) == {frozenset({"a0", "b0"}), frozenset({"a1"})}
    assert name_people(tables, anew=True).threshold == pytest.approx(0.42)


@pytest.mark.parametrize("threshold", [0, -1, 1.5, float("nan")])
def test_a_threshold_that_cannot_be_is_refused(tmp_path: Path, threshold: float) -> None:
    with pytest.raises(WrongUse, match=r"take 0\.3 to 0\.6"):
        name_people(make_dataset(str(tmp_path), []), threshold=threshold)


def test_starting_over_gives_the_same_names(tmp_path: Path) -> None:
    tables = make_dataset(str(tmp_path), FILMS)
    name_people(tables)
    once, files = names(tmp_path), [file.path for file in tables.files("tracks")]
    assert name_people(tables, anew=True).n_tracks == 8
    assert names(tmp_path) == once
    assert [file.path for file in tables.files("tracks")] == files, "the same bytes"


def test_compact_and_vacuum_keep_names(tmp_path: Path) -> None:
    tables = make_dataset(str(tmp_path), FILMS)
    before = tables.open("videos").version()
    name_people(tables)
    once = names(tmp_path)
    compact(tables)
    vacuum(tables, older_than_s=0)
    assert names(tmp_path) == once
    with pytest.raises(WrongUse, match="vacuumed"):
        names(tmp_path, before)
    commit_film(tables, builders.job(str(tmp_path))[0], film(D, BEN))
    assert name_people(tables).n_new_people == 0
    assert names(tmp_path)["d0"] == once["a1"]


def test_on_an_object_store(s3: S3Server, bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in s3.options.items():
        monkeypatch.setenv(name, value)
    url = f"{bucket}/d"
    name_people(make_dataset(url, FILMS[:1]))
    assert people(url) == {frozenset({"a0", "a2"}), frozenset({"a1"})}
    assert name_people(Tables(url, {})).n_people == 2


def test_a_dataset_made_anew_knows_its_old_people(tmp_path: Path) -> None:
    """`--replace` drops rows; the same films, inverted otherwise, show the same people."""
    name_people(make_dataset(str(tmp_path), FILMS))
    once = names(tmp_path)
    job, canonical = builders.job(str(tmp_path), Config(seed=1))
    tables, generation = open_or_create(job, canonical, anew=True)
    job = replace(job, generation=generation)
    assert name_people(tables).n_tracks == 0
    for known in reversed(FILMS):
        commit_film(tables, job, known)
        name_people(tables)
    assert names(tmp_path) == once
