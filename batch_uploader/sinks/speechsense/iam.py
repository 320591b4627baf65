"""IAM tokens for a service account: its authorized key signs a JWT, which IAM exchanges.

cryptography is imported only with such a key: the import takes half as long as gRPC's.
"""

import base64
import json
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, Self

import grpc
from google.protobuf.message import DecodeError
from msgspec import Struct

from batch_uploader.core.errors import ConfigError, NotSent, SinkError, Unauthorized
from batch_uploader.sinks.speechsense import wire
from batch_uploader.sinks.speechsense.channel import Endpoint, named, open_channel
from batch_uploader.sinks.speechsense.evidence import Extent, classify, never_left, stand_in
from batch_uploader.sinks.speechsense.redaction import remember
from batch_uploader.sinks.speechsense.refusals import refused_by_issuer
from batch_uploader.sinks.speechsense.renewal import IssuedToken
from batch_uploader.sinks.speechsense.rpc_result import (
    RpcResult,
    request_id,
    retry_after,
    unreadable,
)
from batch_uploader.sinks.speechsense.secret import is_secret

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

DEFAULT_IAM_ENDPOINT: Final = Endpoint("iam.api.cloud.yandex.net", 443)

_AUDIENCE: Final = "https://iam.api.cloud.yandex.net/iam/v1/tokens"
_JWT_LIFE: Final = 3600
_TIMEOUT: Final = 30.0
_SALT: Final = 32
_REFUSED: Final = frozenset(
    {
        grpc.StatusCode.UNAUTHENTICATED,
        grpc.StatusCode.PERMISSION_DENIED,
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.NOT_FOUND,
        grpc.StatusCode.FAILED_PRECONDITION,
    }
)


class AuthorizedKey(Struct, frozen=True):
    """The authorized key of a service account. Printing it does not show the private key."""

    id: str
    service_account_id: str
    private_key: "RSAPrivateKey"

    @classmethod
    def parse(cls, text: str, name: str) -> Self:
        """Read the JSON that the console makes; ``name`` is used in errors.

        Raises ConfigError, which does not show the content.
        """
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
        from cryptography.hazmat.primitives.serialization import load_pem_private_key

        refusal = ConfigError(
            f"{name} is not an authorized key",
            hint="create one: yc iam key create --service-account-name NAME --output FILE",
        )
        try:
            content = json.loads(text)
            key_id, account, pem = (
                content[part] for part in ("id", "service_account_id", "private_key")
            )
            key = load_pem_private_key(pem.encode(), password=None)
        except (
            ValueError,
            TypeError,
            LookupError,
            AttributeError,
            RecursionError,
            UnsupportedAlgorithm,
        ):
            # The cause may quote the secret.
            raise refusal from None
        if not (isinstance(key, RSAPrivateKey) and is_secret(key_id) and is_secret(account)):
            raise refusal
        return cls(key_id, account, key)

    def sign(self, now: float) -> str:
        """A JWT that is valid for an hour from ``now``, in seconds since the epoch."""
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import padding

        issued = int(now)
        header = {"typ": "JWT", "alg": "PS256", "kid": self.id}
        claims = {
            "iss": self.service_account_id,
            "aud": _AUDIENCE,
            "iat": issued,
            "exp": issued + _JWT_LIFE,
        }
        signed = f"{_part(header)}.{_part(claims)}"
        pss = padding.PSS(padding.MGF1(hashes.SHA256()), _SALT)
        signature = self.private_key.sign(signed.encode(), pss, hashes.SHA256())
        return f"{signed}.{_base64(signature)}"


async def exchange(key: AuthorizedKey, endpoint: Endpoint) -> IssuedToken:
    """Request a token from IAM. Raises Unauthorized if IAM refuses the key, else NotSent."""
    now = time.time()
    jwt = key.sign(now)
    remember(jwt)
    request = wire.CreateIamTokenRequest(jwt=jwt).SerializeToString()
    async with open_channel(endpoint) as channel:
        create: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(
            wire.CREATE_IAM_TOKEN
        )
        try:
            answer = await create(request, timeout=_TIMEOUT)
        except grpc.aio.AioRpcError as error:
            raise _refusal(RpcResult.of(error), endpoint, now) from None
        except Exception as error:  # noqa: BLE001 - gRPC may raise anything
            raise _refusal(unreadable(error), endpoint, now) from None
    try:
        issued = wire.CreateIamTokenResponse.FromString(answer)
    except (DecodeError, TypeError):  # gRPC returns None for an answer without a message
        issued = wire.CreateIamTokenResponse()
    if not is_secret(issued.iam_token):
        raise NotSent(
            f"{named(endpoint)} returned no IAM token",
            hint="check the IAM endpoint",
            code="IAM_TOKEN_UNAVAILABLE",
        )
    remember(issued.iam_token)
    expires_at = issued.expires_at.seconds + issued.expires_at.nanos / 1e9
    return IssuedToken(issued.iam_token, expires_at - now)


def _refusal(answer: RpcResult, endpoint: Endpoint, now: float) -> SinkError:
    where = named(endpoint)
    if never_left(answer):
        return classify(answer, extent=Extent.PART, where=f"{where}, which issues the IAM tokens,")
    kind: type[SinkError] = NotSent
    hints: tuple[str, ...] = ("check the network",)
    fault, problem = "", f"{where} did not issue an IAM token"
    if other := stand_in(answer, where):
        problem, hints = other, ("check the IAM endpoint and what is in between",)
    elif answer.code is grpc.StatusCode.UNIMPLEMENTED:
        kind, problem = Unauthorized, f"{where} does not issue IAM tokens"
        hints = ("check the IAM endpoint",)
    elif answer.code in _REFUSED:
        kind = Unauthorized
        fault, problem, hints = refused_by_issuer(answer, where, now)
    return kind(
        f'{problem} ("{answer.quote()}")',
        hint=hints,
        code=answer.code.name,
        fault=fault,
        request_id=request_id(answer.metadata),
        retry_after=retry_after(answer.metadata),
    )


def _part(content: Mapping[str, object]) -> str:
    return _base64(json.dumps(content, separators=(",", ":")).encode())


def _base64(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode("ascii")
