"""The sample movie that ships with the package: 12 seconds, three actors, every kind of shot once.

    python -m operators.puppets.sample FOLDER

writes sample.mp4 and sample_truth.parquet, the same bytes every time on one machine.
"""

import sys
from fractions import Fraction
from pathlib import Path

import pyarrow.parquet as pq

from operators.puppets.movie import movie_frames, movie_truth
from operators.puppets.parameters import Identity, Look, Pose
from operators.puppets.script import Feeling, Part, Script, Take, View
from operators.video.encode import write_mp4

_CRF = 20  # no visible blocks, and well under a megabyte

_ANNA = Identity(
    head_width=-0.6, jaw_width=-1.0, chin_width=-0.6, cheekbones=0.8, eye_size=1.0, nose_width=-0.6, nose_length=-0.4,
    upper_lip=0.6, lower_lip=0.5, brow_thickness=-0.4, brow_arch=0.6, skin_tone=0.12, age=0.15, hair_tone=0.55,
    hair_redness=1.6, hair_length=0.55, hair_volume=0.6, hair_parting=0.3, iris_hue=0.55, makeup=0.55, beard=-1.0,
    cloth_hue=0.62, cloth_tone=0.45,
)  # fmt: skip
_BEN = Identity(
    head_width=0.7, jaw_width=1.2, chin_width=0.8, brow_ridge=1.0, nose_width=1.0, nose_projection=0.3, mouth_width=0.6,
    upper_lip=0.9, lower_lip=0.9, brow_thickness=0.7, skin_tone=0.68, age=0.35, hair_tone=0.05, hair_length=-0.45,
    iris_hue=0.05, beard=0.16, glasses=-1.0, cloth_hue=0.08, cloth_tone=0.6,
)  # fmt: skip
_CLARA = Identity(
    head_width=0.3, jaw_width=-0.2, cheek_fullness=0.8, eye_spacing=0.4, nose_length=0.6, nose_bridge=0.8,
    brow_thickness=0.3, skin_tone=0.30, age=0.78, hair_tone=0.3, hair_length=-0.1, hair_volume=1.0, hairline=-0.3,
    iris_hue=0.35, makeup=0.2, beard=-1.0, glasses=0.9, glasses_shape=-0.5, cloth_hue=0.9, cloth_tone=0.3,
)  # fmt: skip


def sample_script() -> Script:
    """640x360, 24 fps, 288 frames in six shots."""
    return Script(
        actors=(_ANNA, _BEN, _CLARA),
        takes=(
            Take(
                n_frames=54, set_seed=11, look=Look(light_side=-0.5, light_height=0.2),
                start=View(eyes_px=92, x=0.46, y=0.47), end=View(eyes_px=104, x=0.52, y=0.49),
                parts=(
                    Part(
                        actor=0, seed=1, start=Pose(yaw=-12, pitch=1), end=Pose(yaw=9, roll=3), speech_s=(0.3, 1.3),
                        feelings=(Feeling(at_s=0.9, name="neutral"), Feeling(at_s=1.7, name="happiness")),
                    ),
                ),
            ),
            Take(
                n_frames=46, set_seed=12, look=Look(light_side=0.6, warmth=1.2),
                start=View(eyes_px=100, x=0.55, y=0.48), end=View(eyes_px=94, x=0.49, y=0.47),
                parts=(
                    Part(
                        actor=1, seed=2, start=Pose(yaw=10), end=Pose(yaw=-6, roll=-3),
                        feelings=(
                            Feeling(at_s=0.4, name="neutral"), Feeling(at_s=0.9, name="surprise"),
                            Feeling(at_s=1.3, name="surprise"), Feeling(at_s=1.8, name="fear", strength=0.9),
                        ),
                    ),
                ),
            ),
            Take(
                n_frames=60, set_seed=13, look=Look(light_side=0.15, light_height=0.5),
                start=View(eyes_px=66, x=0.49, y=0.46), end=View(eyes_px=72, x=0.51, y=0.47),
                parts=(
                    Part(
                        actor=0, seed=3, x_mm=-190, start=Pose(yaw=14), end=Pose(yaw=8), speech_s=(0.1, 1.1),
                        feelings=(Feeling(at_s=0.8, name="happiness", strength=0.8), Feeling(at_s=1.8, name="neutral")),
                    ),
                    Part(
                        actor=1, seed=4, x_mm=190, start=Pose(yaw=-10), end=Pose(yaw=-15, roll=-3), speech_s=(1.2, 2.4),
                        feelings=(Feeling(at_s=0.9, name="neutral"), Feeling(at_s=1.6, name="anger")),
                    ),
                ),
            ),
            Take(
                n_frames=36, set_seed=14, fade_out=14,
                start=View(eyes_px=90, x=0.5, y=0.5), end=View(eyes_px=90, x=0.42, y=0.5),
            ),
            Take(
                n_frames=44, set_seed=15, look=Look(light_side=-0.3, light_height=0.1, warmth=-1.0),
                start=View(eyes_px=88, x=0.50, y=0.47), end=View(eyes_px=100, x=0.47, y=0.49),
                parts=(
                    Part(
                        actor=2, seed=5, start=Pose(yaw=6, pitch=2), end=Pose(yaw=-9, pitch=4, roll=2),
                        feelings=(
                            Feeling(at_s=0.3, name="sadness"), Feeling(at_s=0.9, name="sadness"),
                            Feeling(at_s=1.6, name="disgust", strength=0.9),
                        ),
                    ),
                ),
            ),
            Take(
                n_frames=48, set_seed=16, look=Look(light_side=0.45, warmth=0.5, ambient=0.6),
                start=View(eyes_px=98, x=0.45, y=0.48), end=View(eyes_px=90, x=0.53, y=0.47),
                parts=(
                    Part(
                        actor=0, seed=6, start=Pose(yaw=10, roll=-3), end=Pose(yaw=-10, roll=2), speech_s=(1.0, 1.9),
                        feelings=(Feeling(at_s=0.2, name="anger", strength=0.9), Feeling(at_s=0.9, name="happiness")),
                    ),
                ),
            ),
        ),
    )  # fmt: skip


def write_sample(folder: Path) -> tuple[Path, Path]:
    """Gives the paths of the movie and of its truth. Raises: OSError when the folder cannot be written."""
    script = sample_script()
    movie, truth = folder / "sample.mp4", folder / "sample_truth.parquet"
    write_mp4(movie, movie_frames(script), fps=Fraction(script.fps), crf=_CRF)
    pq.write_table(movie_truth(script), truth, compression="zstd")
    return movie, truth


if __name__ == "__main__":
    print(*write_sample(Path(sys.argv[1])))
