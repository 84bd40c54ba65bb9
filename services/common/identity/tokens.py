"""Signed tokens: JSON Web Tokens (RFC 7519), their keys from a JWKS file (RFC 7517)."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jwt

from services.common.clock import Clock
from services.common.errors import InvalidArgument, Unauthenticated

AUDIENCE = "zhengming"
ALGORITHMS = ("EdDSA", "ES256", "RS256")
"""Signatures by private keys only: a shared secret or `none` proves nothing."""
MAX_TOKEN_CHARS = 4_096
LEEWAY_S = 30


def read_keys(path: Path) -> Mapping[str, jwt.PyJWK]:
    """Public keys by key id.

    Raises:
        InvalidArgument: FILE_UNREADABLE.
    """
    try:
        keys = jwt.PyJWKSet.from_dict(json.loads(path.read_text(encoding="utf-8"))).keys
        found = {key.key_id: key for key in keys if key.key_id}
        if not found:
            raise ValueError("no key has a kid")
    except (OSError, ValueError, AttributeError, jwt.PyJWTError) as error:
        raise InvalidArgument(
            "FILE_UNREADABLE",
            f"{path} is no JSON Web Key Set: {error}",
            file=path.name,
            cause=type(error).__name__,
        ) from None
    return found


def subject(token: str, keys: Mapping[str, jwt.PyJWK], clock: Clock) -> str:
    """Whose token it is: signed by a key of ours, for us, in force now.

    Raises:
        Unauthenticated: UNAUTHENTICATED; its cause is the kind of failure, never the token.
    """
    try:
        if len(token) > MAX_TOKEN_CHARS:
            raise jwt.InvalidTokenError("too long")
        key = keys[jwt.get_unverified_header(token)["kid"]]
        claims: dict[str, Any] = jwt.decode(
            token,
            key,
            algorithms=list(ALGORITHMS),
            audience=AUDIENCE,
            options={
                "require": ["exp", "sub", "aud"],
                "verify_exp": False,
                "verify_nbf": False,
                "verify_iat": False,
            },
        )
        now_s = clock() / 1000
        if float(claims["exp"]) + LEEWAY_S < now_s:
            raise jwt.ExpiredSignatureError
        if float(claims.get("nbf", 0)) - LEEWAY_S > now_s:
            raise jwt.ImmatureSignatureError
        return str(claims["sub"])
    except (jwt.PyJWTError, KeyError, TypeError, ValueError) as error:
        cause = type(error).__name__
        raise Unauthenticated(
            "UNAUTHENTICATED", f"the token is not accepted: {cause}", cause=cause
        ) from None
