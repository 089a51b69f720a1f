"""``keys rotate-signing``: another key signs from now on, while the service runs."""

from app.cli.console import CommandError
from app.cli.folder import default_data_dir
from app.core.settings import Settings
from app.crypto.keyring import REFRESH_SECONDS, KeyringFolder
from app.crypto.keys import READABLE_AFTER_ROTATION, Use
from app.crypto.signing import SigningKeys


def rotate_signing(settings: Settings) -> str:
    """Make a signing key and return a sentence about it.

    The service needs no restart. A worker that meets a token of the new key before it looked at the folder looks
    then; of itself it looks within ``REFRESH_SECONDS``, and signs with the new key from then on. The old key verifies
    for an hour, longer than any of its tokens lives.

    Raises:
        CommandError: there is no key folder: a new one would have none of the keys that are in use.
        KeyringError: the folder cannot be used.
    """
    from app.main import key_folder  # noqa: PLC0415  # the application loads slowly; refusals come first

    if settings.key_dir is None and settings.data_dir is None:
        settings = settings.model_copy(update={"data_dir": default_data_dir()})
    folder = key_folder(settings)
    if not (folder / "keyring.json").exists():
        raise CommandError(f"There is no keyring in {folder}; the first start of the service makes it.")
    keyring = KeyringFolder.open_or_create(folder)
    keyring.rotate(Use.SIGNING)
    kid = SigningKeys(keyring).current().kid
    minutes = int(READABLE_AFTER_ROTATION[Use.SIGNING].total_seconds() // 60)
    return (
        f"Key {kid} signs from now on, in every worker within {REFRESH_SECONDS:.0f} seconds;"
        f" the one before verifies for {minutes} minutes more."
    )
