"""`latentreel render` of latents with known pictures: a scene's path at any rate, and noise maps. No Ray, no inversion.

A film of two shots, one face in each. The first one's latents lie on a path of two straight pieces; those of the second
have noise maps of their own.
"""

from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from typer.testing import CliRunner

from jobs.cli import app
from jobs.render import render
from jobs.track_pictures import TrackPictures, faces
from operators.faces.align import align_crop
from operators.inversion.latent_clip import latent_clip
from operators.inversion.noise_maps import pack_noise_maps, start_noise_maps
from operators.inversion.scene_path import ScenePath
from operators.inversion.tools import InversionTools, inversion_tools
from operators.latents.side_by_side import SideBySide
from operators.stylegan.checkpoint import save_generator
from operators.stylegan.describe import describe_generator
from operators.stylegan.generator import Generator
from operators.stylegan.random_weights import random_generator
from operators.video.encode import write_mp4
from operators.video.frame_source import FrameSource
from operators.video.probe import probe
from operators.video.video_id import video_id_of
from pipeline.create_tables import open_or_create
from pipeline.finalise import finalise
from pipeline.read import Dataset, open_dataset
from pipeline.staging import Cut, Staging
from pipeline.store import Store
from schemas.clips import LatentClip, TrackClip
from schemas.config import LossSettings, config_id, load_config
from schemas.errors import WrongUse
from schemas.job import Input, Job
from schemas.video import Frame, Shot
from tests import builders
from tests.reference.inversion_clips import known_path
from tests.reference.played import played_psnr

PX = 32
QUAD_42 = np.array([[32, 16], [32, 80], [96, 80], [96, 16]], np.float32)
SCENE, CUT, END = 0, 9, 14  # first frames of the shots, and of what is behind them
KNOTS = [0, 3, 8]  # frames


@dataclass(frozen=True, kw_only=True)
class Known:
    """The dataset, and what was put into it."""

    folder: Path
    generator: Generator
    path: ScenePath
    noisy: LatentClip

    @property
    def dataset(self) -> Dataset:
        return open_dataset(str(self.folder))

    def track(self, shot: int) -> str:
        ((found,),) = self.dataset.sql(f"select track_id from tracks where shot_index = {shot}").fetchall()
        return str(found)

    @torch.no_grad()
    def pictures(self, pts_us: NDArray[np.int64]) -> NDArray[np.float32]:
        """What the path shows at these times, in grey levels."""
        x_N3RR = self.generator.synthesis(torch.from_numpy(self.path.at(pts_us)))
        levels: NDArray[np.float32] = ((x_N3RR.clamp(-1, 1) + 1) * 127.5).movedim(1, -1).numpy()
        return levels


def noisy_generator() -> Generator:
    """Random weights add no noise; this one does, as trained ones do."""
    generator = random_generator(PX, seed=0, channel_base=256, channel_max=16).unfreeze()
    with torch.no_grad():
        for conv in generator.synthesis.convs:
            conv.noise_strength.fill_(0.3)
    return generator.freeze()


def film_frames() -> list[NDArray[np.uint8]]:
    y, x = np.mgrid[0:96, 0:128].astype(np.float32)
    waves = [np.stack([np.sin((x + 3 * t) / 9), np.cos(y / 7), np.sin((x + y) / 11)], -1) for t in range(END)]
    return [np.rint(127 + 100 * wave).astype(np.uint8) for wave in waves]


def clip_of_frames(frames: list[Frame], *, shot: int, video_id: str) -> TrackClip:
    track = builders.face_track(frames[0].frame_index, len(frames), key=builders.part_key(video_id, shot=shot))
    pts_us = np.array([frame.pts_us for frame in frames], np.int64)
    track = replace(track, pts_us=pts_us, quad_T42=np.repeat(QUAD_42[None], len(frames), 0))
    crops = [align_crop(frame.rgb_HWC, QUAD_42, crop_px=PX, supersample=1) for frame in frames]
    return TrackClip(track=track, crops_TRRC=np.stack(crops))


def scene_clip(clip: TrackClip, path: ScenePath, tools: InversionTools) -> LatentClip:
    pts_us = clip.track.pts_us
    return latent_clip(clip, torch.from_numpy(path.at(pts_us)), tools, knot_T=np.isin(pts_us, path.pts_us))


