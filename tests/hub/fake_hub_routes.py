"""The routes of the fake Hub. Paths arrive quoted, because a branch name may contain a slash."""

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
LARGE = (".safetensors", ".parquet", ".bin")  # uploaded through LFS regardless of size
LARGEST_REGULAR = 10_000_000


class Refused(Exception):
    """An error response."""

    def __init__(self, status: int, code: str = "", message: str = "") -> None:
        self.status, self.code, self.message = status, code, message


def application(hub: Hub) -> FastAPI:
    """Return the application with all routes."""
    app = FastAPI()

    @app.exception_handler(Refused)
    def refuse(request: Request, refused: Refused) -> Response:
        headers = {"X-Error-Code": refused.code} if refused.code else {}
        return JSONResponse({"error": refused.message}, refused.status, headers)

    def user_of(request: Request) -> str | None:
        return USER if request.headers.get("authorization") == f"Bearer {TOKEN}" else None

    def find_repository(kind: str, repo: str, request: Request, write: bool = False) -> Repository:
        result = hub.repositories.get((kind, repo))
        if result is None or (result.private and not user_of(request)):
            raise Refused(404 if user_of(request) else 401, "RepoNotFound")
        if write and repo.partition("/")[0] != user_of(request):
            raise Refused(403 if user_of(request) else 401, message="no write access")
        return result

    def find_commit(repository: Repository, revision: str) -> str:
        oid = repository.find(unquote(revision))
        if oid is None:
            raise Refused(404, "RevisionNotFound")
        return oid

    @app.get("/api/whoami-v2")
    def whoami(request: Request) -> Any:
        if not user_of(request):
            raise Refused(401, message="Invalid username or password.")
        return {"type": "user", "name": USER, "orgs": [], "auth": {"type": "access_token"}}

    @app.post("/api/repos/create")
    async def create(request: Request) -> Any:
        body = await request.json()
        kind, owner = KINDS[body.get("type") or "model"], body.get("organization") or USER
        repo = f"{owner}/{body['name']}"
        if owner != user_of(request):
            raise Refused(403 if user_of(request) else 401, message="no permission to create")
        url = f"{hub.origin}/{'' if kind == 'models' else kind + '/'}{repo}"
        if (kind, repo) in hub.repositories:
            return JSONResponse({"error": "exists", "url": url}, 409)
        repository = Repository(repo, body.get("visibility") == "private")
        repository.commit({".gitattributes": regular(b"*.safetensors filter=lfs\n")}, "main")
        hub.repositories[kind, repo] = repository
        return {"url": url}

    @app.post("/api/validate-yaml")
    async def validate(request: Request) -> Any:
        body = await request.json()
        has_license = (
            body["repoType"] != "model" or ModelCard(body["content"], ignore_metadata_errors=True).data.license
        )
        return {"errors": [], "warnings": [] if has_license else [{"message": "no license"}]}

    @app.post("/api/{kind}/{owner}/{name}/preupload/{revision}")
    async def preupload(kind: str, owner: str, name: str, revision: str, request: Request) -> Any:
        repository = find_repository(kind, f"{owner}/{name}", request, write=True)
        files = repository.commits[find_commit(repository, revision)]
        answers = []
        for file in (await request.json())["files"]:
            large = file["path"].endswith(LARGE) or file["size"] > LARGEST_REGULAR
            entry = files.get(file["path"])
            answers.append(
                {
                    "path": file["path"],
                    "uploadMode": "lfs" if large else "regular",
                    "shouldIgnore": False,
                    "oid": (entry.sha256 or entry.sha1) if entry else None,
                }
            )
        return {"files": answers}

    @app.post("/{owner}/{name}.git/info/lfs/objects/batch")
    @app.post("/{kind}/{owner}/{name}.git/info/lfs/objects/batch")
    async def batch(request: Request) -> Any:
        objects: list[dict[str, Any]] = []
        for blob in (await request.json())["objects"]:
            href = f"{hub.origin}/upload/{blob['oid']}"
            stored = hub.has(blob["oid"])
            hub.announced |= {blob["oid"]} if stored else set()
            objects.append(blob if stored else blob | {"actions": {"upload": {"href": href}}})
        return {"transfer": "basic", "objects": objects}

    @app.put("/upload/{oid}")
    async def upload(oid: str, request: Request) -> Any:
        digest, part = hashlib.sha256(), hub.folder / f"{time.monotonic_ns()}.part"
        with part.open("wb") as file:
            async for chunk in request.stream():
                digest.update(chunk)
                file.write(chunk)
        if digest.hexdigest() != oid:
            part.unlink()
            raise Refused(400, message="the bytes do not match the oid")
        hub.uploads[oid] += 1
        hub.needless += oid in request.scope["announced"]
        part.replace(hub.folder / "blobs" / oid)
        return {}

    @app.get("/api/{kind}/{owner}/{name}/xet-{access}-token/{revision}")
    def xet_token(kind: str, owner: str, name: str, access: str, revision: str, request: Request) -> Any:
        find_repository(kind, f"{owner}/{name}", request, write=access == "write")
        url, expiration = f"local://{hub.folder}/cas", int(time.time()) + 3600
        headers = {"X-Xet-Cas-Url": url, "X-Xet-Access-Token": "xet", "X-Xet-Token-Expiration": str(expiration)}
        return JSONResponse({"casUrl": url, "accessToken": "xet", "exp": expiration}, headers=headers)

    @app.post("/api/{kind}/{owner}/{name}/commit/{revision}")
    async def commit(kind: str, owner: str, name: str, revision: str, request: Request) -> Any:
        repository = find_repository(kind, f"{owner}/{name}", request, write=True)
        head = find_commit(repository, revision)
        lines = [json.loads(line) for line in (await request.body()).splitlines()]
        files = dict(repository.commits[head])
        for line in lines:
            value = line["value"]
            if line["key"] == "header" and value.get("parentCommit", head) != head:
                raise Refused(412, message="the branch was moved")
            if line["key"] == "file":
                files[value["path"]] = regular(base64.b64decode(value["content"]))
            if line["key"] == "lfsFile":
                if not hub.has(value["oid"]):
                    raise Refused(400, message=f"{value['path']}: no such blob")
                pointer = hashlib.sha1(value["oid"].encode()).hexdigest()
                files[value["path"]] = Entry(value["size"], pointer, sha256=value["oid"])
            if line["key"] == "deletedFile":
                del files[value["path"]]
        oid = repository.commit(files, unquote(revision))
        return {"commitUrl": f"{hub.origin}/{owner}/{name}/commit/{oid}", "commitOid": oid}

    @app.get("/api/{kind}/{owner}/{name}")
    @app.get("/api/{kind}/{owner}/{name}/revision/{revision}")
    def info(kind: str, owner: str, name: str, request: Request, revision: str = "main") -> Any:
        repository = find_repository(kind, f"{owner}/{name}", request)
        oid = find_commit(repository, revision)
        files = repository.commits[oid]
        readme = (files["README.md"].content or b"").decode() if "README.md" in files else ""
        card = ModelCard(readme, ignore_metadata_errors=True).data.to_dict() if readme.startswith("---") else {}
        card_fields = {key: card[key] for key in ("pipeline_tag", "library_name") if key in card}
        siblings = [{"rfilename": path} for path in files]
        fields = {"id": repository.id, "sha": oid, "private": repository.private, "siblings": siblings, "tags": []}
        return fields | card_fields | {"cardData": card}

    def tree_entry(path: str, entry: Entry | None) -> dict[str, Any]:
        if entry is None:
            return {"type": "directory", "path": path, "oid": hashlib.sha1(path.encode()).hexdigest(), "size": 0}
        result: dict[str, Any] = {"type": "file", "path": path, "oid": entry.sha1, "size": entry.size}
        if entry.sha256:
            result |= {"lfs": {"oid": entry.sha256, "size": entry.size, "pointerSize": 130}}
            result |= {"xetHash": hub.xet_hash(entry.sha256)} if hub.xet else {}
        return result

    def with_folders(files: dict[str, Entry]) -> dict[str, Entry | None]:
        folders = {str(parent): None for path in files for parent in PurePosixPath(path).parents if parent.name}
        return {**folders, **files}

    @app.get("/api/{kind}/{owner}/{name}/tree/{revision}")
    @app.get("/api/{kind}/{owner}/{name}/tree/{revision}/{folder:path}")
    def tree(
        kind: str, owner: str, name: str, revision: str, request: Request, folder: str = "", recursive: bool = False
    ) -> Any:
        repository = find_repository(kind, f"{owner}/{name}", request)
        entries = with_folders(repository.commits[find_commit(repository, revision)])
        top = PurePosixPath(unquote(folder))
        paths = [path for path in entries if top in PurePosixPath(path).parents]
        if folder and not paths:
            raise Refused(404, "EntryNotFound")
        return [tree_entry(path, entries[path]) for path in paths if recursive or PurePosixPath(path).parent == top]

    @app.post("/api/{kind}/{owner}/{name}/paths-info/{revision}")
    async def paths_info(kind: str, owner: str, name: str, revision: str, request: Request) -> Any:
        repository = find_repository(kind, f"{owner}/{name}", request)
        entries = with_folders(repository.commits[find_commit(repository, revision)])
        form = parse_qs((await request.body()).decode())
        paths = form.get("paths") or json.loads(await request.body() or b"{}").get("paths", [])
        return [tree_entry(path, entries[path]) for path in paths if path in entries]

    @app.get("/api/{kind}/{owner}/{name}/refs")
    def refs(kind: str, owner: str, name: str, request: Request) -> Any:
        repository = find_repository(kind, f"{owner}/{name}", request)
        return {
            key: [{"name": ref, "ref": f"refs/{prefix}/{ref}", "targetCommit": oid} for ref, oid in commits.items()]
            for key, prefix, commits in (("branches", "heads", repository.branches), ("tags", "tags", repository.tags))
        } | {"converts": []}

    @app.post("/api/{kind}/{owner}/{name}/tag/{revision}")
    @app.post("/api/{kind}/{owner}/{name}/branch/{branch}")
    async def create_ref(
        kind: str, owner: str, name: str, request: Request, revision: str = "", branch: str = ""
    ) -> Any:
        repository, body = find_repository(kind, f"{owner}/{name}", request, write=True), await request.json()
        refs, name = (repository.tags, body["tag"]) if revision else (repository.branches, unquote(branch))
        if name in refs:
            raise Refused(409, message="the reference exists")
        refs[name] = find_commit(repository, revision or body.get("startingPoint", "main"))
        return {}

    @app.api_route("/{owner}/{name}/resolve/{revision}/{path:path}", methods=["GET", "HEAD"])
    @app.api_route("/{kind}/{owner}/{name}/resolve/{revision}/{path:path}", methods=["GET", "HEAD"])
    def resolve(owner: str, name: str, revision: str, path: str, request: Request, kind: str = "models") -> Response:
        repository = find_repository(kind, f"{owner}/{name}", request)
        oid = find_commit(repository, revision)
        entry = repository.commits[oid].get(unquote(path))
        if entry is None:
            raise Refused(404, "EntryNotFound")
        headers = {"X-Repo-Commit": oid, "ETag": f'"{entry.sha256 or entry.sha1}"'}
        if entry.sha256 is None:
            return Response(entry.content, headers=headers, media_type="application/octet-stream")
        headers |= {"X-Linked-Etag": f'"{entry.sha256}"', "X-Linked-Size": str(entry.size)}
        if hub.xet:
            token = f"{hub.origin}/api/{kind}/{owner}/{name}/xet-read-token/{oid}"
            headers |= {"X-Xet-Hash": str(hub.xet_hash(entry.sha256)), "X-Xet-Refresh-Route": token}
        # Another origin, because the client follows a redirect to the same origin itself and then loses X-Repo-Commit.
        headers["Location"] = f"{hub.origin.replace('127.0.0.1', 'localhost')}/blobs/{entry.sha256}"
        return Response(status_code=302, headers=headers)

    @app.api_route("/blobs/{oid}", methods=["GET", "HEAD"])
    def blob(oid: str) -> Response:
        return FileResponse(hub.folder / "blobs" / oid, headers={"ETag": f'"{oid}"'})

    return app
