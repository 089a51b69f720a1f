"""The doctor on the outside: the public address's certificate, what stands before us, and who signs people in."""

import http.client
import json
import socket
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from urllib.parse import SplitResult, urlsplit

from app.cli.findings import Finding, error, ok, warning

TIMEOUT_SECONDS = 5
CERTIFICATE_ERROR = timedelta(days=7)
CERTIFICATE_WARNING = timedelta(days=21)
ANSWER_BYTES_MAX = 256 * 1024
HEALTH = "/api/v1/health"
DISCOVERY = "/.well-known/openid-configuration"
DISCOVERED = ("authorization_endpoint", "token_endpoint", "jwks_uri")

_FAILURES = (OSError, http.client.HTTPException, ValueError)


def public_address(url: str) -> Iterator[Finding]:
    """Look at the certificate behind the public https address, and at what answers there."""
    parts = urlsplit(url)
    if parts.scheme != "https" or not parts.hostname:
        yield error("TLS", "The public address is no https address.", "Set OVERLEGTAFEL_PUBLIC_URL.")
        return
    try:
        ends = _certificate_end(parts.hostname, parts.port or 443)
    except ssl.SSLCertVerificationError as fault:
        yield error(
            "TLS", f"The certificate is not valid: {fault.verify_message}.", "Renew it, with its whole chain."
        )
        return
    except _FAILURES as fault:
        yield error(
            "TLS",
            f"The public address does not answer over TLS ({type(fault).__name__}).",
            "Look at its name in DNS, the firewall and the proxy.",
        )
        return
    yield _remaining(ends - datetime.now(UTC))
    yield _front(parts)


def _certificate_end(host: str, port: int) -> datetime:
    """Return when the certificate ends, after the usual checks of chain and name."""
    context = ssl.create_default_context()
    with (
        socket.create_connection((host, port), timeout=TIMEOUT_SECONDS) as plain,
        context.wrap_socket(plain, server_hostname=host) as secure,
    ):
        certificate = secure.getpeercert() or {}
    return datetime.fromtimestamp(ssl.cert_time_to_seconds(str(certificate["notAfter"])), UTC)


def _remaining(left: timedelta) -> Finding:
    said = f"The certificate is valid for another {left.days} days."
    if left < CERTIFICATE_ERROR:
        return error("TLS", said, "Renew it now, and see why nothing renewed it.")
    if left < CERTIFICATE_WARNING:
        return warning("TLS", said, "Renew it.")
    return ok("TLS", said)


def _front(parts: SplitResult) -> Finding:
    """Say whether requests to the public address arrive here as the host guard wants them."""
    hint = (
        f"The proxy must end TLS and hand on Host: {parts.hostname} unchanged; X-Forwarded headers are not read, and "
        "no other way to the service's port may be open."
    )
    try:
        status, headers, _ = _get(parts, HEALTH)
    except _FAILURES as fault:
        return warning("proxy", f"Behind the public address nothing answers ({type(fault).__name__}).", hint)
    if status != http.client.OK or headers.get("API-Version") is None:
        return warning(
            "proxy", f"Behind the public address {HEALTH} is answered {status}, not by this service.", hint
        )
    if headers.get("Strict-Transport-Security") is None:
        return warning(
            "proxy", "The answer comes without Strict-Transport-Security.", "The proxy must not remove it."
        )
    return ok("proxy", f"The service answers behind the public address. {hint}")


def identity_provider(issuer: str | None) -> Finding:
    """Look whether the provider's discovery answers and names itself as configured."""
    part = "identity provider"
    if not issuer:
        return ok(part, "None is configured: people sign in with local accounts.")
    parts = urlsplit(issuer)
    if parts.scheme != "https" and parts.hostname not in {"127.0.0.1", "::1", "localhost"}:
        return error(part, "Its address is no https address.", "Anybody between could sign anybody in.")
    try:
        status, _, body = _get(parts, parts.path.rstrip("/") + DISCOVERY)
        said = json.loads(body) if status == http.client.OK else None
    except _FAILURES as fault:
        return error(part, f"Its discovery cannot be read ({type(fault).__name__}).", "Nobody can sign in with it.")
    if not isinstance(said, dict):
        return error(part, f"Its discovery is answered {status} and not a document.", "Look at the issuer's address.")
    if said.get("issuer") != issuer:
        return error(part, "It names another issuer than is configured.", "Both must be the same to the last slash.")
    missing = [name for name in DISCOVERED if not isinstance(said.get(name), str)]
    if missing:
        return error(part, f"Its discovery lacks {', '.join(missing)}.", "It must be an OpenID Connect provider.")
    methods = said.get("code_challenge_methods_supported")
    if not isinstance(methods, list) or "S256" not in methods:
        return warning(part, "Its discovery does not offer PKCE with S256.", "Switch it on at the provider.")
    return ok(part, "Its discovery answers, and names the configured issuer.")


def _get(parts: SplitResult, path: str) -> tuple[int, http.client.HTTPMessage, bytes]:
    """Return status, headers and at most ``ANSWER_BYTES_MAX`` of the body; redirects are not followed."""
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=TIMEOUT_SECONDS)
    try:
        connection.request("GET", path, headers={"Accept": "application/json"})
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read(ANSWER_BYTES_MAX)
    finally:
        connection.close()
