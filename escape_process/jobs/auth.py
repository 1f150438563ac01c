"""Who asks: bearer tokens of the operator's or of an OpenID Connect provider, and jobs private to their owner.

What needs a token is whatever is not listed as public here, so that a new route is private until someone says
otherwise. Without `auth` in the settings everybody may do everything, and every job is everybody's.
"""

import hmac
import logging

import jwt
from flask import Flask, Response, current_app, g, has_request_context, request
from pygeoapi.process.base import JobNotFoundError

from escape_process.jobs import parameters
from escape_process.jobs.manager import JobManager
from escape_process.jobs.problems import problem_response
from escape_process.jobs.store import Job
from escape_process.settings import Auth
from escape_process.viewer import PUBLIC, RESULTS

LOGGER = logging.getLogger(__name__)

LONE_OWNER = "token"
"""Owner of all jobs where the operator set one token without a name."""
JWKS_SECONDS = 5.0
"""How long to wait for the provider's keys, which are kept for five minutes."""
CLOCK_SECONDS = 30
"""By how much the provider's clock may differ from ours."""

_PUBLIC = frozenset(
    {"pygeoapi.landing_page", "pygeoapi.conformance", "pygeoapi.openapi", "pygeoapi.get_processes"}
    | {"pygeoapi.static", "static", "health_live", "health_ready"}
    | PUBLIC
)
_CATALOG = frozenset({"catalog_file"})
_EXTENSION = "escape-auth"


class TokenError(Exception):
    """A request without a token that counts; the message is for the client."""

    def __init__(self, sentence: str, status: int = 401, reason: str | None = None) -> None:
        super().__init__(sentence)
        self.status = status
        self.reason = reason
        """`error` of the WWW-Authenticate header (RFC 6750); none where no token came."""

    def response(self) -> Response:
        """Return the answer."""
        if self.status != 401:
            return problem_response(self.status, "ServiceUnavailable", str(self))
        response = problem_response(401, "Unauthorized", str(self))
        reason = "" if self.reason is None else f', error="{self.reason}"'
        response.headers["WWW-Authenticate"] = f'Bearer realm="escape"{reason}'
        return response


class Authenticator:
    """Tells the owner of a bearer token."""

    def __init__(self, auth: Auth) -> None:
        self._auth = auth
        tokens = auth.token if isinstance(auth.token, dict) else {} if auth.token is None else {LONE_OWNER: auth.token}
        self._tokens = {name: token.get_secret_value().encode() for name, token in tokens.items()}
        self._keys = None if auth.jwks_url is None else jwt.PyJWKClient(auth.jwks_url, timeout=JWKS_SECONDS)

    def owner_of(self, header: str | None) -> str:
        """Return whose token an Authorization header holds.

        Raises
        ------
        TokenError
            where it holds none that counts, or the provider's keys cannot be had.
        """
        scheme, _, token = (header or "").partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not token:
            raise TokenError("This needs a token: send it as Authorization: Bearer TOKEN.")
        if self._keys is not None:
            return self._subject_of(token, self._keys)
        found = [name for name, known in self._tokens.items() if hmac.compare_digest(known, token.encode())]
        if not found:
            raise TokenError("The token is not valid: ask the operator for one.", reason="invalid_token")
        return found[0]

    def _subject_of(self, token: str, keys: jwt.PyJWKClient) -> str:
        try:
            claims = jwt.decode(
                token,
                keys.get_signing_key_from_jwt(token),
                algorithms=list(self._auth.algorithms),
                audience=self._auth.audience,
                issuer=self._auth.issuer,
                leeway=CLOCK_SECONDS,
                options={"require": ["exp", "iss", "aud", "sub"]},
            )
        except jwt.ExpiredSignatureError as error:
            raise TokenError("The token has expired: ask for a new one.", reason="invalid_token") from error
        except jwt.PyJWKClientConnectionError as error:
            LOGGER.warning("The provider's keys cannot be read: %s", error)
            raise TokenError("Tokens cannot be checked at present; try again later.", status=503) from error
        except (jwt.PyJWTError, ValueError) as error:
            LOGGER.info("A token was refused: %s", type(error).__name__)
            raise TokenError(
                "The token is not valid here: it must come from this service's provider and be made for this service.",
                reason="invalid_token",
            ) from error
        subject = claims["sub"]
        if not isinstance(subject, str) or not subject:
            raise TokenError("The token names no subject.", reason="invalid_token")
        return subject


def install_auth(app: Flask, manager: JobManager, auth: Auth | None) -> None:
    """Ask for a token wherever one is needed, and let nobody see the job of another."""
    if auth is None:
        return
    authenticator = Authenticator(auth)
    public = _PUBLIC if auth.catalog else _PUBLIC | _CATALOG
    open_to_all = frozenset() if auth.catalog else RESULTS
    app.extensions[_EXTENSION] = authenticator

    def check_token() -> Response | None:
        # without a route there is nothing to protect; browsers ask for OPTIONS before they send a token
        if request.endpoint is None or request.endpoint in public or request.method == "OPTIONS":
            return None
        if "Authorization" not in request.headers and (request.endpoint in open_to_all or _asks_for_job_page()):
            return None
        try:
            g.owner = authenticator.owner_of(request.headers.get("Authorization"))
        except TokenError as error:
            return error.response()
        job_id = (request.view_args or {}).get("job_id")
        if job_id is not None and not may_see(manager.store.get(job_id)):
            raise JobNotFoundError(f"There is no job {job_id}.")  # what a job that never was is answered with
        return None

    app.before_request(check_token)


def _asks_for_job_page() -> bool:
    """Tell whether a browser asks for the page of jobs, which says nothing of them before it is given a token."""
    is_jobs = request.endpoint == "pygeoapi.get_jobs"
    return is_jobs and request.method in ("GET", "HEAD") and parameters.wants_html()


def is_anonymous() -> bool:
    """Tell whether the request at hand was let through without a token although tokens are asked for."""
    return _EXTENSION in current_app.extensions and owner() is None


def owner() -> str | None:
    """Return whose token the request at hand holds; None where none is asked for, or outside of a request."""
    return g.get("owner") if has_request_context() else None


def may_see(job: Job) -> bool:
    """Tell whether the client of the request at hand may know of a job."""
    if not has_request_context() or _EXTENSION not in current_app.extensions:
        return True
    return job.owner is not None and job.owner == owner()
