"""When a citizen is reminded: 30 and 7 days before the end, at each review, and never of the same twice."""

from datetime import UTC, date, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from app.consent.question import dawn_of
from app.consent.reminders import Reminder, due_reminder, next_reminder, reminders

START = datetime(2026, 1, 10, 12, tzinfo=UTC)
DAY = timedelta(days=1)
YEAR = START + 365 * DAY


def test_a_month_and_a_week_before_the_end() -> None:
    found = reminders(START, YEAR, None, START)
    assert [(due.at, due.kind) for due in found] == [
        (YEAR - 30 * DAY, Reminder.MONTH_LEFT),
        (YEAR - 7 * DAY, Reminder.WEEK_LEFT),
    ]
    assert reminders(START, START + 6 * DAY, None, START) == [], "it was agreed this week"
    assert [due.kind for due in reminders(START, START + 20 * DAY, None, START)] == [Reminder.WEEK_LEFT]


def test_without_an_end_there_is_a_review_each_time() -> None:
    assert next_reminder(START, None, None, START) is None
    first = next_reminder(START, None, 12, START)
    assert first is not None
    assert first == dawn_of(date(2027, 1, 10)), "midnight here"
    second = next_reminder(START, None, 12, first)
    assert second is not None
    assert second.year == 2028


def test_who_was_not_reminded_in_time_is_told_the_last_alone() -> None:
    assert due_reminder(START, YEAR, None, YEAR - 30 * DAY, YEAR - 29 * DAY) is Reminder.MONTH_LEFT
    assert due_reminder(START, YEAR, None, YEAR - 30 * DAY, YEAR - 2 * DAY) is Reminder.WEEK_LEFT
    assert due_reminder(START, YEAR, 6, START, START + DAY) is None


@given(
    st.one_of(st.none(), st.integers(1, 1200)),
    st.one_of(st.none(), st.integers(1, 24)),
    st.lists(st.integers(1, 90), min_size=1, max_size=40),
)
def test_each_reminder_is_given_at_most_once_however_often_somebody_looks(
    days: int | None, months: int | None, steps: list[int]
) -> None:
    end = START + days * DAY if days else None
    due, now, told = next_reminder(START, end, months, START), START, []
    for step in steps:
        now += step * DAY
        if due is not None and due <= now and (end is None or now < end):
            told.append((due, due_reminder(START, end, months, due, now)))
            due = next_reminder(START, end, months, now)
            assert due is None or due > now
    assert len({at for at, _ in told}) == len(told)
    kinds = [kind for _, kind in told]
    assert kinds.count(Reminder.MONTH_LEFT) <= 1
    assert kinds.count(Reminder.WEEK_LEFT) <= 1
    assert None not in kinds
