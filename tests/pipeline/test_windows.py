"""Windows of latents: which there are, who gets them, in which order, and what is left after an interruption."""

import gc
import itertools
import json
import pickle
from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader, default_collate
from torchdata.stateful_dataloader import StatefulDataLoader  # type: ignore[import-untyped]

from pipeline import window_plan
from pipeline.read import Dataset, open_dataset
from pipeline.window_batches import collate
from pipeline.windows import Windows
from schemas.errors import WrongUse
from schemas.tables import track_id
from tests import builders, datasets
from tests.datasets import FRAME_US, KnownFilm, KnownTrack, commit_film, frame_numbers, make_dataset

Key = tuple[str, int]  # a window: its track, its first frame

HAPPY, SAD = 3, 4
GAPS, LONG, QUARANTINED = "a" * 32, "b" * 32, "d" * 32
# Numbers of frames stay below 2,048: float16 holds them exactly.
FILMS = [
    KnownFilm(
        video_id=GAPS,
        tracks=[
            KnownTrack(n_frames=10, psnr=20),  # shorter than most windows
            KnownTrack(n_frames=90, first_frame=7, filled=(0, 30, 31, 89), missing=(60,), emotion=HAPPY),
            KnownTrack(n_frames=61, first_frame=200, shot_index=1, missing=(25, 26), emotion=SAD),
        ],
    ),
    KnownFilm(
        video_id=LONG,
        tracks=[
            KnownTrack(n_frames=2000, missing=(999,), filled=tuple(range(1500, 1510)), emotion=SAD),  # 8 row groups
            KnownTrack(n_frames=700, shot_index=1, emotion=None),
            KnownTrack(n_frames=25, shot_index=1, emotion=HAPPY, psnr=40),
            KnownTrack(n_frames=300, first_frame=50, shot_index=300, emotion=SAD, psnr=40),
        ],
    ),
    KnownFilm(video_id="c" * 32, tracks=[KnownTrack(n_frames=3)]),
    KnownFilm(video_id=QUARANTINED, status="quarantined", tracks=[KnownTrack(n_frames=100)]),
    *(KnownFilm(video_id=f"{i:032x}", tracks=[KnownTrack(n_frames=30 + i, first_frame=i)]) for i in range(9)),
]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    path = str(tmp_path_factory.mktemp("windows"))
    make_dataset(path, FILMS)
    return open_dataset(path)


def _tracks(films: list[KnownFilm] = FILMS) -> Iterable[tuple[str, KnownTrack]]:
    for film in films:
        numbers: dict[int, int] = {}
        for track in film.tracks if film.status == "committed" else []:
            number = numbers[track.shot_index] = numbers.get(track.shot_index, -1) + 1
            yield track_id(film.video_id, track.shot_index, number), track


def _known(length: int, stride: int, *, filled: bool = False, only: Any = None) -> list[Key]:
    """The oracle: walks along each track frame by frame, and cuts a run into windows when it ends."""
    found = []
    for name, track in _tracks():
        if only is not None and not only(name, track):
            continue
        there = {int(i) for i in frame_numbers(track)}
        if not filled:
            there -= {track.first_frame + i for i in track.filled}
        run: list[int] = []
        for i in range(track.first_frame, track.first_frame + track.n_frames + 1):
            if i in there:
                run.append(i)
                continue
            found += [(name, run[k]) for k in range(0, len(run) - length + 1, stride)]
            run = []
    return sorted(found)


def _key(sample: dict[str, Any]) -> Key:
    return sample["track_id"], int(sample["frame_index"][0])


def _keys(samples: Iterable[dict[str, Any]]) -> list[Key]:
    return [_key(sample) for sample in samples]


def _unbatched(batches: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {name: values[i] for name, values in batch.items()} for batch in batches for i in range(len(batch["track_id"]))
    ]


