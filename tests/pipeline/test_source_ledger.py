"""The memory of sources: the last reading counts, whoever wrote it, and losing it costs time only."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pipeline import source_ledger
from pipeline.create_tables import open_or_create
from pipeline.source_ledger import SourceLedger
from pipeline.sources import Stamp
from tests import builders


@pytest.fixture
def ledger(tmp_path: Path) -> SourceLedger:
    job, canonical = builders.job(str(tmp_path / "dataset"))
    return SourceLedger(open_or_create(job, canonical, anew=False)[0])


def _entry(tag: str | None, video_id: str = "v1") -> tuple[Stamp, str]:
    return Stamp(bytes=7, tag=tag), video_id


def test_the_last_reading_counts(ledger: SourceLedger) -> None:
    assert ledger.read() == {}
    ledger.add({"a": _entry("1"), "b": _entry("1")})
    ledger.add({"a": _entry("2", "v2")})
    assert ledger.read() == {"a": _entry("2", "v2"), "b": _entry("1")}


def test_what_cannot_be_recognised_is_not_remembered(ledger: SourceLedger) -> None:
    ledger.add({"a": _entry(None)})
    assert ledger.read() == {}


def test_many_small_files_become_one(ledger: SourceLedger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source_ledger, "_FILES_MAX", 3)
    for i in range(8):
        ledger.add({f"film{i % 5}": _entry(str(i))})
    assert ledger.read() == {f"film{i % 5}": _entry(str(i)) for i in range(3, 8)}
    assert len(ledger.tables.open("_sources").file_uris()) <= 3


def test_two_drivers_remember_all(ledger: SourceLedger) -> None:
    ledger.add({"start": _entry("0")})
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda i: ledger.add({f"film{i}": _entry(str(i))}), range(12)))
    assert len(ledger.read()) == 13
