"""A deployment that asks citizens to agree to taking part at all, over HTTP and on an open socket."""

from collections.abc import AsyncIterator

import pytest

from app.core.settings import Mode, PlatformConsent, Settings
from app.identity.demo import OTHER_PRACTICE
from tests.serving import Instance, serve
from tests.stories import consent, open_table, seat, thread
from tests.talking import talking


@pytest.fixture
async def asking(settings: Settings) -> AsyncIterator[Instance]:
    async with serve(settings.model_copy(update={"platform_consent": PlatformConsent.REQUIRED})) as served:
        yield served


async def test_until_the_citizen_agrees_to_take_part_the_table_is_the_practice_s_own(asking: Instance) -> None:
    table = await open_table(asking)
    await seat(table, "poh", direct=True)
    await seat(table, "district-nurse", direct=True)
    await seat(table, "social-worker")
    medication, living = await thread(table, "medication"), await thread(table, "living_situation")
    await consent(table, "social-worker", "living_situation")

    async def reads(persona: str, thread_id: str) -> int:
        return (await (await table.as_(persona)).get(f"/threads/{thread_id}")).status_code

    before = [await reads("poh", medication), await reads("district-nurse", medication)]
    assert [*before, await reads("social-worker", living)] == [200, 404, 404]

    nurse = await table.as_("district-nurse")
    async with talking(nurse, table.case_id) as ear:
        taking_part = await consent(table, "poh", "practical_coordination", kind="agree_to_help")
        await ear.event("access.changed")
        after = [await reads("district-nurse", medication), await reads("social-worker", living)]
        assert after == [200, 200]
        gp = await table.as_("gp")
        await gp.made(f"/consents/{taking_part}/withdrawal", {})
        assert "medication" in (await ear.hear("narrowed"))["categories"]
    assert [await reads("district-nurse", medication), await reads("social-worker", living)] == [404, 404]
    assert [await reads("poh", medication), await reads("citizen", medication)] == [200, 200]

    changes = f"/cases/{table.case_id}/practice-changes"
    change = await gp.made(changes, {"organisationId": str(OTHER_PRACTICE.id)})
    await (await table.as_("gp-other")).made(f"{changes}/{change['id']}/acceptance")
    after = [await reads(one, medication) for one in ("gp-other", "poh", "district-nurse")]
    assert after == [200, 404, 404], "the table is the new practice's own"


@pytest.mark.parametrize(
    ("mode", "told", "asked"),
    [
        (Mode.PRODUCTION, None, PlatformConsent.REQUIRED),
        (Mode.PRODUCTION, PlatformConsent.INFORMED, PlatformConsent.INFORMED),
        (Mode.DEMO, None, PlatformConsent.INFORMED),
        (Mode.DEMO, PlatformConsent.REQUIRED, PlatformConsent.REQUIRED),
    ],
)
def test_it_is_asked_unless_told_otherwise_and_the_demo_informs(
    mode: Mode, told: PlatformConsent | None, asked: PlatformConsent
) -> None:
    assert Settings.model_construct(mode=mode, platform_consent=told).asked_of_citizens is asked