def _same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Names, types and values."""
    return one.keys() == other.keys() and all(
        a.dtype == b.dtype and torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b
        for a, b in ((one[name], other[name]) for name in one)
    )


@pytest.mark.parametrize(
    ("length", "stride", "filled"),
    [
        pytest.param(25, 25, False, id="one_after_the_other"),
        pytest.param(25, 25, True, id="filled"),
        pytest.param(25, 1, False, id="every_frame"),
        pytest.param(25, 60, False, id="with_room_between"),
        pytest.param(1, 1, True, id="single_frames"),
        pytest.param(300, 50, False, id="longer_than_a_row_group"),
        pytest.param(1900, 7, True, id="longer_than_a_run"),
    ],
)
def test_all_windows_and_no_others(dataset: Dataset, length: int, stride: int, filled: bool) -> None:
    found = []
    for sample in dataset.windows(length, stride, filled=filled):
        found.append(_key(sample))
        frames = torch.arange(found[-1][1], found[-1][1] + length)
        assert torch.equal(sample["frame_index"], frames)
        assert torch.equal(sample["pts_us"], frames * FRAME_US)
        w_TLD = frames.float()[:, None, None].expand(length, builders.NUM_WS, builders.W_DIM)
        assert sample["w"].dtype == torch.float32
        assert torch.equal(sample["w"], w_TLD)
    assert sorted(found) == _known(length, stride, filled=filled)


@pytest.mark.parametrize(
    ("where", "only"),
    [
        pytest.param(f"emotion = {SAD}", lambda name, track: track.emotion == SAD, id="emotion"),
        pytest.param("psnr > 35 -- the best", lambda name, track: track.psnr > 35, id="comment_at_the_end"),
        pytest.param("shot_index = 1 or false", lambda name, track: track.shot_index == 1, id="or"),
        pytest.param(f"video_id = '{GAPS}'", lambda name, track: name.startswith(GAPS), id="film"),
        pytest.param("emotion is null", lambda name, track: track.emotion is None, id="null"),
        pytest.param("false", lambda name, track: False, id="nothing"),
    ],
)
def test_where_chooses_tracks(dataset: Dataset, where: str, only: Any) -> None:
    assert sorted(_keys(dataset.windows(20, 5, where))) == _known(20, 5, only=only)


@pytest.mark.parametrize(
    ("values", "says"),
    [
        pytest.param(dict(where="emo = 3"), "emo", id="unknown_column"),
        pytest.param(dict(where="emotion = (3"), "syntax", id="syntax"),
        pytest.param(dict(where="true); select (true"), "SELECT", id="two_questions"),
        pytest.param(dict(length=0), "length is 0", id="length"),
        pytest.param(dict(stride=0), "stride is 0", id="stride"),
        pytest.param(dict(epochs=0), "epochs is 0", id="epochs"),
        pytest.param(dict(columns=("smile",)), "no column smile", id="column"),
        pytest.param(dict(rank=1), "give both or none", id="rank_alone"),
        pytest.param(dict(rank=2, world_size=2), "rank 2 of 2", id="rank_too_high"),
    ],
)
def test_what_cannot_be_is_refused(dataset: Dataset, values: dict[str, Any], says: str) -> None:
    with pytest.raises(WrongUse, match=says):
        dataset.windows(**values)


def test_more_columns_come_as_tensors_with_marks_for_null(dataset: Dataset) -> None:
    columns = ("emotion", "psnr", "lpips", "knot", "quad", "landmarks")
    found = {_key(sample): sample for sample in dataset.windows(25, columns=columns)}
    for name, track in _tracks():
        for (of, _), sample in found.items():
            if of == name:
                assert sample["emotion"].tolist() == [-1 if track.emotion is None else track.emotion] * 25
                assert sample["psnr"].tolist() == [track.psnr] * 25
                assert (sample["lpips"].isnan().all(), sample["knot"].tolist()) == (True, [-1] * 25)
                assert (sample["quad"].shape, sample["quad"][0].max()) == ((25, 8), track.face_px)
                assert sample["landmarks"].shape == (25, 136)
    with pytest.raises(WrongUse, match="column noise is null"):
        next(iter(dataset.windows(25, columns=("noise",))))


def test_only_films_that_are_wholly_committed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A film of which all but the last row is committed, before and after the next film."""
    whole, half, later = (KnownFilm(video_id=c * 32, tracks=[KnownTrack(n_frames=25)]) for c in "abc")
    tables = make_dataset(str(tmp_path), [whole, FILMS[3]])
    job = builders.job(str(tmp_path))[0]
    with monkeypatch.context() as patch:
        patch.setattr(datasets, "commit_video", mock.Mock(side_effect=InterruptedError))
        with pytest.raises(InterruptedError):
            commit_film(tables, job, half)
    assert tables.files("frames")[-1].partition["video_id"] == half.video_id  # its latents are there
    assert _keys(open_dataset(str(tmp_path)).windows()) == [(track_id(whole.video_id, 0, 0), 0)]
    commit_film(tables, job, later)
    films = {name[:32] for name, _ in _keys(open_dataset(str(tmp_path)).windows())}
    assert films == {whole.video_id, later.video_id}


