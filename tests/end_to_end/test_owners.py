"""Results and their owners: what is not published is its owner's alone, and nobody is answered from it."""

from pathlib import Path
from typing import Any

import httpx
from serving import SAMPLE_INPUTS, Server, serve

TOKENS = {name: f"{name}-0123456789abcdef" for name in ("alice", "bob")}
INPUTS = {**SAMPLE_INPUTS, "bbox": [-5.45, 41.25, -5.44, 41.26], "members": 2}


def ask(server: Server, owner: str, *, publish: bool) -> tuple[dict[str, Any], bool]:
    """Execute as an owner; return the result item, and whether it was there already."""
    server.client.headers["Authorization"] = f"Bearer {TOKENS[owner]}"
    try:
        answer = server.execute({**INPUTS, "publish": publish})
    finally:
        del server.client.headers["Authorization"]
    assert answer.status_code == 200, answer.text
    (item,) = answer.json()["items"]["features"]
    (stack,) = answer.json()["report"]["stacks"]
    return item, stack["reused"]


def read(server: Server, href: str, owner: str | None) -> httpx.Response:
    headers = {} if owner is None else {"Authorization": f"Bearer {TOKENS[owner]}"}
    return server.client.get(href, headers=headers)


def test_an_answer_crosses_owners_only_where_it_is_published(tmp_path: Path) -> None:
    with serve(tmp_path, auth={"token": TOKENS, "catalog": True}) as server:
        hidden, reused = ask(server, "alice", publish=False)
        assert not reused
        for asset in hidden["assets"].values():
            assert read(server, asset["href"], "alice").status_code == 200
            assert read(server, asset["href"], "bob").status_code == 404
            assert read(server, asset["href"], None).status_code == 401

        own, reused = ask(server, "bob", publish=False)
        assert not reused
        assert own["id"] == hidden["id"]  # the same request: so the files must not meet either
        href = own["assets"]["soil_moisture"]["href"]
        assert href != hidden["assets"]["soil_moisture"]["href"]
        assert read(server, href, "bob").status_code == 200
        assert read(server, href, "alice").status_code == 404

        published, reused = ask(server, "bob", publish=True)
        assert not reused
        again, reused = ask(server, "alice", publish=True)
        assert reused
        assert again == published
        for asset in again["assets"].values():  # where the catalogue asks for a token, anybody's will do
            assert read(server, asset["href"], "alice").status_code == 200
            assert read(server, asset["href"], None).status_code == 401

        _, reused = ask(server, "alice", publish=False)
        assert not reused
