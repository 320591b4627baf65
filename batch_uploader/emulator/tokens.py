"""Authentication: API keys, IAM tokens, and the exchange of a signed JWT for a token."""

import base64
import binascii
import json
import secrets
import time
from collections.abc import Callable, Iterable
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

import grpc
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from msgspec import Struct

from batch_uploader.core.errors import ConfigError
from batch_uploader.emulator.rules import RpcRefusal

AUDIENCE: Final = "https://iam.api.cloud.yandex.net/iam/v1/tokens"
SCOPE: Final = "yc.speech-sense.use"
TOKEN_LIFETIME: Final = 12 * 3600.0
_JWT_LIFETIME: Final = 3600
_SKEW: Final = 60


class RegisteredKey(Struct, frozen=True):
    """The public half of a service account's authorized key."""

    id: str
    service_account_id: str
    public_key: rsa.RSAPublicKey

    @classmethod
    def from_file(cls, path: Path) -> "RegisteredKey":
        """Read the JSON that the vendor's console makes. Raises ConfigError."""
        try:
            content = json.loads(path.read_bytes())
            public = serialization.load_pem_public_key(content["public_key"].encode())
            key = cls(str(content["id"]), str(content["service_account_id"]), _rsa(public))
        except OSError as error:
            raise ConfigError(f"the key file {path} cannot be read ({error.strerror})") from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ConfigError(
                f"{path} is not an authorized key",
                hint="it needs id, service_account_id and public_key",
            ) from error
        return key


class Token(Struct, frozen=True):
    """An IAM token; ``expires_at`` is in seconds since the epoch."""

    text: str
    expires_at: float


class LackedRight(StrEnum):
    """What all accounts or their keys lack."""

    ROLE = "role"
    """The role on the space."""
    SCOPE = "scope"
    """The scope of API keys."""


class Authenticator:
    """Checks credentials; issued tokens are lost when the server ends."""

    def __init__(
        self,
        api_keys: Iterable[str],
        iam_tokens: Iterable[str],
        accounts: Iterable[RegisteredKey],
        token_lifetime: float = TOKEN_LIFETIME,
        *,
        clock: Callable[[], float] = time.time,
        missing: frozenset[LackedRight] = frozenset(),
    ) -> None:
        self._schemes = {"api-key": frozenset(api_keys), "bearer": frozenset(iam_tokens)}
        self._accounts = {account.id: account for account in accounts}
        self._lifetime = token_lifetime
        self.clock = clock
        self.missing = missing
        self._issued: dict[str, float] = {}
        self.revoked = False
        """While true, all requests are refused, and tokens are not issued."""

    def admit(self, authorization: str | None) -> None:
        """Raise RpcRefusal unless the header has a valid credential."""
        if not authorization:
            raise _unauthenticated("The authorization metadata is missing")
        scheme, _, secret = authorization.partition(" ")
        scheme = scheme.lower()
        if scheme not in self._schemes or not secret:
            raise _unauthenticated("The authorization metadata is neither Api-Key nor Bearer")
        if self.revoked:
            raise _unauthenticated("The credentials have been revoked")
        self._know(scheme, secret)
        if scheme == "api-key" and LackedRight.SCOPE in self.missing:
            raise _denied(f"The API key lacks the scope {SCOPE}")
        if LackedRight.ROLE in self.missing:
            raise _denied("Permission to [speech-sense.space emulator] denied")

    def _know(self, scheme: str, secret: str) -> None:
        if secret in self._schemes[scheme]:
            return
        expires_at = self._issued.get(secret) if scheme == "bearer" else None
        if expires_at is None:
            raise _unauthenticated("The credentials are unknown")
        if expires_at <= self.clock():
            raise _unauthenticated("The IAM token has expired")

    def exchange(self, jwt: str) -> Token:
        """A new token for a JWT signed by one of the declared accounts."""
        if self.revoked:
            raise _unauthenticated("The key has been revoked")
        self._verify(jwt)
        return self.issue()

    def issue(self) -> Token:
        """A new token, as for the service account of a virtual machine."""
        now = self.clock()
        self._issued = {text: until for text, until in self._issued.items() if until > now}
        token = Token("t1." + secrets.token_urlsafe(48), now + self._lifetime)
        self._issued[token.text] = token.expires_at
        return token

    def forget(self) -> None:
        """Revoke all tokens that were issued so far."""
        self._issued.clear()

    def _verify(self, jwt: str) -> None:
        try:
            head, body, signature = jwt.split(".")
            header, claims = (_json_part(part) for part in (head, body))
            signed, mark = f"{head}.{body}".encode("ascii"), _decode(signature)
        except ValueError:
            raise _unauthenticated("The JWT is malformed") from None
        if header.get("alg") != "PS256":
            raise _unauthenticated("The JWT is not signed with PS256")
        account = self._accounts.get(str(header.get("kid")))
        if account is None:
            raise _unauthenticated("The JWT names an unknown key in kid")
        pss = padding.PSS(padding.MGF1(hashes.SHA256()), hashes.SHA256.digest_size)
        try:
            account.public_key.verify(mark, signed, pss, hashes.SHA256())
        except InvalidSignature:
            raise _unauthenticated("The signature of the JWT does not fit its key") from None
        if claims.get("iss") != account.service_account_id:
            raise _unauthenticated("The JWT is not issued by the key's service account")
        if claims.get("aud") != AUDIENCE:
            raise _unauthenticated(f"The audience of the JWT is not {AUDIENCE}")
        self._check_times(claims)

    def _check_times(self, claims: dict[str, Any]) -> None:
        issued, expires = claims.get("iat"), claims.get("exp")
        if not isinstance(issued, int | float) or not isinstance(expires, int | float):
            raise _unauthenticated("The JWT lacks iat or exp")
        now = self.clock()
        if not issued - _SKEW <= now < expires:
            raise _unauthenticated("The JWT is not valid at this time")
        if expires - issued > _JWT_LIFETIME:
            raise _unauthenticated("The JWT lives longer than an hour")


def _denied(message: str) -> RpcRefusal:
    return RpcRefusal(grpc.StatusCode.PERMISSION_DENIED, message)


def _unauthenticated(message: str) -> RpcRefusal:
    return RpcRefusal(grpc.StatusCode.UNAUTHENTICATED, message)


def _rsa(key: object) -> rsa.RSAPublicKey:
    if not isinstance(key, rsa.RSAPublicKey):
        raise TypeError("not an RSA key")
    return key


def _decode(part: str) -> bytes:
    try:
        return base64.b64decode(part + "=" * (-len(part) % 4), altchars="-_", validate=True)
    except binascii.Error:
        raise ValueError("not base64") from None


def _json_part(part: str) -> dict[str, Any]:
    try:
        value = json.loads(_decode(part))
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(value, dict):
        raise ValueError("not an object")  # noqa: TRY004 - malformed input like any other
    return value
