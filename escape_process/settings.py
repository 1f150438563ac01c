"""What the operator decides: where catalogues are, where results go, how remote hosts are spoken to.

In a server these stand under `processor: settings:` of pygeoapi-config.yml, where `${VAR:-default}` is resolved.
"""

import hashlib
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    SecretStr,
    ValidationError,
    model_validator,
)

from escape_process.computing import DaskCluster, Engine
from escape_process.errors import InvalidInputError
from escape_process.targets import Bucket, ObjectStorage, StacApi

DEFAULT_PORTS = {"http": 80, "https": 443}
SHORTEST_TOKEN = 16
"""Characters of a bearer token, so that an empty or guessable one does not pass for protection."""

SIGNED_ADDRESS = "{href}"
"""Stands for an address in that of the service which signs it."""

OWNERS = "owner-"
"""What the names of owners' folders begin with."""

_WITH_SECRETS = ("auth", "hosts", "stac_api", "object_storage", "buckets", "settings")
"""Settings whose value no message repeats. A fault of all settings together comes with all of them."""

Algorithm = Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
"""Signatures by key pair only: a shared secret would let whoever checks tokens make them, too."""


def _check_token(token: SecretStr) -> SecretStr:
    if "${" in token.get_secret_value():
        raise ValueError("names an environment variable in quotes: write it without them")
    if len(token.get_secret_value()) < SHORTEST_TOKEN:
        raise ValueError(f"is shorter than {SHORTEST_TOKEN} characters")
    return token


Token = Annotated[SecretStr, AfterValidator(_check_token)]


class Auth(BaseModel):
    """Who may execute processes and see jobs. Without it everybody may.

    With it, whatever is not listed as public needs `Authorization: Bearer ...`: execution, jobs, their results,
    unpublished results and the metrics. Public stay the landing page, conformance, the OpenAPI document, process
    descriptions, health, and the catalogue of published results with its STAC API unless `catalog` is true; with it
    whoever has a token reads them. A job is seen, and its unpublished results are read, by its owner alone.

    Give either `token` or all of `issuer`, `audience` and `jwks_url`. Write secrets as ${NAME}, an environment
    variable, without quotes.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    token: Token | dict[str, Token] | None = None
    """One bearer token for all, or one each by the name of its owner."""
    issuer: str | None = None
    """`iss` of the tokens that an OpenID Connect provider issues."""
    audience: str | None = None
    """`aud` that such a token must have."""
    jwks_url: Annotated[str, Field(pattern="^https?://")] | None = None
    """Where the provider publishes its keys."""
    algorithms: Annotated[tuple[Algorithm, ...], Field(min_length=1)] = ("RS256", "ES256")
    """Signatures that are accepted."""
    catalog: bool = False
    """Whether the catalogue of published results and its STAC API need a token, too."""

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        provider = (self.issuer, self.audience, self.jwks_url)
        if not self.token and None in provider:
            raise ValueError("needs token, or all of issuer, audience and jwks_url")
        if self.token and provider != (None, None, None):
            raise ValueError("takes token or issuer, audience and jwks_url, not both")
        return self


def _check_host(entry: str) -> str:
    try:
        parts = urlsplit(f"//{entry}")
        bare = parts.hostname is not None and parts.port != 0 and parts.netloc == entry and "@" not in entry
    except ValueError:
        bare = False
    if not bare:
        raise ValueError(f"{entry!r} is not a host or host:port, such as stac.example.com or [::1]:8080")
    return entry.lower()


def _host_and_port(href: str) -> tuple[str, int]:
    """Return whom an http(s) address leads to; nobody for anything else."""
    try:
        parts = urlsplit(href)
        return parts.hostname or "", parts.port or DEFAULT_PORTS[parts.scheme.lower()]
    except (ValueError, KeyError):
        return "", 0


def _check_secret(secret: SecretStr) -> SecretStr:
    text = secret.get_secret_value()
    if "${" in text:
        raise ValueError("names an environment variable in quotes: write it without them")
    if not text or not text.isascii() or not text.isprintable() or text != text.strip():
        raise ValueError("is empty or has characters that a request cannot carry")
    return secret


def _check_query(secret: SecretStr) -> SecretStr:
    text = _check_secret(secret).get_secret_value()
    if text.startswith(("?", "&")) or "=" not in text or set(text) & set("# /"):
        raise ValueError("is not the part of an address after its '?', such as sv=2024&sig=abc")
    return secret


def _check_service(address: str) -> str:
    rest = address.replace(SIGNED_ADDRESS, "")
    if set(rest) & set("{}$# ") or not _host_and_port(rest)[0]:
        raise ValueError("is not an http(s) address, such as https://host/sign?href={href}")
    return address


class HostAccess(BaseModel):
    """What one remote host is told beside the request. Write secrets as ${NAME}, an environment variable."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    headers: dict[
        Annotated[str, Field(pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]+$")],
        Annotated[SecretStr, AfterValidator(_check_secret)],
    ] = {}
    """Sent with every request, such as Authorization."""
    query: Annotated[SecretStr, AfterValidator(_check_query)] | None = None
    """Added to every address that has none of its names yet: a shared access signature."""
    sign: Annotated[str, AfterValidator(_check_service)] | None = None
    """Address of a service that gives such signatures for a while: as `token`, for all addresses, or, where `{href}`
    stands in the address for the one to be signed, as `href`. `msft:expiry` tells until when."""

    @model_validator(mode="after")
    def _one_signature(self) -> Self:
        if self.query is not None and self.sign is not None:
            raise ValueError("takes query or sign, not both")
        return self


