"""Tokens bound to a key: whoever shows one proves that it holds the key, once for each request.

Source: RFC 9449, section 7; RFC 9700, section 2.2.1.
"""

from starlette.requests import Request

from app.api.deps import Services
from app.identity import oauth
from app.identity.oauth import ProofRefused
from app.identity.tokens import Claims, TokenFault, TokenInvalid

SCHEME = b"dpop "


async def require_possession(request: Request, services: Services, claims: Claims) -> None:
    """Let a bound token through with a proof of its key alone, and an unbound one as a bearer token alone.

    Raises:
        TokenInvalid: the scheme is not the token's, or the proof is missing, of another key or request, or used.
    """
    credential = next((value for name, value in request.scope["headers"] if name == b"authorization"), b"")
    as_bound = credential[: len(SCHEME)].lower() == SCHEME
    if as_bound != (claims.cnf is not None):
        raise TokenInvalid(TokenFault.POSSESSION)
    if claims.cnf is None:
        return
    proofs = request.headers.getlist("dpop")
    if len(proofs) != 1:
        raise TokenInvalid(TokenFault.POSSESSION)
    token = credential[len(SCHEME) :].decode("latin-1")
    url = services.settings.base_url + request.scope["path"]
    try:
        proof = await oauth.prove(services.oauth, proofs[0], method=request.method, url=url, token=token)
    except ProofRefused:
        raise TokenInvalid(TokenFault.POSSESSION) from None
    if proof.jkt != claims.cnf:
        raise TokenInvalid(TokenFault.POSSESSION)
