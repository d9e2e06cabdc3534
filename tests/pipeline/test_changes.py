"""What has become of films whose files were changed, moved or removed: decided from what is there now."""

import pytest

from pipeline.changes import Changes, changes

A, B = "a" * 32, "b" * 32


class _Files:
    """A look at a folder: `uris` are there, and nothing else."""

    def __init__(self, *uris: str) -> None:
        self._uris = uris

    def lacks(self, uri: str) -> bool:
        return uri.startswith("in/") and uri not in self._uris


@pytest.mark.parametrize(
    ("rows", "held", "expected"),
    [
        pytest.param([(A, "in/a")], {"in/a": A}, Changes(), id="nothing"),
        pytest.param([(A, "in/a")], {"in/a": B}, Changes(replaced={A: B}), id="other_content"),
        pytest.param([(A, "in/a")], {"in/new": A}, Changes(renamed={A: "in/new"}), id="renamed"),
        pytest.param([(A, "in/a")], {}, Changes(gone={A: "in/a"}), id="gone"),
        pytest.param([(A, "out/a")], {}, Changes(), id="outside_the_sources"),
        pytest.param([(A, "out/there")], {"in/twin": A}, Changes(), id="a_twin_of_one_outside"),
        pytest.param([(A, "out/a")], {"in/a": A}, Changes(renamed={A: "in/a"}), id="moved_in_from_outside"),
        pytest.param([(A, "in/a")], {"in/a": A, "in/twin": A}, Changes(), id="twins"),
        pytest.param(
            [(A, "in/a")],
            {"in/a": B, "in/old": A},
            Changes(renamed={A: "in/old"}),
            id="renamed_then_reused",
        ),
        pytest.param(
            [(A, "in/a"), (B, "in/b")],
            {"in/a": B, "in/b": A},
            Changes(renamed={A: "in/b", B: "in/a"}),
            id="swapped",
        ),
        pytest.param(
            [(A, "in/a"), (B, "in/b")], {"in/a": B, "in/b": B}, Changes(replaced={A: B}), id="overwritten_by_a_copy"
        ),
    ],
)
def test_changes(rows: list[tuple[str, str]], held: dict[str, str], expected: Changes) -> None:
    assert changes(rows, held, _Files(*held), lambda uri: uri == "out/there") == expected