def _shard(windows: Windows, n_workers: int, worker: int) -> list[dict[str, Any]]:
    info = SimpleNamespace(num_workers=n_workers, id=worker)
    with mock.patch("pipeline.windows.get_worker_info", lambda: info):
        return list(windows)


@settings(max_examples=12, deadline=None)
@given(
    world_size=st.integers(1, 3),
    n_workers=st.integers(1, 3),
    pool_rows=st.sampled_from([64, 400, window_plan.POOL_ROWS]),  # small ones are dealt out whole
    seed=st.integers(0, 2**40),
    shuffle=st.booleans(),
    stride=st.sampled_from([3, 25]),
)
def test_readers_share_all_windows_without_overlap(
    dataset: Dataset, world_size: int, n_workers: int, pool_rows: int, seed: int, shuffle: bool, stride: int
) -> None:
    with mock.patch.object(window_plan, "POOL_ROWS", pool_rows):
        found: list[Key] = []
        for rank in range(world_size):
            windows = dataset.windows(25, stride, seed=seed, shuffle=shuffle, rank=rank, world_size=world_size)
            for worker in range(n_workers):
                found += _keys(_shard(windows, n_workers, worker))
    assert sorted(found) == _known(25, stride)


@pytest.mark.parametrize("persistent", [False, True], ids=["new_workers", "lasting_workers"])
def test_workers_of_a_loader_share_each_epoch(dataset: Dataset, persistent: bool) -> None:
    windows = dataset.windows(25, 5)
    loader = DataLoader(windows, batch_size=None, num_workers=2, persistent_workers=persistent)
    orders = []
    for epoch in (0, 1):
        windows.set_epoch(epoch)
        orders.append(_keys(loader))
    assert [sorted(order) for order in orders] == [_known(25, 5)] * 2
    assert orders[0] != orders[1]


def test_a_worker_survives_garbage_that_it_inherits(dataset: Dataset) -> None:
    """A dataset that nobody needs any more, with DuckDB's connection, is collected in the worker, not here."""
    gc.disable()
    try:
        other = open_dataset(dataset.tables.root)
        windows = other.windows(25, 5, "psnr > 35")
        del other
        collects: Any = lambda worker: gc.collect()  # noqa: E731
        loader = DataLoader(windows, batch_size=None, num_workers=1, worker_init_fn=collects)
        found = _keys(loader)
    finally:
        gc.enable()
    assert sorted(found) == _known(25, 5, only=lambda name, track: track.psnr > 35)


