"""What an operator says about an external OpenID provider: who it is, who we are to it, and what it proves."""

from enum import StrEnum
from ipaddress import ip_address
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator
from pydantic.alias_generators import to_camel

LOG_IN_MAX_AGE = 900


class Audience(StrEnum):
    """For whom a provider is."""

    PROFESSIONALS = "professionals"
    CITIZENS = "citizens"


class OidcProvider(BaseModel):
    """One provider. JSON names are lowerCamelCase.

    The provider is told by ``issuer``, which must equal what it says of itself to the letter. We show who we are with
    ``client_secret``, or with a signature by the P-256 key in the PEM file ``private_key_file`` (named
    ``private_key_id``). A log-in counts as two factors when its ``acr`` is one of ``acr_values`` or its ``amr`` holds
    one of ``amr_values``; without either it never does. ``max_age_seconds`` bounds how long ago the person logged in
    there. ``label`` is what people read, in Dutch.
    """

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True)

    key: str = Field(pattern=r"^[a-z0-9-]{1,32}$")
    issuer: str = Field(max_length=512)
    client_id: str = Field(min_length=1, max_length=256)
    client_secret: SecretStr | None = None
    private_key_file: Path | None = None
    private_key_id: str | None = Field(default=None, max_length=64)
    scopes: tuple[str, ...] = ("openid",)
    acr_values: tuple[str, ...] = ()
    amr_values: tuple[str, ...] = ()
    audience: Audience = Audience.PROFESSIONALS
    label: str = Field(min_length=1, max_length=100)
    max_age_seconds: int = Field(default=LOG_IN_MAX_AGE, ge=0, le=12 * 3600)

    @model_validator(mode="after")
    def _usable(self) -> Self:
        if not is_safe_address(self.issuer) or urlsplit(self.issuer).query or self.issuer != self.issuer.strip():
            raise ValueError("issuer must be an https address, or http on this machine itself")
        if (self.client_secret is None) == (self.private_key_file is None):
            raise ValueError("give either clientSecret or privateKeyFile")
        if "openid" not in self.scopes:
            raise ValueError("scopes must hold openid")
        if not self.acr_values and not self.amr_values:
            raise ValueError("acrValues or amrValues must say what counts as two factors")
        return self


def is_safe_address(url: str) -> bool:
    """Whether a URL is https, or http to this very machine; without user, fragment or odd characters."""
    try:
        parts = urlsplit(url)
        host, _port = parts.hostname, parts.port
    except ValueError:
        return False
    if not host or "@" in parts.netloc or parts.fragment or not url.isascii() or not url.isprintable() or " " in url:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(host))


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
