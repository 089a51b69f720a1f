"""Configuration: one class, read once from the environment, unknown keys refused, secrets never printed."""

import os
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import ip_address, ip_network
from pathlib import Path
from types import MappingProxyType
from typing import Self
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from pydantic import Field, SecretStr, TypeAdapter, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict
from pydantic_settings import SettingsError as UnreadableSetting

from app.core.providers import OidcProvider

PREFIX = "OVERLEGTAFEL_"
SOCKET_RATE_DEFAULT = 50
SOCKET_RATE_MAX_PRODUCTION = 500
BSN_LOOK_UPS_MAX_PRODUCTION = 600
WAMS_REFUSED = (
    f"{PREFIX}WAMS cannot be switched on: that the act (bill 36 295) is in force is not confirmed, and no table says"
    " which cells it would open; leave it out, and ask for consent."
)
"""Why the ground ``wams`` opens nothing. Source: DOMAIN R-42; ADR 0011."""

_PROVIDERS = TypeAdapter(tuple[OidcProvider, ...])


class Mode(StrEnum):
    """What kind of deployment this is."""

    DEMO = "demo"
    PRODUCTION = "production"


@dataclass(frozen=True, slots=True)
class RequestLimits:
    """How often one may ask: a second and at once, of a session and of a source that nobody stands for.

    ``bsn_look_ups`` are an account's within ten minutes.
    """

    session_rate: int
    session_burst: int
    public_rate: int
    public_burst: int
    bsn_look_ups: int


LIMITS = MappingProxyType(
    {
        Mode.PRODUCTION: RequestLimits(50, 500, 10, 100, 60),
        # A persona of the demo stands for a whole room of people, and for the programs that they try.
        Mode.DEMO: RequestLimits(2_000, 20_000, 100, 1_000, 600),
    }
)


class PlatformConsent(StrEnum):
    """What taking part at all asks of a citizen. Source: Wabvpz 15a; issue 3 of 11, part 3."""

    REQUIRED = "required"
    INFORMED = "informed"


class SettingsError(Exception):
    """The configuration cannot be used; the message is one or more sentences for the operator."""