class Settings(BaseModel):
    """The operator's settings. Relative paths are relative to the folder of the configuration file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    data_dir: Path = Path("var")
    """Results, the served catalogue and job records lie here."""
    catalog_seed: Path | None = Path("catalog")
    """Static catalogue copied into the served tree at start; None: begin with an empty one."""
    catalogs: dict[str, str] = {"sample": "catalog/samples/collection.json"}
    """Catalogues that a client may name: name to http(s) URL or local path."""
    default_catalog: str = "sample"
    results_collection: str = "escape-soil-moisture"
    """Id of the STAC collection that results are published in."""
    public_url: str | None = None
    """Address under which this server is reached; result hrefs start with it. None: local paths."""
    allowed_hosts: tuple[Annotated[str, AfterValidator(_check_host)], ...] = ()
    """Hosts, as host or host:port, that may be read although they are not public. Hosts of `catalogs` are, too."""
    hosts: dict[Annotated[str, AfterValidator(_check_host)], HostAccess] = {}
    """Credentials for remote hosts, by host or host:port. Without a port they are sent by https alone."""
    publish_to: Annotated[tuple[Literal["catalog", "stac_api"], ...], Field(min_length=1)] = ("catalog",)
    """Where results are listed: in the catalogue that this server serves, in a STAC API, or in both."""
    stac_api: StacApi | None = None
    """The STAC API of `publish_to`."""
    object_storage: ObjectStorage | None = None
    """Where the files of results are kept; None: under `data_dir`."""
    buckets: tuple[Bucket, ...] = ()
    """Buckets that s3 hrefs may lead to, besides that of `object_storage`."""
    auth: Auth | None = None
    """Who may execute processes and see jobs; None: everybody."""
    max_body: Annotated[int, Field(ge=1)] = 1024 * 1024
    """Most bytes of the body of a request."""
    max_pixels: Annotated[int, Field(ge=1)] = 100_000_000
    """Most pixels of the results of one request, all dates together."""
    device: str = "auto"
    """"auto", "cpu" or "cuda": where the ensemble runs."""
    engine: Engine = "inline"
    """Who computes the blocks of a job."""
    processes: Annotated[int, Field(ge=1)] | None = None
    """Processes of the engine `processes`; None: one a core. Each takes the device for itself."""
    dask: DaskCluster | None = None
    """The cluster of the engine `dask`."""
    http_timeout: Annotated[float, Field(gt=0)] = 30.0
    """Seconds to wait for a remote host to connect or to send more."""
    http_attempts: Annotated[int, Field(ge=1, le=10)] = 3
    """How often a failing remote read is tried."""
    max_items: Annotated[int, Field(ge=1)] = 10_000
    """Most catalogue items that one search looks at."""

    _owner: str | None = PrivateAttr(None)

    @model_validator(mode="after")
    def _default_is_known(self) -> Self:
        if self.default_catalog not in self.catalogs:
            raise ValueError(f"default_catalog {self.default_catalog!r} is not among catalogs {sorted(self.catalogs)}")
        return self

    @model_validator(mode="after")
    def _targets_are_known(self) -> Self:
        if "stac_api" in self.publish_to and self.stac_api is None:
            raise ValueError("publish_to names stac_api: give its url under stac_api")
        return self

    @model_validator(mode="after")
    def _engine_is_known(self) -> Self:
        if self.engine == "dask" and self.dask is None:
            raise ValueError("engine is dask: give its scheduler, ca, cert and key under dask")
        return self

    @classmethod
    def load(cls, values: dict[str, Any], folder: Path) -> Self:
        """Check settings read from a file in `folder` and make their paths absolute.

        Raises
        ------
        InvalidInputError
            naming the setting and its value.
        """
        try:
            settings = cls.model_validate(values)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"]) or "settings"
            value = "" if where.startswith(_WITH_SECRETS) else f" = {first['input']!r}"
            raise InvalidInputError(f"Setting {where}{value}: {first['msg']}.") from None
        folder = folder.resolve()
        return settings.model_copy(
            update={
                "data_dir": folder / settings.data_dir,
                "catalog_seed": None if settings.catalog_seed is None else folder / settings.catalog_seed,
                "catalogs": {
                    name: href if "://" in href else str(folder / href) for name, href in settings.catalogs.items()
                },
                "dask": None if settings.dask is None else settings.dask.within(folder),
            }
        )

    def for_workers(self) -> Self:
        """Return these settings without what nobody needs who reads and computes blocks: they leave this process."""
        return self.model_copy(update={"auth": None, "stac_api": None, "dask": None})

    def allowing(self, href: str) -> Self:
        """Return these settings with the host of an address allowed: one that the operator names by hand."""
        host, port = _host_and_port(href)
        if not host:
            return self
        entry = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        return self.model_copy(update={"allowed_hosts": (*self.allowed_hosts, entry)})

    def of_owner(self, owner: str | None) -> Self:
        """Return these settings for the job of one owner, whose unpublished results lie in a folder of their own."""
        settings = self.model_copy()
        settings._owner = owner
        return settings

    def names_host(self, host: str, port: int) -> bool:
        """Tell whether the operator names a host: in `allowed_hosts`, or as the host and port of a catalogue."""
        if (host.lower(), port) in map(_host_and_port, self.catalogs.values()):
            return True
        allowed = [urlsplit(f"//{entry}") for entry in self.allowed_hosts]
        return any(one.hostname == host.lower() and one.port in (None, port) for one in allowed)

    def access_to(self, scheme: str, host: str, port: int | None) -> HostAccess | None:
        """Return the credentials for an address, by its scheme, host and port (None: the scheme's)."""
        for entry, access in self.hosts.items():
            named = urlsplit(f"//{entry}")
            if named.hostname == host.lower().strip("[]"):
                actual = port or DEFAULT_PORTS.get(scheme)
                if actual == named.port or (named.port is None and (scheme, actual) == ("https", 443)):
                    return access
        return None

    @property
    def catalog_dir(self) -> Path:
        """The served static catalogue."""
        return self.data_dir / "catalog"

    @property
    def results_dir(self) -> Path:
        """Published results: one folder an item, inside the served catalogue."""
        return self.catalog_dir / self.results_collection

    @property
    def unpublished_place(self) -> str:
        """Folder of results with `publish` false, under `data_dir` and in object storage; each owner has one."""
        if self._owner is None:
            return "unpublished"
        return f"unpublished/{OWNERS}{hashlib.sha256(self._owner.encode()).hexdigest()[:32]}"

    @property
    def unpublished_dir(self) -> Path:
        """Results of requests with `publish` false: served by address, an owner's to that owner; listed nowhere."""
        return self.data_dir / self.unpublished_place

    @property
    def staging_dir(self) -> Path:
        """Results on their way to object storage."""
        return self.data_dir / "staging"

    @property
    def outbox_dir(self) -> Path:
        """Results that a STAC API has yet to take."""
        return self.data_dir / "outbox"

    @property
    def work_dir(self) -> Path:
        """Finished blocks and calibrated ensembles, kept for resumed and repeated work."""
        return self.data_dir / "work"

    @property
    def blocks_dir(self) -> Path:
        """Finished blocks of unfinished work: one folder a request and stack."""
        return self.work_dir / "blocks"
