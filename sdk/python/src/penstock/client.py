"""One connection to a server, kept open; for one thread at a time."""

import hashlib
import http.client
import json
import os
import ssl
import urllib.parse
from collections.abc import Iterator

from penstock.errors import PenstockError
from penstock.features import Features

PIECE = 8 << 20


class Client:
    """`url` and `token` are those of the commands: PENSTOCK_URL and PENSTOCK_TOKEN where nothing is said."""

    def __init__(self, url: str | None = None, token: str | None = None, project: str | None = None,
                 timeout: float = 60, long_timeout: float = 3600):
        self.url = (url or os.environ.get("PENSTOCK_URL") or "http://127.0.0.1:8080").rstrip("/")
        place = urllib.parse.urlsplit(self.url)
        if place.scheme not in ("http", "https") or not place.hostname:
            raise PenstockError("invalid_argument", f"url must be http://HOST:PORT or https://HOST, and is {self.url}")
        self._place = place
        self._headers = {}
        token = token or os.environ.get("PENSTOCK_TOKEN")
        if token:
            self._headers["Authorization"] = f"Bearer {token}"
        if project:
            self._headers["X-Penstock-Project"] = project
        self.timeout = timeout
        self.long_timeout = long_timeout  # of joins and materializations
        self._connection = None
        self.features = Features(self)

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def call(self, method: str, path: str, body: dict | None = None, long: bool = False) -> dict:
        """JSON in, JSON out; what the server refuses is a PenstockError."""
        payload = None if body is None else json.dumps(body, allow_nan=False).encode()
        answer = self._ask(method, path, payload, {"Content-Type": "application/json"}, long)
        return json.loads(answer.read() or b"{}")

    def send(self, path: str, pieces: Iterator[bytes]) -> int:
        """Bytes to a place that takes them piece by piece; gives how many."""
        offset = 0
        for piece in pieces:
            self._ask("PUT", f"{path}?offset={offset}", piece, {"Content-Type": "application/octet-stream"}).read()
            offset += len(piece)
        return offset

    def fetch(self, path: str, digest: str, size: int, file) -> None:
        """Streams an answer into `file`, and compares its bytes with their SHA-256."""
        answer = self._ask("GET", path, None, {}, long=True)
        hashed, got = hashlib.sha256(), 0
        try:
            while piece := answer.read(PIECE):
                hashed.update(piece)
                file.write(piece)
                got += len(piece)
        except (OSError, http.client.HTTPException) as fault:
            self.close()
            raise PenstockError("unavailable", f"{self.url}{path} broke off after {got} of {size} bytes: {fault}") from fault
        if got != size or hashed.hexdigest() != digest:
            raise PenstockError("data_loss", f"{self.url}{path} gave other bytes than were promised; ask again")

    def _ask(self, method: str, path: str, payload: bytes | None, headers: dict, long: bool = False):
        limit = self.long_timeout if long else self.timeout
        headers = {**self._headers, **headers, "X-Request-Timeout": f"{int(limit * 1000)}ms"}
        for attempt in range(2):
            fresh = self._connection is None
            try:
                if fresh:
                    self._connection = self._connect(limit)
                if self._connection.sock is not None:
                    self._connection.sock.settimeout(limit)
                self._connection.request(method, path, payload, headers)
                answer = self._connection.getresponse()
                break
            except (OSError, http.client.HTTPException) as fault:
                self.close()
                # A kept connection that the server closed meanwhile; what changes things is not sent twice.
                closed = isinstance(fault, (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError))
                if not fresh and attempt == 0 and closed and method == "GET":
                    continue
                raise PenstockError("unavailable", f"no answer from {self.url}: {fault}; is the server running?") from fault
        if answer.status < 400:
            return answer
        raise self._refusal(answer)

    def _connect(self, limit: float):
        if self._place.scheme == "https":
            return http.client.HTTPSConnection(self._place.hostname, self._place.port, timeout=limit,
                                               context=ssl.create_default_context())
        return http.client.HTTPConnection(self._place.hostname, self._place.port, timeout=limit)

    @staticmethod
    def _refusal(answer) -> PenstockError:
        text = answer.read(1 << 20)
        try:
            said = json.loads(text)
            return PenstockError(said.get("title", ""), said.get("detail", ""), said.get("violations"), answer.status)
        except (ValueError, AttributeError):
            return PenstockError("internal", f"status {answer.status}: {text[:200].decode(errors='replace')}", status=answer.status)
