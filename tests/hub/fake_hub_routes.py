"""What the Hub to test against answers; paths arrive quoted, because a branch's name may hold a slash."""

from __future__ import annotations

import base64
import hashlib
import json
import time
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import parse_qs, unquote

from fastapi import FastAPI, Request, Response
from fastapi.responses import FileResponse, JSONResponse
from huggingface_hub import ModelCard

from tests.hub.fake_hub import TOKEN, USER, Entry, Hub, Repository, regular

KINDS = {"model": "models", "dataset": "datasets", "space": "spaces"}
LARGE = (".safetensors", ".parquet", ".bin")  # what goes through LFS whatever its size
LARGEST_REGULAR = 10_000_000


class Refused(Exception):
    """An answer that is none."""

    def __init__(self, status: int, code: str = "", message: str = "") -> None:
        self.status, self.code, self.message = status, code, message


def application(hub: Hub) -> FastAPI:
    """Return the routes."""
    app = FastAPI()

    @app.exception_handler(Refused)
    def refuse(request: Request, refused: Refused) -> Response:
        headers = {"X-Error-Code": refused.code} if refused.code else {}
        return JSONResponse({"error": refused.message}, refused.status, headers)

    def who(request: Request) -> str | None:
        return USER if request.headers.get("authorization") == f"Bearer {TOKEN}" else None

    def repository(kind: str, repo: str, request: Request, write: bool = False) -> Repository:
        found = hub.repositories.get((kind, repo))
        if found is None or (found.private and not who(request)):
            raise Refused(404 if who(request) else 401, "RepoNotFound")
        if write and repo.partition("/")[0] != who(request):
            raise Refused(403 if who(request) else 401, message="no write access")
        return found

    def at(found: Repository, revision: str) -> str:
        oid = found.find(unquote(revision))
        if oid is None:
            raise Refused(404, "RevisionNotFound")
        return oid

    @app.get("/api/whoami-v2")
    def whoami(request: Request) -> Any:
        if not who(request):
            raise Refused(401, message="Invalid username or password.")
        return {"type": "user", "name": USER, "orgs": [], "auth": {"type": "access_token"}}

    @app.post("/api/repos/create")
    async def create(request: Request) -> Any:
        asked = await request.json()
        kind, owner = KINDS[asked.get("type") or "model"], asked.get("organization") or USER
        repo = f"{owner}/{asked['name']}"
        if owner != who(request):
            raise Refused(403 if who(request) else 401, message="no right to create here")
        url = f"{hub.origin}/{'' if kind == 'models' else kind + '/'}{repo}"
        if (kind, repo) in hub.repositories:
            return JSONResponse({"error": "exists", "url": url}, 409)
        made = Repository(repo, asked.get("visibility") == "private")
        made.commit({".gitattributes": regular(b"*.safetensors filter=lfs\n")}, "main")
        hub.repositories[kind, repo] = made
        return {"url": url}

    @app.post("/api/validate-yaml")
    async def validate(request: Request) -> Any:
        asked = await request.json()
        licensed = asked["repoType"] != "model" or ModelCard(asked["content"], ignore_metadata_errors=True).data.license
        return {"errors": [], "warnings": [] if licensed else [{"message": "no licence"}]}

    @app.post("/api/{kind}/{owner}/{name}/preupload/{revision}")
    async def preupload(kind: str, owner: str, name: str, revision: str, request: Request) -> Any:
        found = repository(kind, f"{owner}/{name}", request, write=True)
        files = found.commits[at(found, revision)]
        answers = []
        for one in (await request.json())["files"]:
            large = one["path"].endswith(LARGE) or one["size"] > LARGEST_REGULAR
            known = files.get(one["path"])
            answers.append(
                {
                    "path": one["path"],
                    "uploadMode": "lfs" if large else "regular",
                    "shouldIgnore": False,
                    "oid": (known.sha256 or known.sha1) if known else None,
                }
            )
        return {"files": answers}

    @app.post("/{owner}/{name}.git/info/lfs/objects/batch")
    @app.post("/{kind}/{owner}/{name}.git/info/lfs/objects/batch")
    async def batch(request: Request) -> Any:
        objects: list[dict[str, Any]] = []
        for one in (await request.json())["objects"]:
            href = f"{hub.origin}/upload/{one['oid']}"
            known = hub.has(one["oid"])
            hub.told |= {one["oid"]} if known else set()
            objects.append(one if known else one | {"actions": {"upload": {"href": href}}})
        return {"transfer": "basic", "objects": objects}

    @app.put("/upload/{oid}")
    async def upload(oid: str, request: Request) -> Any:
        digest, part = hashlib.sha256(), hub.folder / f"{time.monotonic_ns()}.part"
        with part.open("wb") as file:
            async for piece in request.stream():
                digest.update(piece)
                file.write(piece)
        if digest.hexdigest() != oid:
            part.unlink()
            raise Refused(400, message="not the bytes that were announced")
        hub.uploads[oid] += 1
        hub.needless += oid in request.scope["told"]
        part.replace(hub.folder / "blobs" / oid)
        return {}

    @app.get("/api/{kind}/{owner}/{name}/xet-{right}-token/{revision}")
    def xet_token(kind: str, owner: str, name: str, right: str, revision: str, request: Request) -> Any:
        repository(kind, f"{owner}/{name}", request, write=right == "write")
        url, end = f"local://{hub.folder}/cas", int(time.time()) + 3600
        headers = {"X-Xet-Cas-Url": url, "X-Xet-Access-Token": "xet", "X-Xet-Token-Expiration": str(end)}
        return JSONResponse({"casUrl": url, "accessToken": "xet", "exp": end}, headers=headers)

    @app.post("/api/{kind}/{owner}/{name}/commit/{revision}")
    async def commit(kind: str, owner: str, name: str, revision: str, request: Request) -> Any:
        found = repository(kind, f"{owner}/{name}", request, write=True)
        head, lines = at(found, revision), [json.loads(line) for line in (await request.body()).splitlines()]
        files = dict(found.commits[head])
        for line in lines:
            value = line["value"]
            if line["key"] == "header" and value.get("parentCommit", head) != head:
                raise Refused(412, message="the branch has moved on")
            if line["key"] == "file":
                files[value["path"]] = regular(base64.b64decode(value["content"]))
            if line["key"] == "lfsFile":
                if not hub.has(value["oid"]):
                    raise Refused(400, message=f"{value['path']}: no such blob")
                pointer = hashlib.sha1(value["oid"].encode()).hexdigest()
                files[value["path"]] = Entry(value["size"], pointer, sha256=value["oid"])
            if line["key"] == "deletedFile":
                del files[value["path"]]
        oid = found.commit(files, unquote(revision))
        return {"commitUrl": f"{hub.origin}/{owner}/{name}/commit/{oid}", "commitOid": oid}

    @app.get("/api/{kind}/{owner}/{name}")
    @app.get("/api/{kind}/{owner}/{name}/revision/{revision}")
    def info(kind: str, owner: str, name: str, request: Request, revision: str = "main") -> Any:
        found = repository(kind, f"{owner}/{name}", request)
        oid = at(found, revision)
        files = found.commits[oid]
        readme = (files["README.md"].content or b"").decode() if "README.md" in files else ""
        card = ModelCard(readme, ignore_metadata_errors=True).data.to_dict() if readme.startswith("---") else {}
        known = {key: card[key] for key in ("pipeline_tag", "library_name") if key in card}
        siblings = [{"rfilename": path} for path in files]
        both = {"id": found.id, "sha": oid, "private": found.private, "siblings": siblings, "tags": []}
        return both | known | {"cardData": card}

    def row(path: str, one: Entry | None) -> dict[str, Any]:
        if one is None:
            return {"type": "directory", "path": path, "oid": hashlib.sha1(path.encode()).hexdigest(), "size": 0}
        found: dict[str, Any] = {"type": "file", "path": path, "oid": one.sha1, "size": one.size}
        if one.sha256:
            found |= {"lfs": {"oid": one.sha256, "size": one.size, "pointerSize": 130}}
            found |= {"xetHash": hub.xet_hash(one.sha256)} if hub.xet else {}
        return found

    def with_folders(files: dict[str, Entry]) -> dict[str, Entry | None]:
        folders = {str(parent): None for path in files for parent in PurePosixPath(path).parents if parent.name}
        return {**folders, **files}

    @app.get("/api/{kind}/{owner}/{name}/tree/{revision}")
    @app.get("/api/{kind}/{owner}/{name}/tree/{revision}/{folder:path}")
    def tree(
        kind: str, owner: str, name: str, revision: str, request: Request, folder: str = "", recursive: bool = False
    ) -> Any:
        found = repository(kind, f"{owner}/{name}", request)
        everything = with_folders(found.commits[at(found, revision)])
        top = PurePosixPath(unquote(folder))
        inside = [path for path in everything if top in PurePosixPath(path).parents]
        if folder and not inside:
            raise Refused(404, "EntryNotFound")
        return [row(path, everything[path]) for path in inside if recursive or PurePosixPath(path).parent == top]

    @app.post("/api/{kind}/{owner}/{name}/paths-info/{revision}")
    async def paths_info(kind: str, owner: str, name: str, revision: str, request: Request) -> Any:
        found = repository(kind, f"{owner}/{name}", request)
        everything = with_folders(found.commits[at(found, revision)])
        form = parse_qs((await request.body()).decode())
        asked = form.get("paths") or json.loads(await request.body() or b"{}").get("paths", [])
        return [row(path, everything[path]) for path in asked if path in everything]

    @app.get("/api/{kind}/{owner}/{name}/refs")
    def refs(kind: str, owner: str, name: str, request: Request) -> Any:
        found = repository(kind, f"{owner}/{name}", request)
        return {
            part: [{"name": one, "ref": f"refs/{where}/{one}", "targetCommit": oid} for one, oid in names.items()]
            for part, where, names in (("branches", "heads", found.branches), ("tags", "tags", found.tags))
        } | {"converts": []}

    @app.post("/api/{kind}/{owner}/{name}/tag/{revision}")
    @app.post("/api/{kind}/{owner}/{name}/branch/{branch}")
    async def point(kind: str, owner: str, name: str, request: Request, revision: str = "", branch: str = "") -> Any:
        found, asked = repository(kind, f"{owner}/{name}", request, write=True), await request.json()
        names, name = (found.tags, asked["tag"]) if revision else (found.branches, unquote(branch))
        if name in names:
            raise Refused(409, message="it exists")
        names[name] = at(found, revision or asked.get("startingPoint", "main"))
        return {}

    @app.api_route("/{owner}/{name}/resolve/{revision}/{path:path}", methods=["GET", "HEAD"])
    @app.api_route("/{kind}/{owner}/{name}/resolve/{revision}/{path:path}", methods=["GET", "HEAD"])
    def resolve(owner: str, name: str, revision: str, path: str, request: Request, kind: str = "models") -> Response:
        found = repository(kind, f"{owner}/{name}", request)
        oid = at(found, revision)
        one = found.commits[oid].get(unquote(path))
        if one is None:
            raise Refused(404, "EntryNotFound")
        headers = {"X-Repo-Commit": oid, "ETag": f'"{one.sha256 or one.sha1}"'}
        if one.sha256 is None:
            return Response(one.content, headers=headers, media_type="application/octet-stream")
        headers |= {"X-Linked-Etag": f'"{one.sha256}"', "X-Linked-Size": str(one.size)}
        if hub.xet:
            token = f"{hub.origin}/api/{kind}/{owner}/{name}/xet-read-token/{oid}"
            headers |= {"X-Xet-Hash": str(hub.xet_hash(one.sha256)), "X-Xet-Refresh-Route": token}
        # Another origin, because the client follows a redirect within one itself and then loses X-Repo-Commit.
        headers["Location"] = f"{hub.origin.replace('127.0.0.1', 'localhost')}/blobs/{one.sha256}"
        return Response(status_code=302, headers=headers)

    @app.api_route("/blobs/{oid}", methods=["GET", "HEAD"])
    def blob(oid: str) -> Response:
        return FileResponse(hub.folder / "blobs" / oid, headers={"ETag": f'"{oid}"'})

    return app