class Settings(BaseSettings):
    """Everything an operator can set, as ``OVERLEGTAFEL_<NAME>``.

    ``database_url`` logs in as role ``app``. ``appender_url`` and ``stream_url`` default to the same address and
    password with the user names ``appender`` and ``stream``. ``migration_url`` is the owner's, for migration only.
    Rates, bursts and look-ups are explained at ``RequestLimits``; ``token_refusals`` are those of a source that are
    recorded one by one within a minute. ``fetch_ports`` are where key sets of others may be published.
    ``trusted_proxies`` are the addresses or networks whose ``X-Forwarded-For`` says where a request comes from;
    without them it is whoever connects.
    ``platform_consent`` says whether citizens agree to taking part before others than the opening organisation see
    anything of them, or are informed; required unless told otherwise, and informed in the demo.
    ``wams`` is off, and cannot be switched on: ``WAMS_REFUSED`` says why.
    ``oidc_timeout_seconds`` bounds each step of a request to a provider; the whole may take twice as long.
    """

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="forbid", frozen=True)

    mode: Mode = Mode.DEMO
    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65535)
    public_url: str = ""
    allowed_origins: tuple[str, ...] = ()
    allowed_hosts: tuple[str, ...] = ()
    trusted_proxies: tuple[str, ...] = ()
    workers: int = Field(default=1, ge=1, le=64)
    data_dir: Path | None = None
    key_dir: Path | None = None
    database_url: SecretStr | None = None
    appender_url: SecretStr | None = None
    stream_url: SecretStr | None = None
    migration_url: SecretStr | None = None
    socket_rate: int = Field(default=SOCKET_RATE_DEFAULT, ge=1)
    session_rate: int | None = Field(default=None, ge=1)
    session_burst: int | None = Field(default=None, ge=1)
    public_rate: int | None = Field(default=None, ge=1)
    public_burst: int | None = Field(default=None, ge=1)
    bsn_look_ups: int | None = Field(default=None, ge=1)
    token_refusals: int = Field(default=60, ge=1)
    fetch_ports: tuple[int, ...] = (443, 8443)
    fetch_loopback: bool = False
    log_level: str = Field(default="INFO", pattern="^(DEBUG|INFO|WARNING|ERROR)$")
    audit_source: str = Field(default="overlegtafel", pattern="^[a-z0-9-]{1,64}$")
    consent_renewal_days: int = Field(default=90, ge=0, le=366)
    break_glass_review_days: int = Field(default=7, ge=1, le=60)
    platform_consent: PlatformConsent | None = None
    wams: bool = False
    oidc_providers: tuple[OidcProvider, ...] = ()
    oidc_providers_file: Path | None = None
    oidc_timeout_seconds: float = Field(default=5.0, gt=0, le=60)

    @field_validator("trusted_proxies")
    @classmethod
    def _networks(cls, given: tuple[str, ...]) -> tuple[str, ...]:
        for network in given:
            if ip_network(network, strict=False).prefixlen == 0:
                raise ValueError("Whoever connects is no proxy: name addresses or networks.")
        return given

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        faults = self._production_faults() if self.mode is Mode.PRODUCTION else self._demo_faults()
        if self.wams:
            faults.append(WAMS_REFUSED)
        if faults:
            raise ValueError(" ".join(faults))
        return self

    def _demo_faults(self) -> list[str]:
        """Return a sentence for each sign that this is no demo: its tokens let anybody in."""
        served = (self.public_url, *self.allowed_origins)
        if any(address.startswith("https://") for address in served):
            return [
                "The demo lets anybody sign in, so it refuses an https address: set OVERLEGTAFEL_MODE=production."
            ]
        if self.database_url is not None and "sslmode=verify-full" in self.database_url.get_secret_value():
            return ["The demo refuses a database behind verified TLS: set OVERLEGTAFEL_MODE=production."]
        return []

    def _production_faults(self) -> list[str]:
        """Return a sentence for each setting that would be unsafe in production."""
        faults = []
        if self.database_url is None:
            faults.append("Production needs OVERLEGTAFEL_DATABASE_URL; the embedded database is for one machine.")
        elif not transport_is_safe(self.database_url.get_secret_value()):
            faults.append("OVERLEGTAFEL_DATABASE_URL must use sslmode=verify-full or a local socket in production.")
        if self.key_dir is None:
            faults.append("Production needs OVERLEGTAFEL_KEY_DIR, a key folder outside the data folder.")
        elif self.data_dir is not None and self.key_dir.resolve().is_relative_to(self.data_dir.resolve()):
            faults.append("OVERLEGTAFEL_KEY_DIR must not lie inside OVERLEGTAFEL_DATA_DIR in production.")
        if not self.public_url.startswith("https://"):
            faults.append("OVERLEGTAFEL_PUBLIC_URL must be an https address in production.")
        if self.fetch_loopback:
            faults.append("OVERLEGTAFEL_FETCH_LOOPBACK is for tests; production fetches nothing from itself.")
        if self.limits.bsn_look_ups > BSN_LOOK_UPS_MAX_PRODUCTION:
            faults.append(f"OVERLEGTAFEL_BSN_LOOK_UPS may not exceed {BSN_LOOK_UPS_MAX_PRODUCTION} in production.")
        if self.socket_rate > SOCKET_RATE_MAX_PRODUCTION:
            faults.append(f"OVERLEGTAFEL_SOCKET_RATE may not exceed {SOCKET_RATE_MAX_PRODUCTION} in production.")
        if any(not origin.startswith("https://") for origin in self.allowed_origins):
            faults.append("OVERLEGTAFEL_ALLOWED_ORIGINS may hold only https origins in production.")
        return faults

    @property
    def demo(self) -> bool:
        """Whether demo personas and demo tokens exist."""
        return self.mode is Mode.DEMO

    @property
    def asked_of_citizens(self) -> PlatformConsent:
        """What taking part at all asks of citizens: what is set, else what suits the mode."""
        return self.platform_consent or (PlatformConsent.INFORMED if self.demo else PlatformConsent.REQUIRED)

    @property
    def limits(self) -> RequestLimits:
        """How often one may ask: what is set, else what suits the mode."""
        usual = LIMITS[self.mode]
        return RequestLimits(
            session_rate=self.session_rate or usual.session_rate,
            session_burst=self.session_burst or usual.session_burst,
            public_rate=self.public_rate or usual.public_rate,
            public_burst=self.public_burst or usual.public_burst,
            bsn_look_ups=self.bsn_look_ups or usual.bsn_look_ups,
        )

    @property
    def base_url(self) -> str:
        """The address clients use, without a trailing slash."""
        return (self.public_url or f"http://127.0.0.1:{self.port}").rstrip("/")

    @property
    def socket_url(self) -> str:
        """The absolute WebSocket address: ``ws`` or ``wss`` as the public URL is http or https."""
        return "ws" + self.base_url.removeprefix("http") + "/api/v1/realtime"

    @property
    def origins(self) -> frozenset[str]:
        """The browser origins that may open a socket."""
        if self.allowed_origins:
            return frozenset(self.allowed_origins)
        own = {self.base_url}
        if not self.public_url:
            own.add(f"http://localhost:{self.port}")
        return frozenset(own)

    @property
    def hosts(self) -> frozenset[str]:
        """The host names that requests may name, without port."""
        if self.allowed_hosts:
            return frozenset(self.allowed_hosts)
        own = {urlsplit(self.base_url).hostname or "127.0.0.1"}
        if not self.public_url:
            own |= {"localhost", "127.0.0.1", "::1"}
        return frozenset(own)

    def identity_providers(self) -> tuple[OidcProvider, ...]:
        """Return the OpenID providers that one can log in with, from the variable and then from the file.

        Raises:
            SettingsError: the file cannot be read, or two providers share a key or an issuer.
        """
        found = self.oidc_providers
        if self.oidc_providers_file is not None:
            try:
                found += _PROVIDERS.validate_json(self.oidc_providers_file.read_bytes())
            except ValidationError as error:
                said = " ".join(_sentence(item, "OIDC_PROVIDERS_FILE") for item in error.errors(include_input=False))
                raise SettingsError(said) from None
            except OSError:
                raise SettingsError(f"{PREFIX}OIDC_PROVIDERS_FILE cannot be read.") from None
        for names in ([one.key for one in found], [one.issuer for one in found]):
            if len(set(names)) < len(names):
                raise SettingsError(f"{PREFIX}OIDC_PROVIDERS: two providers share a key or an issuer.")
        return found

    def role_url(self, role: str) -> str:
        """Return the connection URL of ``app``, ``appender`` or ``stream``.

        Raises:
            SettingsError: no database is configured.
        """
        if self.database_url is None:
            raise SettingsError("No database is configured.")
        own = {"appender": self.appender_url, "stream": self.stream_url}.get(role)
        if own is not None:
            return own.get_secret_value()
        base = self.database_url.get_secret_value()
        return base if role == "app" else _with_user(base, role)


