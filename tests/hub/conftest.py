from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hub.client import Client, client
from tests.hub.fake_hub import Hub, serve

CARD = "---\nlicense: mit\npipeline_tag: image-classification\n---\n# A model\n"


@pytest.fixture(scope="session", params=["lfs", "xet"])
def hub_and_client(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Hub, Client]]:
    """A Hub and its client, once with git LFS and once with xet."""
    folder = tmp_path_factory.mktemp(f"hub-{request.param}")
    hub = Hub(folder / "hub", xet=request.param == "xet")
    with serve(hub), client(hub.environment(), folder / "home") as child:
        yield hub, child


@pytest.fixture
def hub(hub_and_client: tuple[Hub, Client]) -> Hub:
    """The Hub without faults, requests and repositories."""
    hub = hub_and_client[0]
    hub.faults.clear()
    hub.requests.clear()
    hub.repositories.clear()
    return hub


@pytest.fixture
def child(hub_and_client: tuple[Hub, Client], hub: Hub) -> Client:
    return hub_and_client[1]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model folder. Its weights are random, so that the Hub has no blob of them yet."""
    path = tmp_path / "model"
    path.mkdir()
    (path / "README.md").write_text(CARD)
    (path / "config.json").write_text("{}\n")
    (path / "model.safetensors").write_bytes(b"\0" + os.urandom(100_000))
    return path
