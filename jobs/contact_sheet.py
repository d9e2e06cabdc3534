"""A picture of a dataset: each track's first, middle and last face above its reconstruction.

Crops are not stored. They are made again from the film and the stored quads, which shows that the dataset is enough.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from operators.faces.align import align_crop
from operators.latents.contact_sheet import SheetEntry, contact_sheet, shown_frames
from operators.stylegan.checkpoint import load_generator
from operators.stylegan.generator import Generator
from operators.video.frame_source import FrameSource
from operators.video.probe import probe
from pipeline.local_copy import local_copy
from pipeline.read import Dataset
from pipeline.tables import saved_config
from schemas.emotions import EMOTIONS
from schemas.job import Input

TRACKS_MAX = 48  # more do not fit on a page that anyone looks at


def write_contact_sheet(dataset: Dataset, path: Path) -> None:
    """Writes a PNG. Films that are gone are left out."""
    contact_sheet(list(_entries(dataset))).save(path)


def _entries(dataset: Dataset) -> Iterator[SheetEntry]:
    config = saved_config(dataset.tables)
    generator = load_generator(config.generator, seed=config.seed)
    tracks = dataset.sql(
        f"select t.*, v.uri from tracks t join videos v using (video_id) order by track_id limit {TRACKS_MAX}"
    )
    with FrameSource() as source:
        for track in tracks.to_arrow_table().to_pylist():
            rows = _three_frames(dataset, track)
            crops_NRRC = _crops(source, track, rows, px=generator.resolution, supersample=config.faces.supersample)
            w_NLD = np.array([row["w"] for row in rows], np.float32).reshape(-1, generator.num_ws, generator.w_dim)
            yield SheetEntry(
                track_id=track["track_id"],
                shot_index=track["shot_index"],
                frame_index=tuple(row["frame_index"] for row in rows),
                crops_NRRC=crops_NRRC,
                reconstructions_NSSC=_pictures(generator, w_NLD),
                emotion=None if track["emotion"] is None else EMOTIONS[track["emotion"]],
                psnr=track["psnr"],
            )


def _three_frames(dataset: Dataset, track: dict[str, Any]) -> list[dict[str, Any]]:
    wanted = [track["first_frame"] + t for t in shown_frames(track["n_frames"])]
    rows: list[dict[str, Any]] = (
        dataset.sql(
            f"select frame_index, quad, w from frames where video_id = '{track['video_id']}' and "
            f"track_id = '{track['track_id']}' and frame_index in ({', '.join(map(str, wanted))}) order by frame_index"
        )
        .to_arrow_table()
        .to_pylist()
    )
    return rows


def _crops(
    source: FrameSource, track: dict[str, Any], rows: list[dict[str, Any]], *, px: int, supersample: int
) -> NDArray[np.uint8]:
    crops = []
    with local_copy(Input(uri=track["uri"], video_id=track["video_id"], bytes=0)) as path:
        video = probe(path, uri=track["uri"], video_id=track["video_id"])
        for row in rows:
            (frame,) = source.read(video, path, first_frame=row["frame_index"], n_frames=1)
            quad_42 = np.array(row["quad"], np.float32).reshape(4, 2)
            crops.append(align_crop(frame.rgb_HWC, quad_42, crop_px=px, supersample=supersample))
    return np.stack(crops)


@torch.inference_mode()
def _pictures(generator: Generator, w_NLD: NDArray[np.float32]) -> NDArray[np.uint8]:
    picture_N3RR = generator.synthesis(torch.from_numpy(w_NLD))
    levels_NRR3 = ((picture_N3RR.movedim(1, -1) + 1) * 127.5).round().clamp(0, 255)
    pictures: NDArray[np.uint8] = levels_NRR3.to(torch.uint8).numpy()
    return pictures
