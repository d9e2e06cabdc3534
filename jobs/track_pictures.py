"""What the tables know of a face, as pictures again: its crops, from the film and the stored quads, and what its
dataset's generator makes of its latents.

N faces, L style layers, D style width, R side of a picture in pixels, C = 3 (RGB).
"""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor

from operators.faces.align import align_crop
from operators.inversion.noise_maps import unpack_noise_maps
from operators.stylegan.checkpoint import load_generator
from operators.stylegan.describe import describe_generator
from operators.stylegan.generator import Generator
from operators.stylegan.layers import NoiseMode
from operators.video.frame_source import FrameSource
from pipeline.local_copy import local_copy
from pipeline.read import Dataset
from pipeline.tables import saved_config
from schemas.errors import WrongUse
from schemas.job import Input
from schemas.video import Frame, Video


class TrackPictures:
    """Crops and reconstructions of one dataset.

    Takes: `generator`: another one than the dataset's for the reconstructions, as one tuned to its film; None: its own.
    Raises: WrongUse when the generator that the latents belong to is gone, or another one lies in its place; when the
    other one takes other latents.
    """

    def __init__(self, dataset: Dataset, generator: str | None = None) -> None:
        config = saved_config(dataset.tables)
        if generator is None:
            described = describe_generator(config.generator, seed=config.seed, label=config.label)
            made_with = dataset.properties["generator_id"]
            if described.generator_id != made_with:
                raise WrongUse(
                    f"generator {config.generator}: is {described.generator_id} now, the dataset's latents are of "
                    f"{made_with}; put that file back, or invert again with --replace"
                )
            self._generator: Generator = load_generator(config.generator, seed=config.seed, label=config.label)
        else:
            self._generator = _other(dataset, generator, seed=config.seed)
        self.are_anothers = generator is not None
        self._supersample = config.faces.supersample
        self.shows_faces = config.subject == "face"

    @property
    def generator(self) -> Generator:
        """Frozen."""
        return self._generator

    @property
    def crop_px(self) -> int:
        return self._generator.resolution

    def crop(self, frame: Frame, quad: list[float]) -> NDArray[np.uint8]:
        """(R, R, 3), the very pixels that were inverted."""
        quad_42 = np.array(quad, np.float32).reshape(4, 2)
        return align_crop(
            frame.rgb_HWC,
            quad_42,
            crop_px=self.crop_px,
            supersample=self._supersample,
            soft_border=self.shows_faces,  # as it was cut
        )

    def reconstructions(self, faces: pa.Table) -> NDArray[np.uint8]:
        """(N, R, R, 3) of rows with the columns `w` and `noise`, all at once."""
        w_NLD = flat(faces, "w").reshape(-1, self._generator.num_ws, self._generator.w_dim)
        noise_NP = None if faces["noise"].null_count else flat(faces, "noise").reshape(len(w_NLD), -1)
        return self.generated(w_NLD, noise_NP)

    @torch.inference_mode()
    def generated(self, w_NLD: NDArray[np.float32], noise_NP: NDArray[np.float32] | None = None) -> NDArray[np.uint8]:
        """(N, R, R, 3) of latents, with the maps that belong to them or else the generator's own."""
        noise: NoiseMode | list[Tensor] = "const"
        if noise_NP is not None:
            noise = unpack_noise_maps(self._generator, torch.from_numpy(noise_NP))
        x_N3RR = self._generator.synthesis(torch.from_numpy(w_NLD), noise=noise)
        levels_N3RR = ((x_N3RR + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
        pictures: NDArray[np.uint8] = levels_N3RR.movedim(1, -1).numpy()  # N 3 R R -> N R R 3
        return pictures


def _other(dataset: Dataset, name: str, *, seed: int) -> Generator:
    generator = load_generator(name, seed=seed)
    sizes = tuple(int(dataset.properties[key]) for key in ("num_ws", "w_dim"))
    if (generator.num_ws, generator.w_dim) != sizes:
        raise WrongUse(
            f"generator {name}: takes {generator.num_ws} styles of {generator.w_dim}, and the dataset's latents are "
            f"{sizes[0]} of {sizes[1]}; give one tuned from its own, `latentreel generator tune --on ...`"
        )
    return generator


def flat(rows: pa.Table, column: str) -> NDArray[np.float32]:
    """All numbers of a column of lists, one after the other."""
    return np.concatenate([chunk.flatten().to_numpy() for chunk in rows[column].chunks]).astype(np.float32)


def faces(dataset: Dataset, track_id: str, which: str) -> pa.Table:
    """Rows of `frames` of one track in the film's order; `which`, in SQL, says of which frames."""
    film = track_id.split("-", maxsplit=1)[0]  # the partition: only one film's files are opened
    return dataset.sql(
        f"select * from frames where video_id = '{film}' and track_id = '{track_id}' and ({which}) order by frame_index"
    ).to_arrow_table()


@contextmanager
def inverted_film(
    source: FrameSource, *, uri: str, video_id: str, n_bytes: int, storage_options: Mapping[str, str] | None = None
) -> Iterator[tuple[Video, str]]:
    """The film of a row of `videos`, probed, and a local path to read it from.

    Raises: WrongUse when it is gone or another film lies in its place.
    Not promised: that another film of exactly as many bytes is noticed; hashing a film takes as long as reading it.
    """
    with ExitStack() as stack:
        try:
            path = stack.enter_context(local_copy(Input(uri=uri, video_id=video_id, bytes=n_bytes), storage_options))
            found_bytes = Path(path).stat().st_size
        except OSError as err:
            raise WrongUse(f"{uri}: {err.strerror or err}; put the film back to where it was inverted from") from err
        if found_bytes != n_bytes:
            raise WrongUse(
                f"{uri}: has {found_bytes} bytes, the film that was inverted had {n_bytes}; put that film back"
            )
        yield source.probe(path, uri=uri, video_id=video_id), path
