"""The other half of ``hub_server``: what the Hub's client asks when it creates a repository and commits to it.

Large files take the LFS protocol: a batch request says where each object is put. Xet, which hf_xet speaks by itself, is
not served; tests turn it off, and the client then takes this way by itself.
"""

import base64
import hashlib
import json
import re
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote

if TYPE_CHECKING:
    from tests.hub_server import HubServer

TOKEN = "hf_of_a_test"
LARGE = ".safetensors"
REPO = r"(?P<repo>[^/]+/[^/?]+)"
MODEL = re.compile(rf"/api/models/{REPO}(/revision/(?P<branch>[^/?]+))?(\?.*)?")
ACTION = re.compile(rf"/api/models/{REPO}/(?P<action>preupload|paths-info|commit|branch)/(?P<branch>[^/]+)")
BATCH = re.compile(rf"/{REPO}\.git/info/lfs/objects/batch")


def git_hash(content: bytes) -> str:
    """What git calls a file's content."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


class Writes(BaseHTTPRequestHandler):
    """Answers of a server that keeps what it is sent."""

    server: "HubServer"

    def say(self, status: HTTPStatus, answer: Any, **headers: str) -> None:
        """Answers with JSON."""
        content = json.dumps(answer).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def do_PUT(self) -> None:
        """Takes an object in, if it is the one that was announced."""
        content = self.rfile.read(int(self.headers["Content-Length"]))
        oid = self.path.removeprefix("/put/")
        if hashlib.sha256(content).hexdigest() != oid:
            return self.say(HTTPStatus.BAD_REQUEST, {"error": "other content than announced"})
        self.server.objects[oid] = content
        self.say(HTTPStatus.OK, {})

    def do_POST(self) -> None:
        """Whatever changes something asks for the token."""
        body = self.rfile.read(int(self.headers["Content-Length"] or 0))
        path = unquote(self.path.partition("?")[0])
        if path == "/api/validate-yaml":
            return self.say(HTTPStatus.OK, {"warnings": [], "errors": []})
        match = ACTION.fullmatch(path)
        if match and match["action"] == "paths-info":
            return self._paths(match["repo"], match["branch"], parse_qs(body.decode())["paths"])
        if self.headers["Authorization"] != f"Bearer {TOKEN}":
            return self.say(HTTPStatus.FORBIDDEN, {"error": "no write access"}, X_Error_Message="no write access")
        if path == "/api/repos/create":
            return self._create(json.loads(body))
        if BATCH.fullmatch(path):
            return self._batch(json.loads(body)["objects"])
        if match is None:
            return self.say(HTTPStatus.NOT_FOUND, {})
        return getattr(self, f"_{match['action']}")(match["repo"], match["branch"], body)

    def model(self, repo: str, branch: str | None) -> None:
        """Facts of a repository at a revision."""
        hub = self.server
        if repo not in hub.commits or (repo in hub.private and self.headers["Authorization"] != f"Bearer {TOKEN}"):
            return self.say(HTTPStatus.UNAUTHORIZED, {}, X_Error_Code="RepoNotFound")
        commit = hub.at(repo, branch or "main")
        if commit is None:
            return self.say(HTTPStatus.NOT_FOUND, {}, X_Error_Code="RevisionNotFound")
        files = [{"rfilename": name} for name in hub.commits[repo][commit]]
        facts = {"id": repo, "modelId": repo, "sha": commit, "private": repo in hub.private, "siblings": files}
        self.say(HTTPStatus.OK, {**facts, "tags": [], "downloads": 0, "likes": 0})

    def _create(self, asked: dict[str, Any]) -> None:
        repo = f"{asked['organization']}/{asked['name']}"
        url = {"url": f"{self.server.endpoint}/{repo}"}
        if repo in self.server.commits:
            return self.say(HTTPStatus.CONFLICT, url)
        if asked.get("visibility") == "private" or asked.get("private"):
            self.server.private.add(repo)
        self.server.commit(repo, {".gitattributes": b"*.safetensors filter=lfs\n"})
        self.say(HTTPStatus.OK, url)

    def _paths(self, repo: str, branch: str, names: list[str]) -> None:
        commit = self.server.at(repo, branch)
        files = self.server.commits[repo][commit or ""]
        found = []
        for name in (name for name in names if name in files):
            content = files[name]
            fact: dict[str, Any] = {"type": "file", "path": name, "size": len(content), "oid": git_hash(content)}
            if name.endswith(LARGE):
                oid = hashlib.sha256(content).hexdigest()
                fact["lfs"] = {"oid": oid, "size": len(content), "pointerSize": 130}
            found.append(fact)
        self.say(HTTPStatus.OK, found)

    def _branch(self, repo: str, branch: str, body: bytes) -> None:
        self.server.others[repo, branch] = self.server.branches[repo]
        self.say(HTTPStatus.OK, {})

    def _preupload(self, repo: str, branch: str, body: bytes) -> None:
        there = self.server.commits[repo][self.server.at(repo, branch) or ""]
        files = []
        for path in (file["path"] for file in json.loads(body)["files"]):
            large = path.endswith(LARGE)
            answer = {"path": path, "uploadMode": "lfs" if large else "regular", "shouldIgnore": False}
            if path in there:
                answer["oid"] = hashlib.sha256(there[path]).hexdigest() if large else git_hash(there[path])
            files.append(answer)
        self.say(HTTPStatus.OK, {"files": files})

    def _batch(self, objects: list[dict[str, Any]]) -> None:
        put = f"{self.server.endpoint}/put/"
        answers = [{**one, "actions": {"upload": {"href": put + one["oid"]}}} for one in objects]
        self.say(HTTPStatus.OK, {"transfer": "basic", "objects": answers})

    def _commit(self, repo: str, branch: str, body: bytes) -> None:
        hub = self.server
        (_, header), *lines = [(line["key"], line["value"]) for line in map(json.loads, body.splitlines())]
        head = hub.at(repo, branch)
        if header.get("parentCommit", head) != head or head is None:
            return self.say(HTTPStatus.PRECONDITION_FAILED, {"error": "the branch has moved"})
        files = dict(hub.commits[repo][head])
        for key, value in lines:
            content = hub.objects[value["oid"]] if key == "lfsFile" else base64.b64decode(value["content"])
            files[value["path"]] = content
        commit = hub.commit(repo, files, branch)
        self.say(HTTPStatus.OK, {"commitUrl": f"{hub.endpoint}/{repo}/commit/{commit}", "commitOid": commit})
