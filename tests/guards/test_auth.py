"""Who may do what: tokens of the operator's and of a provider, and jobs that only their owner sees."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from pydantic import ValidationError
from serving import PROCESS

from escape_process.errors import InvalidInputError
from escape_process.jobs.auth import Authenticator, TokenError
from escape_process.settings import Auth, Settings

from .conftest import Canary, Serve, execute, finished

ALICE = "alice-0123456789abcdef"
BOB = "bob-0123456789abcdef"
ISSUER = "https://id.example.org"
PUBLIC = ["/", "/conformance", "/openapi", "/processes", f"/processes/{PROCESS}", "/health/live", "/health/ready"]
CATALOG = ["/catalog/catalog.json", "/stac-api", "/stac-api/search", "/stac-api/collections"]
PRIVATE = ["/jobs", "/jobs/00000000-0000-4000-8000-000000000000", "/metrics", "/unpublished/a/a.json", "/collections"]


def as_(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("auth")
    unpublished = folder / "data" / "unpublished" / "a"
    unpublished.mkdir(parents=True)
    (unpublished / "a.json").write_text("{}")
    catalog = folder / "data" / "catalog"
    catalog.mkdir()
    return folder


@pytest.fixture(scope="module")
def client(folder: Path, serve_with: Serve) -> Iterator[httpx.Client]:
    with (
        serve_with(folder, auth={"token": {"alice": ALICE, "bob": BOB}}) as url,
        httpx.Client(base_url=url, timeout=60) as client,
    ):
        yield client


def check_refused(answer: httpx.Response, reason: str = "") -> None:
    assert answer.status_code == 401, (answer.request.url, answer.text)
    assert answer.headers["WWW-Authenticate"] == f'Bearer realm="escape"{reason}'
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.json()["status"] == 401
    assert answer.json()["detail"].endswith(".")


@pytest.mark.parametrize("path", PUBLIC + CATALOG)
def test_what_is_public(client: httpx.Client, path: str) -> None:
    assert client.get(path).status_code in (200, 503 if path == "/health/ready" else 200)


@pytest.mark.parametrize("path", PRIVATE)
def test_what_needs_a_token(client: httpx.Client, path: str) -> None:
    check_refused(client.get(path))
    for header in ("Bearer wrong-0123456789abcdef", "Bearer é", f"bearer {ALICE}x"):
        check_refused(client.get(path, headers={"Authorization": header.encode()}), ', error="invalid_token"')
    for header in (f"Basic {ALICE}", "Bearer", ALICE):
        check_refused(client.get(path, headers={"Authorization": header}))
    assert client.get(path, headers=as_(ALICE)).status_code != 401


def test_execution_needs_a_token(client: httpx.Client) -> None:
    check_refused(execute(client, "x"))
    check_refused(client.delete("/jobs/00000000-0000-4000-8000-000000000000"))


def test_a_job_is_its_owners(client: httpx.Client) -> None:
    job = execute(client, "x", **as_(ALICE)).json()["jobID"]
    other = execute(client, "x", **as_(BOB)).json()["jobID"]
    client.headers.update(as_(ALICE))
    try:
        assert finished(client, job)["status"] == "successful"
        assert client.get(f"/jobs/{job}/results").status_code == 200
        assert [one["jobID"] for one in client.get("/jobs").json()["jobs"]] == [job]
    finally:
        del client.headers["Authorization"]
    never = client.get("/jobs/00000000-0000-4000-8000-000000000000", headers=as_(BOB))
    for path in ("", "/results", "/results/items", "/logs"):
        for accept in ("application/json", "text/html"):
            answer = client.get(f"/jobs/{job}{path}", headers={**as_(BOB), "Accept": accept})
            assert answer.status_code == 404
            assert answer.json()["type"] == never.json()["type"]
            assert answer.json()["detail"] == f"There is no job {job}."
        check_refused(client.get(f"/jobs/{job}{path}"))
    assert client.delete(f"/jobs/{job}", headers=as_(BOB)).status_code == 404
    for accept in ("application/json", "text/html"):
        listed = client.get("/jobs", headers={**as_(BOB), "Accept": accept}).text
        assert job not in listed
    assert [one["jobID"] for one in client.get("/jobs", headers=as_(BOB)).json()["jobs"]] == [other]
    assert client.delete(f"/jobs/{job}", headers=as_(ALICE)).status_code == 200


def test_unpublished_results_are_their_owners(client: httpx.Client, folder: Path) -> None:
    settings = Settings(data_dir=folder / "data")
    mine, theirs = (settings.of_owner(name).unpublished_dir for name in ("alice", "bob"))
    for place in (mine, theirs):
        (place / "item").mkdir(parents=True)
        (place / "item" / "item.json").write_text("{}")
    address = f"/unpublished/{mine.name}/item/item.json"
    assert client.get(address, headers=as_(ALICE)).status_code == 200
    assert client.head(address, headers=as_(ALICE)).status_code == 200
    check_refused(client.get(address))
    never = client.get(f"/unpublished/{mine.name}/item/none.json", headers=as_(ALICE))
    for path in (
        address,
        f"/unpublished/{theirs.name}/../{mine.name}/item/item.json",
        f"/unpublished/{theirs.name}/%2e%2e/{mine.name}/item/item.json",
        f"/unpublished/{theirs.name}%2f..%2f{mine.name}/item/item.json",
        f"/unpublished//{mine.name}/item/item.json",
        f"/unpublished/./{mine.name}/item/item.json",
        f"/unpublished/{theirs.name}",
        "/unpublished/a/a.json",  # made when no tokens were asked for: nobody's
    ):
        raw = client.base_url.copy_with(raw_path=path.encode())
        answer = client.get(raw, headers=as_(BOB), follow_redirects=True)
        assert answer.status_code == 404, path
        assert answer.json() == never.json()


def test_the_openapi_document_says_what_needs_a_token(client: httpx.Client) -> None:
    document = client.get("/openapi").json()
    assert document["components"]["securitySchemes"] == {"bearer": {"type": "http", "scheme": "bearer"}}
    refusal = document["components"]["responses"]["401"]
    assert refusal["headers"].keys() == {"WWW-Authenticate"}
    schema = {**refusal["content"]["application/json"]["schema"], "components": document["components"]}
    protected = set()
    for path, operations in document["paths"].items():
        address = path.replace("{jobId}", "00000000-0000-4000-8000-000000000000").replace("{outputId}", "items")
        for method, operation in operations.items():
            answer = client.request(method, address)
            if "security" in operation:
                assert operation["security"] == [{"bearer": []}]
                assert operation["responses"]["401"] == {"$ref": "#/components/responses/401"}
                check_refused(answer)
                jsonschema.validate(answer.json(), schema, jsonschema.Draft4Validator)
                protected.add((method, path))
            else:
                assert "401" not in operation["responses"]
                assert answer.status_code == 200, path
    assert protected == {
        ("post", f"/processes/{PROCESS}/execution"),
        ("get", "/jobs"),
        ("get", "/jobs/{jobId}"),
        ("delete", "/jobs/{jobId}"),
        ("get", "/jobs/{jobId}/results"),
        ("get", "/jobs/{jobId}/results/{outputId}"),
        ("get", "/jobs/{jobId}/logs"),
        ("get", "/jobs/{jobId}/prov"),
    }


def test_tokens_are_not_logged(client: httpx.Client, folder: Path) -> None:
    client.get("/jobs", headers=as_(ALICE))
    log = (folder / "server.log").read_text()
    assert ALICE not in log
    assert BOB not in log


def test_the_catalogue_may_need_a_token(tmp_path: Path, serve_with: Serve) -> None:
    auth = {"token": ALICE, "catalog": True}
    with serve_with(tmp_path, auth=auth) as url, httpx.Client(base_url=url, timeout=60) as client:
        for path in [*CATALOG, "//stac-api", "/stac-api/", "/catalog/../catalog/catalog.json"]:
            raw = client.get(httpx.URL(url).copy_with(raw_path=path.encode()), follow_redirects=True)
            assert raw.status_code in (401, 404), path
        for path in CATALOG:
            check_refused(client.get(path))
            assert client.get(path, headers=as_(ALICE)).status_code == 200
        assert client.get("/processes").status_code == 200


# --- a provider's tokens ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


class Provider:
    """Signs tokens, and publishes its key as a file that a host serves."""

    def __init__(self, host: Canary, key: rsa.RSAPrivateKey) -> None:
        self.host = host
        self._key = key
        public = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key()))
        host.bodies["/keys"] = json.dumps({"keys": [{**public, "kid": "1", "use": "sig"}]}).encode()

    def auth(self, **more: Any) -> Auth:
        settings = {"issuer": ISSUER, "audience": "escape", "jwks_url": f"{self.host.url}/keys", **more}
        return Auth.model_validate(settings)

    def token(self, algorithm: str = "RS256", key: Any = None, kid: str = "1", **claims: Any) -> str:
        content = {"iss": ISSUER, "aud": "escape", "sub": "carol", "exp": time.time() + 60, **claims}
        content = {name: value for name, value in content.items() if value is not None}
        return jwt.encode(content, key or self._key, algorithm=algorithm, headers={"kid": kid})


@pytest.fixture
def provider(canary: Canary, key: rsa.RSAPrivateKey) -> Provider:
    return Provider(canary, key)


def test_the_subject_of_a_token_is_the_owner(provider: Provider) -> None:
    authenticator = Authenticator(provider.auth())
    assert authenticator.owner_of(f"Bearer {provider.token()}") == "carol"
    assert authenticator.owner_of(f"Bearer {provider.token(sub='dave', aud=['other', 'escape'])}") == "dave"
    assert provider.host.hits == ["/keys"]  # kept


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "https://other.example.org"},
        {"iss": None},
        {"aud": "another-service"},
        {"aud": None},
        {"sub": None},
        {"sub": ""},
        {"exp": None},
        {"exp": 1},
        {"nbf": 4e9},
        {"kid": "2"},
    ],
)
def test_tokens_that_do_not_count(provider: Provider, claims: dict[str, Any]) -> None:
    token = provider.token(**claims)
    with pytest.raises(TokenError) as caught:
        Authenticator(provider.auth()).owner_of(f"Bearer {token}")
    assert caught.value.status == 401
    assert token not in str(caught.value)


def test_forged_tokens(provider: Provider) -> None:
    authenticator = Authenticator(provider.auth())
    stranger = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    unsigned = jwt.encode({"iss": ISSUER, "aud": "escape", "sub": "carol", "exp": time.time() + 60}, None, "none")
    shared = provider.token(algorithm="HS256", key="0123456789abcdef0123456789abcdef")
    for token in (provider.token(key=stranger), unsigned, shared, "a.b.c", "nonsense", provider.token()[:-4] + "AAAA"):
        with pytest.raises(TokenError) as caught:
            authenticator.owner_of(f"Bearer {token}")
        assert caught.value.status == 401


def test_unknown_keys_do_not_make_us_ask_again_and_again(provider: Provider) -> None:
    authenticator = Authenticator(provider.auth())
    for number in range(20):
        with pytest.raises(TokenError):
            authenticator.owner_of(f"Bearer {provider.token(kid=f'unknown-{number}')}")
    assert len(provider.host.hits) <= 2


def test_a_provider_that_cannot_be_reached(provider: Provider) -> None:
    token = provider.token()
    with pytest.raises(TokenError, match="cannot be checked at present") as caught:
        Authenticator(provider.auth(jwks_url="http://127.0.0.1:9/keys")).owner_of(f"Bearer {token}")
    assert caught.value.status == 503
    provider.host.bodies["/keys"] = b"<html>"
    with pytest.raises(TokenError):
        Authenticator(provider.auth()).owner_of(f"Bearer {token}")


def test_a_providers_tokens_over_http(provider: Provider, tmp_path: Path, serve_with: Serve) -> None:
    auth = provider.auth().model_dump(mode="json", exclude={"token"})
    with serve_with(tmp_path, auth=auth) as url, httpx.Client(base_url=url, timeout=60) as client:
        check_refused(client.get("/jobs"))
        check_refused(client.get("/jobs", headers=as_(provider.token(exp=1))), ', error="invalid_token"')
        job = execute(client, "x", **as_(provider.token())).json()["jobID"]
        assert client.get(f"/jobs/{job}", headers=as_(provider.token())).status_code == 200
        assert client.get(f"/jobs/{job}", headers=as_(provider.token(sub="dave"))).status_code == 404


# --- settings --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "auth",
    [
        {},
        {"token": "short"},
        {"token": ""},
        {"token": {}},
        {"token": "${ESCAPE_TOKEN_OF_THE_OPERATOR}"},
        {"token": {"alice": "short"}},
        {"issuer": ISSUER, "audience": "escape"},
        {"token": ALICE, "issuer": ISSUER, "audience": "escape", "jwks_url": "https://id.example.org/keys"},
        {"issuer": ISSUER, "audience": "escape", "jwks_url": "file:///keys"},
        {"issuer": ISSUER, "audience": "escape", "jwks_url": "https://id.example.org/keys", "algorithms": ["HS256"]},
        {"issuer": ISSUER, "audience": "escape", "jwks_url": "https://id.example.org/keys", "algorithms": ["none"]},
        {"issuer": ISSUER, "audience": "escape", "jwks_url": "https://id.example.org/keys", "algorithms": []},
        {"tokens": ALICE},
    ],
)
def test_settings_that_protect_nothing_are_refused_without_their_secret(auth: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError, match="auth") as caught:
        Settings.load({"auth": auth}, Path())
    assert ALICE not in str(caught.value)
    assert caught.value.__cause__ is None
    with pytest.raises(ValidationError):
        Auth.model_validate(auth)


def test_secrets_are_not_shown() -> None:
    settings = Settings.load({"auth": {"token": {"alice": ALICE}}}, Path())
    for text in (repr(settings), str(settings), settings.model_dump_json()):
        assert ALICE not in text
