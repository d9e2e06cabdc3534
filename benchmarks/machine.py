"""What a benchmark ran on, in one line."""

import os
import platform
from datetime import UTC, datetime
from pathlib import Path


def describe_machine() -> str:
    """Processor, cores, Python and the date."""
    processor = platform.processor() or platform.machine()
    for line in Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []:
        if line.startswith("model name"):
            processor = line.split(":", 1)[1].strip()
            break
    today = datetime.now(UTC).date()
    return f"{processor}, {os.cpu_count()} cores, Python {platform.python_version()}, {today}"
