"""The names and options that users rely on. Adding one edits a list here, on purpose."""

import subprocess
import sys
import time

import typer.core
import typer.main

import latentreel
from jobs.cli import app

OPTIONS = {
    "demo": {"output", "debug", "help"},
    "invert": {
        "sources", "output", "config", "generator", "method", "finder", "emotion", "seed", "set", "workers", "device",
        "address", "replace", "debug", "help",
    },
    "query": {"dataset", "sql", "format", "output", "debug", "help"},
    "retry": {"dataset", "videos", "debug", "help"},
    "status": {"dataset", "debug", "help"},
}  # fmt: skip


def test_the_names_to_import() -> None:
    assert latentreel.__all__ == ["Dataset", "load_generator", "open"]
    assert all(getattr(latentreel, name) is not None for name in latentreel.__all__)


def test_the_commands_and_their_options() -> None:
    found = {}
    group = typer.main.get_command(app)
    assert isinstance(group, typer.core.TyperGroup)
    for name, command in group.commands.items():
        params = command.params
        found[name] = {"help"} | {
            max(param.opts, key=len).lstrip("-") if param.param_type_name == "option" else param.name
            for param in params
        }
    assert found == OPTIONS


def test_every_command_has_an_example() -> None:
    for command in app.registered_commands:
        assert command.epilog, command.callback
        assert command.epilog.startswith("Example:  latentreel ")


def test_help_answers_at_once() -> None:
    """In half a second on an idle machine; the best of three and a second leave room for a busy one."""
    took = []
    for _ in range(3):
        started = time.perf_counter()
        subprocess.run([sys.executable, "-m", "latentreel", "--help"], check=True, capture_output=True)
        took.append(time.perf_counter() - started)
    assert min(took) < 1.0, took


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys; import jobs.cli; "
        "print(sorted({'torch', 'ray', 'numpy', 'pyarrow', 'cv2', 'pydantic'} & sys.modules.keys()))"
    )
    out = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert out.strip() == "[]"
