"""Where results go beside this server's own disk and catalogue: part of the operator's settings."""

from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, model_validator


def _check_secret(secret: SecretStr) -> SecretStr:
    value = secret.get_secret_value()
    if not value:
        raise ValueError("is empty")
    if "${" in value:
        raise ValueError("names an environment variable in quotes: write it without them")
    if not value.isprintable():
        raise ValueError("holds a character that no header can hold")
    return secret


Secret = Annotated[SecretStr, AfterValidator(_check_secret)]
"""Written as ${NAME}, an environment variable, without quotes."""

Address = Annotated[str, Field(pattern=r"^https?://[^\s/?#]+[^\s?#]*$"), AfterValidator(lambda url: url.rstrip("/"))]
"""Where paths are appended: no query."""


class StacApi(BaseModel):
    """A STAC API with the Transaction extension that results are published to."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: Address
    """Its landing page."""
    token: Secret | None = None
    """Sent as `Authorization: Bearer ...`."""
    headers: dict[Annotated[str, Field(pattern=r"^[A-Za-z0-9-]+$")], Secret] = {}
    """Further headers of every request, such as an API key."""


class Bucket(BaseModel):
    """A bucket of S3-compatible object storage, or what lies in it under a prefix."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: Annotated[str, Field(pattern=r"^s3://[A-Za-z0-9][A-Za-z0-9._-]+(/[^/\s?#]+)*/?$")]
    """`s3://BUCKET` or `s3://BUCKET/PREFIX`."""
    endpoint: Address | None = None
    """Address of the storage service; None: that of AWS."""
    region: str = "us-east-1"
    key_id: Secret | None = None
    """None: the credentials that the environment or the machine's role gives."""
    secret: Secret | None = None
    anonymous: bool = False
    """Whether requests go unsigned: for public buckets."""

    @model_validator(mode="after")
    def _credentials_are_whole(self) -> Self:
        if (self.key_id is None) != (self.secret is None):
            raise ValueError("needs both of key_id and secret, or neither")
        if self.anonymous and self.key_id is not None:
            raise ValueError("takes key_id and secret, or anonymous, not both")
        return self

    @property
    def name(self) -> str:
        """The bucket's name."""
        return self.url.removeprefix("s3://").partition("/")[0]

    @property
    def place(self) -> str:
        """The URL without a slash at its end."""
        return self.url.rstrip("/")

    def holds(self, href: str) -> bool:
        """Tell whether an s3 address lies in here."""
        return href == self.place or href.startswith(f"{self.place}/")


class ObjectStorage(Bucket):
    """Where the files of results are kept instead of on this server's disk."""

    public_url: Address | None = None
    """Address under which everybody reads what lies under `url`; result hrefs start with it."""
    presign: Annotated[int, Field(ge=1, le=7 * 24 * 3600)] | None = None
    """Seconds for which a link is valid: result hrefs are then this server's, which answers with a signed link."""

    @model_validator(mode="after")
    def _one_kind_of_href(self) -> Self:
        if self.public_url is not None and self.presign is not None:
            raise ValueError("takes public_url or presign, not both")
        if self.anonymous:
            raise ValueError("cannot be anonymous: results are written to it")
        return self
