"""Passkeys as browsers send them: what ``PublicKeyCredential.toJSON()`` gives.

Source: W3C Web Authentication Level 3, section 5.1.
"""

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field

from app.api.bodies import Body, Text
from app.api.operations import Out

PART_CHARS_MAX = 20_000
ID_CHARS_MAX = 1400

Part = Annotated[str, Text(1, PART_CHARS_MAX)]


class PasskeyResponseIn(Body):
    """What the authenticator answered, each part in base64url."""

    client_data_json: Annotated[str, Text(1, PART_CHARS_MAX), Field(alias="clientDataJSON")]
    attestation_object: Part | None = None
    authenticator_data: Part | None = None
    signature: Part | None = None
    user_handle: Annotated[str, Text(0, 100)] | None = None
    transports: Annotated[list[Annotated[str, Text(1, 40)]], Field(max_length=10)] | None = None
    public_key: Part | None = None
    public_key_algorithm: int | None = None


class PasskeyIn(Body):
    """A passkey that was made or shown."""

    id: Annotated[str, Text(1, ID_CHARS_MAX)]
    raw_id: Annotated[str, Text(1, ID_CHARS_MAX)]
    type: Literal["public-key"]
    response: PasskeyResponseIn
    authenticator_attachment: Annotated[str, Text(1, 40)] | None = None
    client_extension_results: dict[str, Any] | None = None

    def plain(self) -> dict[str, Any]:
        """Return what is checked of it."""
        given = self.response.model_dump(
            by_alias=True,
            exclude={"transports", "public_key", "public_key_algorithm"},
            exclude_none=True,
        )
        return {"id": self.id, "rawId": self.raw_id, "type": self.type, "response": given}


class PasskeyChallengeOut(Out):
    """A challenge, for ``navigator.credentials``: ``publicKey`` is what ``parse…OptionsFromJSON()`` takes."""

    challenge_id: UUID
    public_key: dict[str, Any]