def _with_user(url: str, user: str) -> str:
    parts = urlsplit(url)
    credentials, at, address = parts.netloc.rpartition("@")
    password = credentials.partition(":")[2] if at else ""
    name = quote(user) + (f":{password}" if password else "")
    return urlunsplit(parts._replace(netloc=f"{name}@{address}"))


def transport_is_safe(url: str) -> bool:
    """Whether nobody can stand between us and the database: verified TLS, or it never leaves this machine."""
    parts = urlsplit(url)
    if "sslmode=verify-full" in parts.query:
        return True
    host = parts.hostname
    if not host:
        return "host=/" in unquote(parts.query)
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def load_settings(**overrides: object) -> Settings:
    """Read the settings from the environment; ``overrides`` win.

    Raises:
        SettingsError: an unknown ``OVERLEGTAFEL_`` variable, a bad value, or an unsafe combination. The message
            names the setting and never shows a value.
    """
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    unknown = sorted(name for name in os.environ if name.upper().startswith(PREFIX) and name.upper() not in known)
    if unknown:
        raise SettingsError(f"Unknown setting {', '.join(unknown)}. Known are: {', '.join(sorted(known))}.")
    try:
        return Settings(**overrides)  # type: ignore[arg-type]  # pydantic validates each value itself
    except ValidationError as error:
        raise SettingsError(" ".join(_sentence(item) for item in error.errors())) from None
    except UnreadableSetting:
        raise SettingsError(f"A {PREFIX} setting that takes JSON holds something else.") from None


def _sentence(item: object, within: str = "") -> str:
    detail = item if isinstance(item, dict) else {}
    parts = [within] if within else []
    name = "_".join([*parts, *(str(part) for part in detail.get("loc", ()))]).upper()
    text = str(detail.get("msg", "not valid")).removeprefix("Value error, ")
    return f"{PREFIX}{name}: {text}." if name else text
