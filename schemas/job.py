"""What a worker has to know of a job, and the inputs it deals out. Small, frozen, sent to every process once."""

from dataclasses import dataclass, field

from schemas.config import Config
from schemas.generators import GeneratorInfo


@dataclass(frozen=True, kw_only=True)
class Input:
    """One film to work on, named by its content."""

    uri: str
    video_id: str
    bytes: int
    tag: str | None = None  # of the file when it was hashed: ETag or time of change; None: unknown
    replaces: tuple[str, ...] = ()  # films that this one takes the place of: former content of the same file


@dataclass(frozen=True, kw_only=True)
class Job:
    """One configuration at work on one dataset."""

    dataset: str  # path or fsspec URL
    dataset_as_given: str | None = None  # as the user wrote it, for commands that are named to him; None: as above
    storage_options: dict[str, str] = field(default_factory=dict, repr=False)  # may hold secrets; for films too
    config: Config
    config_id: str
    generator: GeneratorInfo
    run_id: str
    generation: int = 1  # of the dataset: `--replace` starts the next one
    device: str = "cpu"
    decode_deadline_s: float = 60.0  # without a sign of life from a decoder; changes no row