def test_ranks_come_from_the_environment(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for rank in "01":
        monkeypatch.setenv("WORLD_SIZE", "2")
        monkeypatch.setenv("RANK", rank)
        found.append(_keys(dataset.windows(25)))
    assert all(found)
    assert sorted(found[0] + found[1]) == _known(25, 25)


def test_the_order_follows_seed_and_epoch(dataset: Dataset) -> None:
    def order(seed: int, epoch: int, **more: Any) -> list[Key]:
        windows = dataset.windows(25, 5, seed=seed, **more)
        windows.set_epoch(epoch)
        return _keys(windows)

    orders = {(seed, epoch): order(seed, epoch) for seed in (0, 7) for epoch in (0, 1)}
    assert len(set(map(tuple, orders.values()))) == len(orders)
    assert all(order(*which) == expected for which, expected in orders.items())
    assert order(7, 1, shuffle=False) == _known(25, 5)
    # neighbours in a shuffled epoch: of 16 row groups at least 4 are mixed, so few follow each other in a track
    follows = sum(a[0] == b[0] and abs(a[1] - b[1]) == 5 for a, b in itertools.pairwise(orders[0, 0]))
    assert follows < 0.1 * len(orders[0, 0])


def test_epochs_follow_each_other(dataset: Dataset) -> None:
    n = len(_known(25, 25))
    endless = _keys(itertools.islice(dataset.windows(25, epochs=None), 3 * n))
    epochs = [endless[i * n : (i + 1) * n] for i in range(3)]
    assert all(sorted(epoch) == _known(25, 25) for epoch in epochs)
    assert len(set(map(tuple, epochs))) == 3
    assert _keys(dataset.windows(25, epochs=2)) == epochs[0] + epochs[1]
    with pytest.raises(WrongUse, match="no window of 2000 frames"):
        next(iter(dataset.windows(2000, epochs=None)))


@settings(max_examples=15, deadline=None)
@given(
    parts=st.lists(st.integers(0, 200), min_size=1, max_size=3),
    seed=st.integers(0, 99),
    epoch=st.integers(0, 3),
    pool_rows=st.sampled_from([64, 400, window_plan.POOL_ROWS]),
    shuffle=st.booleans(),
)
def test_what_is_left_comes_after_an_interruption(
    dataset: Dataset, parts: list[int], seed: int, epoch: int, pool_rows: int, shuffle: bool
) -> None:
    """Interrupted after each part, and gone on with by an object that knows nothing but the state."""

    def make() -> Windows:
        return dataset.windows(25, 10, seed=seed, shuffle=shuffle, epochs=2)

    with mock.patch.object(window_plan, "POOL_ROWS", pool_rows):
        whole = make()
        whole.set_epoch(epoch)
        expected = list(whole)
        windows = make()
        found: list[dict[str, Any]] = []
        windows.set_epoch(epoch)
        for n in parts:
            found += itertools.islice(iter(windows), n)
            state = json.loads(json.dumps(windows.state_dict()))
            windows = make()
            windows.load_state_dict(state)
            assert windows.state_dict() == state
        found += windows
    assert len(found) == len(expected) == 2 * len(_known(25, 10))
    assert all(map(_same, found, expected))


def test_a_loader_with_workers_goes_on_where_it_was(dataset: Dataset) -> None:
    """Stopped twice."""

    def make() -> Any:
        return StatefulDataLoader(dataset.windows(25, 5), batch_size=4, num_workers=2, collate_fn=collate)

    expected = list(make())
    loader = make()
    found: list[dict[str, Any]] = []
    for n in (7, 11):
        found += itertools.islice(iter(loader), n)
        state = pickle.dumps(loader.state_dict())
        loader = make()
        loader.load_state_dict(pickle.loads(state))
    found += loader
    assert len(found) == len(expected)
    assert all(map(_same, found, expected))
    assert sorted(_keys(_unbatched(found))) == _known(25, 5)


@pytest.mark.parametrize(
    ("other", "says"),
    [
        pytest.param(dict(seed=1), "seed is 0 there and 1 here", id="seed"),
        pytest.param(dict(length=24), "length is 25 there and 24 here; stride", id="length"),
        pytest.param(dict(stride=5), "stride is 25 there and 5 here", id="stride"),
        pytest.param(dict(where="psnr > 35"), "where is None there and 'psnr > 35' here", id="where"),
        pytest.param(dict(filled=True), "filled is False there and True here", id="filled"),
        pytest.param(dict(shuffle=False), "shuffle is True there and False here", id="shuffle"),
        pytest.param(dict(rank=0, world_size=2), "shards is 1 there and 2 here", id="shards"),
    ],
)
def test_the_state_of_other_windows_is_refused(dataset: Dataset, other: dict[str, Any], says: str) -> None:
    state = dataset.windows(25).state_dict()
    with pytest.raises(ValueError, match=says) as refused:
        dataset.windows(**{"length": 25, **other}).load_state_dict(state)
    assert "\n" not in str(refused.value)


def test_the_state_of_another_version_is_refused(tmp_path: Path) -> None:
    tables = make_dataset(str(tmp_path), [FILMS[2]])
    before = open_dataset(str(tmp_path))
    state = before.windows(2).state_dict()
    commit_film(tables, builders.job(str(tmp_path))[0], FILMS[-1])
    now = open_dataset(str(tmp_path))
    with pytest.raises(ValueError, match=rf"dataset_version is {before.version} there and {now.version} here"):
        now.windows(2).load_state_dict(state)
    open_dataset(str(tmp_path), version=before.version).windows(2).load_state_dict(state)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_batches_are_what_torch_makes(dataset: Dataset, num_workers: int) -> None:
    def batches(collate_fn: Any) -> list[dict[str, Any]]:
        windows = dataset.windows(25, columns=("emotion", "quad"))
        return list(DataLoader(windows, batch_size=5, num_workers=num_workers, collate_fn=collate_fn))

    found, expected = batches(collate), batches(default_collate)
    assert len(found) == len(expected)
    assert all(map(_same, found, expected))
    kept = found[1]["w"].clone()
    found[0]["w"].zero_()  # a batch may be changed, and is nobody else's
    assert torch.equal(found[1]["w"], kept)
