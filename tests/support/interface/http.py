"""HTTP/1.1 on a plain socket."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from tests.support.interface.connections import Connection

Headers = Iterable[tuple[str, str]]


@dataclass
class Answer:
    """What a server answered; names of headers are lower case."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes = b""
    body_chunks: list[bytes] = field(default_factory=list)

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key == name), None)

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key == name]


def head(method: str, target: str, headers: Headers = (), host: str = "testserver") -> bytes:
    """The bytes of a request before its body."""
    lines = [f"{method} {target} HTTP/1.1", f"Host: {host}", *(f"{name}: {value}" for name, value in headers)]
    return "".join(f"{line}\r\n" for line in [*lines, ""]).encode("latin-1")


class HttpConnection(Connection):
    """One connection, one request after the other."""

    def request(
        self,
        method: str = "GET",
        target: str = "/",
        body: bytes | Iterable[bytes] | None = None,
        headers: Headers = (),
    ) -> Answer:
        """Sends a request, with the body at once or, where it is several parts, in chunks."""
        self.start(method, target, body, headers)
        return self.answer(method)

    def start(
        self,
        method: str = "GET",
        target: str = "/",
        body: bytes | Iterable[bytes] | None = None,
        headers: Headers = (),
    ) -> None:
        """The same, and reads nothing."""
        if body is None:
            self.write(head(method, target, headers))
        elif isinstance(body, bytes):
            self.write(head(method, target, [*headers, ("Content-Length", str(len(body)))]) + body)
        else:
            self.write(head(method, target, [*headers, ("Transfer-Encoding", "chunked")]))
            for part in body:
                self.chunk(part)
            self.chunk(b"")

    def chunk(self, data: bytes) -> None:
        """Writes a part of a body; an empty one is its end."""
        self.write(b"%x\r\n%s\r\n" % (len(data), data))

    def answer(self, method: str = "GET") -> Answer:
        """Reads a whole answer."""
        answer = self.answer_head()
        if method == "HEAD" or answer.status in (204, 304) or answer.status < 200:
            return answer
        if answer.header("transfer-encoding") == "chunked":
            answer.body_chunks = list(self.chunks())
            answer.body = b"".join(answer.body_chunks)
        elif answer.header("content-length") is not None:
            answer.body = self.read(int(answer.header("content-length") or 0))
        else:
            answer.body = self.read_to_end()
        return answer

    def answer_head(self) -> Answer:
        """Reads an answer up to its body."""
        first, *lines = self.read_until(b"\r\n\r\n").decode("latin-1").split("\r\n")[:-2]
        pairs = (line.split(":", 1) for line in lines)
        return Answer(int(first.split(" ", 2)[1]), [(name.lower(), value.strip()) for name, value in pairs])

    def chunks(self) -> Iterator[bytes]:
        """Reads the chunks of a body one by one."""
        while True:
            size = int(self.read_until(b"\r\n").split(b";")[0], 16)
            data = self.read(size)
            assert self.read(2) == b"\r\n"
            if not size:
                return
            yield data