def noise_clip(clip: TrackClip, tools: InversionTools) -> LatentClip:
    n, source = clip.track.n_frames, torch.Generator().manual_seed(0)
    maps = [torch.randn(own.shape, generator=source) for own in start_noise_maps(tools.generator, n)]
    return latent_clip(clip, known_path(tools.generator, n, seed=7), tools, noise_TP=pack_noise_maps(maps))


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Known:
    folder = tmp_path_factory.mktemp("known")
    write_mp4(folder / "film.mp4", film_frames(), fps=Fraction(25), crf=10)
    with (folder / "film.mp4").open("rb") as file:
        film = Input(uri=str(folder / "film.mp4"), video_id=video_id_of(file), bytes=file.tell())
    save_generator(noisy_generator(), str(folder / "noisy.safetensors"))
    config = load_config(None, {"generator": str(folder / "noisy.safetensors"), "faces.supersample": 1})
    generator = describe_generator(config.generator, seed=0)
    canonical = config.canonical(generator_id=generator.content_id, emotion_id=None)
    job = Job(
        dataset=str(folder / "d"), config=config, config_id=config_id(canonical), generator=generator, run_id="known"
    )
    open_or_create(job, canonical, anew=False)

    video = probe(film.uri, uri=film.uri, video_id=film.video_id)
    with FrameSource() as source:
        frames = list(source.read(video, film.uri))
    inversion = config.inversion.model_copy(update={"prior_samples": 1000})
    tools = inversion_tools(noisy_generator(), inversion, loss=LossSettings(perceptual="pyramid"))
    bends = torch.stack([known_path(tools.generator, 2, seed=seed, step=1.0)[0] for seed in (1, 2, 3)])
    path = ScenePath(pts_us=video.pts_us[KNOTS], w_KLD=bends.half().float().numpy())
    noisy = noise_clip(clip_of_frames(frames[CUT:], shot=1, video_id=film.video_id), tools)
    clips = [scene_clip(clip_of_frames(frames[:CUT], shot=0, video_id=film.video_id), path, tools), noisy]

    staging = Staging(Store(job.dataset), job.config_id, film.video_id)
    shots = tuple(
        Shot(
            shot_index=i,
            first_frame=first,
            n_frames=end - first,
            start_us=int(video.pts_us[first]),
            end_us=end * 40_000,
        )
        for i, (first, end) in enumerate([(SCENE, CUT), (CUT, END)])
    )
    staging.write_cut(Cut(video=video, shots=shots, n_segments=1))
    for clip in clips:
        staging.write_part(clip)
    staging.write_parts(0, [clip.track.key for clip in clips])
    finalise(film, job)
    return Known(folder=folder / "d", generator=tools.generator, path=path, noisy=noisy)


def played(path: Path) -> tuple[list[float], NDArray[np.float32]]:
    """Times in seconds, and pictures."""
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
    pictures = np.stack([frame.to_ndarray(format="rgb24") for frame in frames])
    return [float(frame.time) for frame in frames], pictures.astype(np.float32)


def test_a_path_comes_back_bit_for_bit(known: Known) -> None:
    found = known.dataset.path(known.track(0))
    np.testing.assert_array_equal(found.pts_us, known.path.pts_us)
    np.testing.assert_array_equal(found.w_KLD, known.path.w_KLD)
    stored_TLD = known.dataset.track(known.track(0))
    np.testing.assert_array_equal(found.at(np.arange(CUT) * 40_000).astype(np.float16), stored_TLD)
    assert known.dataset.sql("select knots from tracks order by shot_index").fetchall() == [(len(KNOTS),), (None,)]


@pytest.mark.parametrize(
    ("track", "says"),
    [
        pytest.param("a latent per frame", "has a latent for every frame; invert with --method scene", id="no_scene"),
        pytest.param(
            "nobody-00000-000", "no track nobody-00000-000; `select track_id from tracks` lists", id="unknown"
        ),
    ],
)
def test_a_track_without_a_path_says_how_to_get_one(known: Known, track: str, says: str) -> None:
    with pytest.raises(WrongUse, match=says):
        known.dataset.path(known.track(1) if track == "a latent per frame" else track)


