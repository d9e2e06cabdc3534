"""Read the expression of each frame of a face clip with an ONNX network.

T frames, R crop side in pixels, S side of the network's input, C its channels, 68 landmarks, 7 EmoPy expressions.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from operators.emotion.face_square import cut_square, face_squares
from operators.emotion.manifest import read_model
from operators.faces.quad import into_crop
from operators.faces.smoothing import smooth_along_time
from schemas.clips import TrackClip
from schemas.config import EmotionSettings
from schemas.emotions import N_EMOTIONS
from schemas.errors import WrongUse

FRAMES_PER_PASS = 32  # so that memory follows this number, not the clip's length


class OnnxEmotion:
    """TrackClip -> the same clip with emotion_probs_T7, in EmoPy order, smoothed along the track; rows sum to 1.

    The network sees a tight square around the face, cut from the aligned crop: a crop of 64 px holds a face of some
    30 px, which is enlarged to what the network takes and read less surely than one of 256 px.
    Takes: an .onnx with its manifest beside it (see manifest.py). It runs in ONNX Runtime, on the CPU, in one thread.
    Raises: WrongUse when the model or the manifest is missing, wrong, or does not fit the other.
    Not promised: equal bits on another kind of CPU.
    """

    def __init__(self, model_path: str | Path, settings: EmotionSettings):
        self.settings = settings
        model, self.manifest = read_model(model_path)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1  # workers share the machine; and a sum's order must not depend on the machine
        options.inter_op_num_threads = 1
        options.log_severity_level = 4  # errors are raised; the library's own lines would tear the progress display
        side, channels = self.manifest.size_px, self.manifest.channels
        try:
            self.session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
            outputs = self._run(np.zeros((1, side, side, channels), np.float32))
        except Exception as err:  # ONNX Runtime's errors have no common base below Exception
            reason = " ".join(str(err).split())[:200]
            raise WrongUse(f"expression model {model_path} does not run: {reason}; give a network that fits") from err
        if outputs.shape != (1, len(self.manifest.labels)):
            raise WrongUse(
                f"expression model {model_path}: one face gives outputs {outputs.shape}, expected "
                f"(1, {len(self.manifest.labels)}); give a network of the seven expressions"
            )

    def __call__(self, clip: TrackClip) -> TrackClip:
        """Takes a clip with or without probabilities; gives it with those of this network."""
        track = clip.track
        landmarks_T682 = into_crop(track.face_points, track.quad_T42, clip.crop_px)
        boxes_T4 = face_squares(landmarks_T682, margin=self.manifest.crop_margin)
        probs_T7 = np.empty((track.n_frames, N_EMOTIONS), np.float32)
        for start in range(0, track.n_frames, FRAMES_PER_PASS):
            here = slice(start, start + FRAMES_PER_PASS)
            faces = [self._face(crop, box) for crop, box in zip(clip.crops_TRRC[here], boxes_T4[here], strict=True)]
            # What is none of the seven goes before the softmax: what is left are probabilities given one of them.
            probs_T7[here] = self._probabilities(self._run(np.stack(faces))[:, self.manifest.outputs])
        smooth_T7 = smooth_along_time(probs_T7, track.pts_us, self.settings.smooth_s)
        smooth_T7 /= smooth_T7.sum(axis=1, keepdims=True)
        return replace(clip, track=replace(track, emotion_probs_T7=smooth_T7))

    def _face(self, crop_RRC: NDArray[np.uint8], box_4: NDArray[np.float64]) -> NDArray[np.float32]:
        """The square of the crop, borders repeated, at the network's size and in its range."""
        side = self.manifest.size_px
        picture = cut_square(crop_RRC, box_4, side_px=side)
        if self.manifest.colour == "grey":
            picture = picture.convert("L")
        face_SSC = np.asarray(picture, np.float32).reshape(side, side, -1)
        return (face_SSC - np.array(self.manifest.mean, np.float32)) * np.array(self.manifest.scale, np.float32)

    def _run(self, faces_TSSC: NDArray[np.float32]) -> NDArray[np.float32]:
        if self.manifest.layout == "NCHW":
            faces_TSSC = np.ascontiguousarray(np.moveaxis(faces_TSSC, -1, 1))
        (outputs,) = self.session.run(None, {self.session.get_inputs()[0].name: faces_TSSC})
        return np.asarray(outputs, np.float32)

    def _probabilities(self, outputs_T7: NDArray[np.float32]) -> NDArray[np.float32]:
        if self.manifest.output == "probabilities":  # rows are made to sum to 1 when they have been smoothed
            return outputs_T7
        powers = np.exp(outputs_T7 - outputs_T7.max(axis=1, keepdims=True))
        return np.asarray(powers / powers.sum(axis=1, keepdims=True), np.float32)
