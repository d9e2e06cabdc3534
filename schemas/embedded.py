"""The weights that are shipped with latentreel, by name. They know rendered faces (puppets), and real ones roughly."""

from importlib.resources import files

MODELS = "LATENTREEL_MODELS"  # a folder of weights that others publish: an offline mirror

# What a user writes instead of a path, and the file in latentreel/assets. A name means the same on every machine of a
# cluster, which a path does not.
EMBEDDED = {
    "puppet-128": "puppet-128.safetensors",
    "puppet-128-encoder": "puppet-128-encoder.safetensors",
    "puppet-emotion": "puppet-emotion.onnx",
}


def weights_path(name: str) -> str:
    """The path of embedded weights; any other name is a path already."""
    return asset_path(EMBEDDED[name]) if name in EMBEDDED else name


def asset_path(file: str) -> str:
    """The path of a file in latentreel/assets: found by its package's name, since imports point downwards."""
    return str(files("latentreel") / "assets" / file)