@pytest.mark.parametrize("fps", [pytest.param(60.0, id="faster"), pytest.param(10.0, id="slower")])
def test_a_resampled_film_shows_the_path_at_its_own_times(known: Known, tmp_path: Path, fps: float) -> None:
    """Each frame is nearer to what the path shows at its time than to what it shows a quarter of a step beside it."""
    assert render(str(known.folder), known.track(0), output=str(tmp_path / "t.mp4"), resample_fps=fps) == 0
    times_s, shown = played(tmp_path / "t.mp4")
    n = int(KNOTS[-1] / 25 * fps) + 1
    np.testing.assert_allclose(times_s, np.arange(n) / fps, atol=1e-4)
    error = []
    for shift in (0, -0.25, 0.25):
        wanted = known.pictures(((np.arange(n) + shift) * 1e6 / fps).astype(np.int64))
        difference = (shown - wanted)[1:-1].reshape(
            -1, PX // 2, 2, PX // 2, 2, 3
        )  # beyond its ends a path stands still
        error.append(np.square(difference.mean(axis=(2, 4))).mean())  # of 2x2 pixels: mp4 keeps one colour for them
    assert 10 * np.log10(255**2 / error[0]) > 30
    assert error[0] < min(error[1:])
    assert [path.name for path in tmp_path.iterdir()] == ["t.mp4"]


@pytest.mark.parametrize(
    ("fps", "shot", "says"),
    [
        pytest.param(0.0, 0, "--resample 0: give 1 to 1000 frames a second", id="nothing"),
        pytest.param(float("nan"), 0, "--resample nan: give 1 to 1000", id="nan"),
        pytest.param(1e9, 0, r"--resample 1e\+09: give 1 to 1000", id="more_than_a_disk_holds"),
        pytest.param(60.0, 1, "has a latent for every frame", id="no_scene"),
    ],
)
def test_what_cannot_be_resampled_writes_nothing(
    known: Known, tmp_path: Path, fps: float, shot: int, says: str
) -> None:
    with pytest.raises(WrongUse, match=says):
        render(str(known.folder), known.track(shot), output=str(tmp_path / "t.mp4"), resample_fps=fps)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("rate", ["60fps", "60"])
def test_the_command_takes_a_rate_with_its_unit(known: Known, tmp_path: Path, rate: str) -> None:
    words = ["render", str(known.folder), "00000-000", "-o", str(tmp_path / "t.mp4"), "--resample", rate]
    done = CliRunner().invoke(app, words)
    assert (done.exit_code, "20 frames at 60 a second, from 3 latents" in done.output) == (0, True), done.output


def test_the_command_refuses_a_rate_that_is_none(known: Known, tmp_path: Path) -> None:
    words = ["render", str(known.folder), "00000-000", "-o", str(tmp_path / "t.mp4"), "--resample", "sixty"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 2
    assert "'sixty' is no rate; write 60fps" in done.output


def test_a_picture_has_the_noise_maps_of_its_latent(known: Known) -> None:
    pictures = TrackPictures(known.dataset)
    rows = faces(known.dataset, known.track(1), "true")
    with_maps = pictures.reconstructions(rows)
    assert known.noisy.noise_TP is not None
    np.testing.assert_array_equal(with_maps, pictures.generated(known.noisy.w_TLD, known.noisy.noise_TP))
    without = pictures.generated(known.noisy.w_TLD)
    assert np.abs(with_maps.astype(float) - without).mean() > 3, "grey levels: maps that change nothing prove nothing"


def test_the_film_of_a_track_shows_its_noise_maps(known: Known, tmp_path: Path) -> None:
    """The PSNR between the panels as they are played is that of the table, which was measured with the maps."""
    track_id = known.track(1)
    assert render(str(known.folder), track_id, output=str(tmp_path / "t.mp4")) == 0
    draw = SideBySide(track_id=track_id, shot_index=1, crop_px=PX)
    _, frames = played(tmp_path / "t.mp4")
    found = [played_psnr(frame, draw) for frame in frames]
    np.testing.assert_allclose(found, known.noisy.psnr, atol=0.3)


def test_a_sheet_is_not_resampled(known: Known, tmp_path: Path) -> None:
    with pytest.raises(WrongUse, match="--resample: a sheet shows frames of the film; name a track"):
        render(str(known.folder), None, output=str(tmp_path / "sheet.png"), resample_fps=60)
    assert not list(tmp_path.iterdir())
