"""Write an expression network as ONNX, with the manifest that `read_model` wants beside it.

torch's own exporter needs the packages onnx and onnxscript; this network has five kinds of layers, so it is written by
hand. Field numbers and types: onnx.proto of the ONNX specification, IR version 8; wire format: Protocol Buffers.
"""

import hashlib
import json
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from operators.emotion.expression_net import ExpressionNet
from operators.emotion.face_square import SIZE_PX
from operators.training.write_file import write_file
from schemas.emotions import EMOTIONS

_IR_VERSION, _OPSET = 8, 13  # of 2021 and 2020: every ONNX Runtime that pip still installs reads them
_FLOAT = 1  # TensorProto.DataType
_INT, _INTS = 2, 7  # AttributeProto.AttributeType
_TOLERANCE = 1e-3  # of logits, which are about 1 to 10; kernels sum in another order

_Field = tuple[int, int | str | bytes]


def export_onnx(net: ExpressionNet, path: Path, *, crop_margin: float) -> None:
    """Write `path` and its manifest, and prove that ONNX Runtime computes what torch does.

    Takes: a network in evaluation, on the CPU; a path that ends with .onnx; `crop_margin` with which the faces that it
    was trained on were cut.
    Raises: RuntimeError when the two differ, before anything is written.
    """
    model = onnx_bytes(net)
    _require_equal(model, net)
    manifest = {
        "sha256": hashlib.sha256(model).hexdigest(),
        "size_px": SIZE_PX,
        "layout": "NCHW",
        "colour": "RGB" if net.channels == 3 else "grey",
        "mean": [127.5],
        "scale": 1 / 127.5,
        "crop_margin": crop_margin,
        "labels": list(EMOTIONS),
        "to_emopy": list(range(len(EMOTIONS))),
        "output": "logits",
    }
    # The network first: a kill between the two is then found as a hash that does not fit, never as silent nonsense.
    write_file(path, model)
    write_file(path.with_suffix(".json"), (json.dumps(manifest, indent=2) + "\n").encode())


def onnx_bytes(net: ExpressionNet) -> bytes:
    """The network in evaluation, batch normalisation folded into the convolutions. Equal weights, equal bytes."""
    graph = _Graph()
    x = "faces"
    for i, (down, mix) in enumerate(zip(net.down, net.mix, strict=True)):
        x = graph.conv_relu(f"down{i}", x, *down.folded(), stride=2)
        x = graph.node("Add", [x, graph.conv_relu(f"mix{i}", x, *mix.folded(), stride=1)], f"sum{i}")
    x = graph.node("Flatten", [x], "flat")
    x = graph.node("Relu", [graph.dense("fc0", x, net.fc0.weight, net.fc0.bias)], "hidden")
    graph.dense("logits", x, net.fc1.weight, net.fc1.bias)
    put = _value("faces", ["N", net.channels, SIZE_PX, SIZE_PX])
    out = _value("logits", ["N", len(EMOTIONS)])
    whole = _message((2, "expression"), *graph.fields, (11, put), (12, out))
    opset = _message((1, ""), (2, _OPSET))
    return _message((1, _IR_VERSION), (2, "latentreel"), (7, whole), (8, opset))


class _Graph:
    """Nodes (field 1) and weights (field 5) of a GraphProto, in the order in which they are added."""

    def __init__(self) -> None:
        self.fields: list[_Field] = []

    def node(self, kind: str, inputs: list[str], output: str, **attributes: int | list[int]) -> str:
        fields: list[_Field] = [(1, name) for name in inputs]
        fields += [(2, output), (3, output), (4, kind)]
        for name, value in attributes.items():
            if isinstance(value, int):
                fields.append((5, _message((1, name), (3, value), (20, _INT))))
            else:
                fields.append((5, _message((1, name), *((8, n) for n in value), (20, _INTS))))
        self.fields.append((1, _message(*fields)))
        return output

    def conv_relu(self, name: str, x: str, weight: Tensor, bias: Tensor, *, stride: int) -> str:
        inputs = [x, self._weight(f"{name}.weight", weight), self._weight(f"{name}.bias", bias)]
        y = self.node("Conv", inputs, name, kernel_shape=[3, 3], pads=[1] * 4, strides=[stride] * 2)
        return self.node("Relu", [y], f"{name}.relu")

    def dense(self, name: str, x: str, weight: Tensor, bias: Tensor) -> str:
        inputs = [x, self._weight(f"{name}.weight", weight), self._weight(f"{name}.bias", bias)]
        return self.node("Gemm", inputs, name, transB=1)

    def _weight(self, name: str, tensor: Tensor) -> str:
        values = tensor.detach().cpu().contiguous().numpy().astype("<f4")
        fields = [(1, n) for n in values.shape]
        self.fields.append((5, _message(*fields, (2, _FLOAT), (8, name), (9, values.tobytes()))))
        return name


def _value(name: str, shape: list[int | str]) -> bytes:
    """A ValueInfoProto: a float tensor, whose sizes are numbers or, where they vary, names."""
    sizes = [(1, _message((2, size) if isinstance(size, str) else (1, size))) for size in shape]
    tensor = _message((1, _FLOAT), (2, _message(*sizes)))
    return _message((1, name), (2, _message((1, tensor))))


def _message(*fields: _Field) -> bytes:
    out = b""
    for number, value in fields:
        if isinstance(value, int):
            out += _varint(number << 3) + _varint(value)
        else:
            content = value.encode() if isinstance(value, str) else value
            out += _varint(number << 3 | 2) + _varint(len(content)) + content
    return out


def _varint(n: int) -> bytes:
    out = b""
    while n > 0x7F:
        out, n = out + bytes([n & 0x7F | 0x80]), n >> 7
    return out + bytes([n])


@torch.no_grad()
def _require_equal(model: bytes, net: ExpressionNet) -> None:
    # A training machine with nothing but torch has no ONNX Runtime and needs it for this proof alone.
    import onnxruntime  # noqa: PLC0415

    faces = torch.randn(5, net.channels, SIZE_PX, SIZE_PX, generator=torch.Generator().manual_seed(0)).clamp(-1, 1)
    wanted = net(faces).numpy()
    (got,) = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"]).run(None, {"faces": faces.numpy()})
    worst = float(np.abs(got - wanted).max())
    if not worst < _TOLERANCE * max(1.0, float(np.abs(wanted).max())):
        raise RuntimeError(f"exported network differs from torch by {worst:.2g}, allowed {_TOLERANCE}: a fault of ours")
