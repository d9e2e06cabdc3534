"""A real S3 server process, spoken to over HTTP: moto's, answering one request after the other.

moto looks for the object that If-None-Match forbids, and puts its own, in two steps: two of its threads could both win,
which no real store allows. In 60 rounds of 8 at once none did; with the lock, a lost commit is our fault for certain.
"""

import os
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

KEY, SECRET = "key-of-the-tests", "secret-of-the-tests"
_STARTS_WITHIN_S = 60


@dataclass(frozen=True)
class S3Server:
    """Where it listens, and what it takes to speak to it."""

    url: str

    @property
    def options(self) -> dict[str, str]:
        """As `storage_options`."""
        return {
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_ENDPOINT_URL": self.url,
            "AWS_REGION": "eu-central-1",
        }

    def environment(self) -> dict[str, str]:
        """This process's own, with the way to the server and without any other."""
        return without_aws(os.environ) | self.options

    def make_bucket(self, name: str) -> str:
        """Gives its URL."""
        urllib.request.urlopen(urllib.request.Request(f"{self.url}/{name}", method="PUT")).close()
        return f"s3://{name}"


def without_aws(environment: Mapping[str, str]) -> dict[str, str]:
    """No credentials, no endpoint; nor what a file in the home folder says."""
    kept = {name: value for name, value in environment.items() if not name.startswith("AWS_")}
    nowhere = {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}
    return kept | nowhere | {"AWS_EC2_METADATA_DISABLED": "true"}


@contextmanager
def s3_server(log: Path, **settings: str) -> Iterator[S3Server]:
    """Answers while the block runs. Takes: moto's own settings, as environment variables."""
    port = _free_port()
    server = S3Server(f"http://127.0.0.1:{port}")
    command = [sys.executable, "-m", "tests.s3_server", str(port)]
    with (
        log.open("wb") as out,
        subprocess.Popen(command, stdout=out, stderr=out, env={**os.environ, **settings}) as process,
    ):
        try:
            deadline = time.monotonic() + _STARTS_WITHIN_S
            while not _answers(server):
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < deadline, "the server does not answer"
                time.sleep(0.05)
            yield server
        finally:
            process.kill()


def serve(port: int) -> None:
    """Until the process is killed."""
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
    from werkzeug.serving import run_simple

    moto, one_at_a_time = DomainDispatcherApplication(create_backend_app), threading.Lock()

    def answer(environ: dict[str, Any], start_response: Any) -> Any:
        with one_at_a_time:
            return moto(environ, start_response)

    run_simple("127.0.0.1", port, answer, threaded=True, request_handler=MotoRequestHandler)


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    return port


def _answers(server: S3Server) -> bool:
    try:
        urllib.request.urlopen(server.url, timeout=30).close()
    except HTTPError:
        return True
    except OSError:
        return False
    return True


if __name__ == "__main__":
    serve(int(sys.argv[1]))
