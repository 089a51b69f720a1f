"""An instance that knows a provider, and people who are linked to it."""

from collections.abc import AsyncIterator, Iterator

import pytest

from app.core.settings import Settings
from tests.oidc import provider as providers
from tests.oidc.people import House
from tests.oidc.provider import Provider
from tests.serving import serve


@pytest.fixture(scope="session")
def provider() -> Iterator[Provider]:
    """The provider process, one for the run."""
    if providers.is_missing():
        pytest.skip("node and npm are needed to run an OpenID provider")
    providers.install()
    with providers.running() as one:
        yield one


@pytest.fixture
async def house(settings: Settings, provider: Provider) -> AsyncIterator[House]:
    """An instance that is registered with the provider."""
    known = provider.configured()
    async with serve(
        settings.model_copy(update={"oidc_providers": (known,), "oidc_timeout_seconds": 60.0})
    ) as instance:
        await provider.register(known.client_id, instance.url)
        yield House(instance, provider)
