"""latentreel generator fit SOURCE -o FOLDER: trains a StyleGAN2 on pictures, or on the faces of a dataset.

On a machine without Ray and the rest: `python -m operators.stylegan.training`, or under torchrun, does the same for
pictures. Make them of a dataset here first: a run's folder keeps them as pictures-*.npy, which is a source again.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from schemas.errors import BadInput, WrongUse

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from operators.stylegan.training.image_sources import ImageSource
    from operators.video.frame_source import FrameSource
    from pipeline.read import Dataset
    from schemas.config import Config

FRAME_STRIDE = 4  # neighbouring frames are nearly one picture: four times the films fit into the same disk and time


def fit(
    source: str,
    *,
    output: str,
    settings: Mapping[str, Any],
    pace: Mapping[str, Any] | None = None,
    device: str = "auto",
    px: int | None = None,
    frame_stride: int = FRAME_STRIDE,
    command: str = "",
    start_from: str | None = None,
    label: int | None = None,
) -> int:
    """Trains, or goes on with what is in `output`. Gives the exit code.

    Takes: `source`: a folder, a .zip, a .npy, or a dataset of ours; `settings` and `pace`: changes to FitSettings and
    FitPace by name; `px` and `frame_stride`, for a dataset: side of the crops (None: its generator's) and every how
    many frames of a track;
    `start_from`: a generator that training goes on from, and `label` of a conditional one; `command`: as it was typed,
    for the model card.
    Raises: WrongUse, BadInput, Interrupted.
    """
    from operators.stylegan.describe import describe_generator
    from operators.stylegan.training.command import fit_pictures
    from operators.stylegan.training.image_sources import open_source

    is_dataset = (Path(source) / "videos" / "_delta_log").is_dir() or "://" in source
    if is_dataset and px is None and start_from is not None:
        px = describe_generator(start_from, seed=0, label=label).resolution
    opened = _faces(source, px=px, frame_stride=frame_stride) if is_dataset else open_source(source)
    return fit_pictures(
        opened,
        output=output,
        settings=settings,
        pace=pace or {},
        device=device,
        command=command,
        start_from=start_from,
        label=label,
    )


def _faces(path: str, *, px: int | None, frame_stride: int) -> "ImageSource":
    """The crops of a dataset, made again from its films and stored quads."""
    from operators.stylegan.describe import describe_generator
    from operators.stylegan.training.image_sources import ImageSource
    from pipeline.read import open_dataset
    from pipeline.tables import saved_config
    from schemas.generators import RESOLUTIONS

    if frame_stride < 1:
        raise WrongUse(f"every {frame_stride} frames; give at least 1")
    dataset = open_dataset(path)
    config = saved_config(dataset.tables)
    side_px = px or describe_generator(config.generator, seed=config.seed, label=config.label).resolution
    if side_px not in RESOLUTIONS:
        raise WrongUse(f"crops of {side_px} px; give one of {', '.join(map(str, RESOLUTIONS))}")
    wanted = f"(frame_index - t.first_frame) % {frame_stride} = 0"
    joined = "frames f join tracks t using (video_id, track_id)"
    ((n, n_films, last_us),) = dataset.sql(
        f"select count(*), count(distinct video_id), epoch_us(max(committed_at)) from {joined} "
        f"join videos using (video_id) where {wanted}"
    ).fetchall()
    if n == 0:
        raise WrongUse(f"{path}: no face in it; run `latentreel status {path}`, or invert films that have faces")

    def pictures() -> "Iterator[tuple[str, NDArray[np.uint8]]]":
        films = dataset.sql(f"select distinct video_id, uri from {joined} join videos using (video_id) order by 1")
        from operators.video.frame_source import FrameSource

        with FrameSource() as frames:
            for video_id, uri in films.fetchall():
                yield from _crops(dataset, frames, video_id, uri, wanted=wanted, px=side_px, config=config)

    return ImageSource(
        what=f"dataset {Path(path).name}, {n} faces of {n_films} films, every {frame_stride} frames of a track",
        listing=f"{dataset.properties['config_id'][:12]}-{n}-{side_px}-{frame_stride}-{last_us}",
        pictures=pictures,
    )


def _crops(
    dataset: "Dataset", source: "FrameSource", video_id: str, uri: str, *, wanted: str, px: int, config: "Config"
) -> "Iterator[tuple[str, NDArray[np.uint8]]]":
    """Of one film, read forward once, whatever the number of faces."""
    import numpy as np

    from operators.faces.align import align_crop
    from pipeline.local_copy import local_copy
    from schemas.job import Input

    # Quads only, not latents: the faces of a whole film then take a few MB.
    rows = dataset.sql(
        "select f.frame_index, f.track_id, f.quad from frames f join tracks t using (video_id, track_id) "
        f"where f.video_id = '{video_id}' and {wanted} order by f.frame_index, f.track_id"
    ).fetchall()
    try:
        with local_copy(Input(uri=uri, video_id=video_id, bytes=0), dataset.tables.storage_options) as path:
            video = source.probe(path, uri=uri, video_id=video_id)
            first, last = rows[0][0], rows[-1][0]
            at = 0
            for frame in source.read(video, path, first_frame=first, n_frames=last - first + 1):
                while at < len(rows) and rows[at][0] == frame.frame_index:
                    _, track_id, quad = rows[at]
                    quad_42 = np.array(quad, np.float32).reshape(4, 2)
                    name = f"{uri}: track {track_id}, frame {frame.frame_index}"
                    yield (
                        name,
                        align_crop(
                            frame.rgb_HWC,
                            quad_42,
                            crop_px=px,
                            supersample=config.faces.supersample,
                            soft_border=config.subject == "face",
                        ),
                    )
                    at += 1
    except OSError as err:
        raise BadInput(f"{uri}: {err.strerror or err}; put the film back, or invert the dataset without it") from err
