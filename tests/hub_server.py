"""A small Hub on this machine: as much of the protocol as the client needs to read (and write), and its faults.

Files named *.safetensors are kept as the Hub keeps large ones: HEAD answers with a redirect to a CDN on another host
name, and the etag is their sha256. All other files come from the Hub itself, with git's blob hash as their etag.
"""

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from http.server import ThreadingHTTPServer
from threading import Thread
from urllib.parse import unquote

from tests.hub_writes import LARGE, MODEL, Writes, git_hash

RESOLVE = re.compile(r"/(?P<repo>[^/]+/[^/]+)/resolve/(?P<revision>[^/]+)/(?P<file>.+)")

Files = dict[str, bytes]


@dataclass(frozen=True)
class Request:
    """What a client asked for."""

    method: str
    path: str
    range: str | None


class HubServer(ThreadingHTTPServer):
    """Repositories of commits of files; ``requests`` tells what was asked for.

    Attributes:
        corrupt: whether contents are sent with one byte changed.
        interruptions: how many of the next downloads break off half-way.
        failure: the status that the CDN answers with instead of a content.
        others: commits of branches other than "main".
        private: repositories that ask for the token.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.commits: dict[str, dict[str, Files]] = {}
        self.branches: dict[str, str] = {}
        self.others: dict[tuple[str, str], str] = {}
        self.private: set[str] = set()
        self.objects: dict[str, bytes] = {}
        self.requests: list[Request] = []
        self.corrupt = False
        self.interruptions = 0
        self.failure: HTTPStatus | None = None

    @property
    def endpoint(self) -> str:
        """What HF_ENDPOINT has to be."""
        return f"http://127.0.0.1:{self.server_port}"

    @property
    def cdn(self) -> str:
        """The same server by another name, so that a client takes it for another host."""
        return f"http://localhost:{self.server_port}/cdn"

    @property
    def ranges(self) -> list[str]:
        """The parts of files that were asked for."""
        return [request.range for request in self.requests if request.range is not None]

    def at(self, repo: str, revision: str) -> str | None:
        """The commit of a branch or of a commit's own hash."""
        branch = self.branches.get(repo) if revision == "main" else self.others.get((repo, revision))
        return branch or (revision if revision in self.commits.get(repo, {}) else None)

    def commit(self, repo: str, files: Files, branch: str = "main") -> str:
        """Adds a commit, which the branch then points to, and returns its hash."""
        commits = self.commits.setdefault(repo, {})
        revision = hashlib.sha1(f"{repo} {len(commits)}".encode()).hexdigest()
        commits[revision] = files
        if branch == "main":
            self.branches[repo] = revision
        else:
            self.others[repo, branch] = revision
        self.objects |= {hashlib.sha256(content).hexdigest(): content for content in files.values()}
        return revision


class Handler(Writes):
    """Answers one request; the connection closes after it, so that a stopped server is silent at once."""

    server: HubServer

    def do_GET(self) -> None:  # noqa: N802 - as the base class calls it
        """Finds the file; HEAD does the same and leaves the content out."""
        hub, path = self.server, unquote(self.path)
        hub.requests.append(Request(self.command, path, self.headers["Range"]))
        if path.startswith("/cdn/"):
            self._send(hub.objects[path.removeprefix("/cdn/")], {})
        elif match := RESOLVE.fullmatch(path):
            self._resolve(**match.groupdict())
        elif match := MODEL.fullmatch(path):
            self.model(match["repo"], match["branch"])
        else:
            self._answer(HTTPStatus.NOT_FOUND)

    do_HEAD = do_GET  # noqa: N815 - the base class calls it by this name

    def log_message(self, format: str, *args: object) -> None:
        """Keeps the tests' output clean."""

    def _resolve(self, repo: str, revision: str, file: str) -> None:
        commits = self.server.commits.get(repo)
        if commits is None:  # nobody is told whether a private repository exists
            return self._answer(HTTPStatus.UNAUTHORIZED, {"X-Error-Code": "RepoNotFound"})
        commit = self.server.at(repo, revision)
        if commit is None:
            return self._answer(HTTPStatus.NOT_FOUND, {"X-Error-Code": "RevisionNotFound"})
        headers = {"X-Repo-Commit": commit}
        if file not in commits[commit]:
            return self._answer(HTTPStatus.NOT_FOUND, {**headers, "X-Error-Code": "EntryNotFound"})
        content = commits[commit][file]
        git = git_hash(content)
        if not file.endswith(LARGE):
            return self._send(content, {**headers, "ETag": f'"{git}"'})
        sha256 = hashlib.sha256(content).hexdigest()
        linked = {"X-Linked-Etag": f'"{sha256}"', "X-Linked-Size": str(len(content)), "ETag": f'"{git}"'}
        self._answer(HTTPStatus.FOUND, {**headers, **linked, "Location": f"{self.server.cdn}/{sha256}"})

    def _send(self, content: bytes, headers: dict[str, str]) -> None:
        """A content or, as asked for, the rest of it; with the faults that the server was told to have."""
        hub, total = self.server, len(content)
        if hub.failure is not None and self.command == "GET":
            return self._answer(hub.failure)
        if hub.corrupt:
            content = content[: total // 2] + bytes([content[total // 2] ^ 1]) + content[total // 2 + 1 :]
        if match := re.fullmatch(r"bytes=(\d+)-", self.headers["Range"] or ""):
            start = int(match[1])
            content = content[start:]
            headers = {**headers, "Content-Range": f"bytes {start}-{total - 1}/{total}"}
        self._answer(HTTPStatus.PARTIAL_CONTENT if match else HTTPStatus.OK, headers, len(content))
        if self.command == "GET":
            broken, hub.interruptions = hub.interruptions > 0, max(hub.interruptions - 1, 0)
            self.wfile.write(content[: len(content) // 2] if broken else content)

    def _answer(self, status: HTTPStatus, headers: dict[str, str] | None = None, length: int = 0) -> None:
        self.send_response(status)
        for name, value in {**(headers or {}), "Content-Length": str(length)}.items():
            self.send_header(name, value)
        self.end_headers()


@contextmanager
def serving() -> Iterator[HubServer]:
    """A running server; its port is closed afterwards."""
    with HubServer() as server:
        thread = Thread(target=server.serve_forever, args=[0.01])
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
