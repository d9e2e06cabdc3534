"""The names and options that users rely on. Adding one edits a list here, on purpose."""

import resource
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import typer.core
import typer.main

import latentreel
from jobs.cli import app

OPTIONS = {
    "compact": {"dataset", "storage-option", "debug", "help"},
    "demo": {"output", "debug", "help"},
    "emotion train": {"faces", "output", "crop-margin", "set", "device", "debug", "help"},
    "encoder train": {"generator", "output", "pictures", "seed", "label", "set", "device", "debug", "help"},
    "generator fit": {
        "source", "output", "objective", "set", "pace", "device", "from", "label", "px", "frame-stride",
        "debug", "help",
    },
    "generator convert": {"generator", "output", "seed", "label", "licence", "debug", "help"},
    "generator info": {"generator", "grid", "truncation", "seed", "label", "format", "debug", "help"},
    "generator tune": {
        "on", "track", "output", "set", "device", "version", "storage-option", "debug", "help",
    },
    "history": {"dataset", "limit", "storage-option", "debug", "help"},
    "ingest": {
        "dataset", "sources", "watch", "every", "prune", "workers", "device", "decode-deadline", "address",
        "storage-option", "debug", "help",
    },
    "invert": {"preset",
        "sources", "output", "config", "generator", "label", "method", "subject", "finder", "emotion", "init",
        "encoder", "seed", "set", "workers", "device", "decode-deadline", "address", "replace", "storage-option",
        "debug", "help",
    },
    "models fetch": {"names", "kind", "debug", "help"},
    "models list": {"kind", "format", "debug", "help"},
    "people": {"dataset", "threshold", "anew", "storage-option", "debug", "help"},
    "puppets crops": {"folder", "count", "px", "seed", "workers", "debug", "help"},
    "puppets render": {"output", "seed", "seconds", "width", "height", "fps", "debug", "help"},
    "puppets sample": {"folder", "debug", "help"},
    "query": {"dataset", "sql", "format", "output", "version", "storage-option", "debug", "help"},
    "render": {
        "resample", "paste", "video", "shots", "mask", "feather", "generator", "version", "dataset", "track", "output",
        "storage-option", "debug", "help",
    },
    "replay": {"dataset", "video", "segment", "output", "device", "storage-option", "debug", "help"},
    "retry": {"dataset", "videos", "storage-option", "debug", "help"},
    "status": {"dataset", "version", "storage-option", "debug", "help"},
    "vacuum": {"dataset", "older-than", "dry-run", "storage-option", "debug", "help"},
}  # fmt: skip


def test_the_names_to_import() -> None:
    assert latentreel.__all__ == ["Dataset", "load_generator", "open"]
    assert all(getattr(latentreel, name) is not None for name in latentreel.__all__)


def _commands(group: typer.core.TyperGroup, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        if isinstance(command, typer.core.TyperGroup):
            yield from _commands(command, f"{name} ")
        else:
            yield prefix + name, command


def _all_commands() -> dict[str, Any]:
    group = typer.main.get_command(app)
    assert isinstance(group, typer.core.TyperGroup)
    return dict(_commands(group))


def test_the_commands_and_their_options() -> None:
    found = {}
    for name, command in _all_commands().items():
        found[name] = {"help"} | {
            max(param.opts, key=len).lstrip("-") if param.param_type_name == "option" else param.name
            for param in command.params
        }
    assert found == OPTIONS


def test_every_command_has_an_example() -> None:
    for name, command in _all_commands().items():
        assert command.epilog.startswith(f"Example:  latentreel {name} "), name


def test_help_answers_at_once() -> None:
    """In half a second on an idle machine. Processor time, best of three: a busy machine is not our fault."""
    took = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-m", "latentreel", "--help"], check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        took.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert min(took) < 1.0, took


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys; import jobs.cli; "
        "print(sorted({'torch', 'ray', 'numpy', 'pyarrow', 'cv2', 'pydantic'} & sys.modules.keys()))"
    )
    out = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert out.strip() == "[]"
