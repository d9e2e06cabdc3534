"""A server on loopback that offers one file as servers do, good and bad ones, and a proxy before it."""

import http.client
import re
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal
from urllib.parse import urlsplit

CUT_AT = 120_000
BLOCK, BLOCK_S = 4096, 0.01  # of a slow one: 0.4 MB a second

Manner = Literal["good", "cut", "no_ranges", "busy_once", "absent", "wrong", "always_cut", "slow"]


class ModelServer(ThreadingHTTPServer):
    """Serves `content` under any path. `manner` says how; `asked` holds the Range of each request, or None."""

    daemon_threads = True

    def __init__(self, content: bytes, manner: Manner) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.content = content
        self.manner = manner
        self.asked: list[str | None] = []
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.server_port}/{name}"

    def close(self) -> None:
        self.shutdown()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        server = self.server
        assert isinstance(server, ModelServer)
        server.asked.append(self.headers.get("Range"))
        n, manner = len(server.asked), server.manner
        if manner == "absent" or (manner == "busy_once" and n == 1):
            return self.send_error(404 if manner == "absent" else 503)
        content = b"<html>log in to the network</html>" if manner == "wrong" else server.content
        wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range") or "")
        first = int(wanted[1]) if wanted and manner not in ("no_ranges", "always_cut") else 0
        if wanted and first and first >= len(content):
            return self.send_error(416)
        self.send_response(206 if first else 200)
        if first:
            self.send_header("Content-Range", f"bytes {first}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(content) - first))
        self.end_headers()
        if manner == "always_cut" or (n == 1 and manner in ("cut", "no_ranges")):
            content = content[:CUT_AT]  # and the connection is closed
        return self._send(content[first:], slow=manner == "slow")

    def _send(self, content: bytes, *, slow: bool) -> None:
        try:
            for start in range(0, len(content), BLOCK if slow else max(1, len(content))):
                self.wfile.write(content[start : start + BLOCK] if slow else content)
                if slow:
                    time.sleep(BLOCK_S)
        except ConnectionError:
            pass  # who asked was killed

    def log_message(self, *_: object) -> None:
        pass


class Proxy(ThreadingHTTPServer):
    """An HTTP proxy: it is asked for whole addresses, which `asked` holds, and fetches them."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _ProxyHandler)
        self.asked: list[str] = []
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        self.shutdown()
        self.server_close()


class _ProxyHandler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        proxy = self.server
        assert isinstance(proxy, Proxy)
        proxy.asked.append(self.path)
        address = urlsplit(self.path)
        origin = http.client.HTTPConnection(str(address.hostname), address.port, timeout=10)
        origin.request("GET", address.path, headers={k: v for k, v in self.headers.items() if k == "Range"})
        answer = origin.getresponse()
        content = answer.read()
        self.send_response(answer.status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
        origin.close()

    def log_message(self, *_: object) -> None:
        pass
