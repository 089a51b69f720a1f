"""Who may do what in one case, as sentences with their answers: the decision itself, without a database."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from app.access import policy
from app.access.policy import CasePermit, Cell, Entity, Holding, MemberStatus, Standing
from app.access.refusals import SessionLocked, StepUpNeeded
from app.access.tables import FRESH_SECONDS
from app.access.vocabulary import Acr, Action, Category, Domain, Ground, Role, Speciality
from app.core.errors import Forbidden, NotFound
from tests.access.table import (
    HOUR,
    ME,
    MOMENT,
    NOW,
    PIET,
    PILLS,
    SOMEBODY_ELSE,
    actor,
    message,
    outside,
    right,
    seated,
)

YES, GONE, NO = "yes", "Not found", "You may not do this"
READS_ONLY, NOT_THE_AUTHOR = "You may read here, but not write.", "Only the author may do this."
CLOSED, LOCKED = "This is not for your speciality.", "The screen is locked"
NEEDS_A_FACTOR = "This needs another factor, or a fresh one"

GP, NURSE, CITIZEN, CARER = Role.GP, Role.DISTRICT_NURSE, Role.CITIZEN, Role.INFORMAL_CARER
WRITES, READS = right(), right(may_write=False)
ABOUT_ME = {"subject_of": frozenset({PILLS.patient_id})}


def answer(role: Role, action: Action, standing: Standing | None, **me: Any) -> str:
    """Return what I am told."""
    try:
        policy.authorize(actor(role, **me), action, standing, now=NOW)
    except (NotFound, Forbidden, SessionLocked, StepUpNeeded) as refusal:
        return refusal.detail
    return YES


def instead(*rights: Holding, **more: Any) -> Standing:
    """Return that I stand in for a member."""
    return outside(*rights, stands_in=True, **more)


def status(of: MemberStatus) -> Standing:
    return seated(WRITES, member_status=of)


# the case


@pytest.mark.parametrize(
    ("said", "role", "action", "standing", "expected"),
    [
        ("there is no such case", GP, Action.CASE_READ, None, GONE),
        ("a member reads the case", GP, Action.CASE_READ, seated(), YES),
        ("who stands in for a member reads the case", GP, Action.CASE_READ, instead(), YES),
        ("who broke the glass reads the case", GP, Action.CASE_READ, seated(emergency=True), YES),
        ("a broken glass is no seat by itself", GP, Action.CASE_READ, outside(emergency=True), GONE),
        ("nobody else finds the case", GP, Action.CASE_READ, outside(), GONE),
        ("managing a case is no seat at it", GP, Action.CASE_READ, outside(manages=True), GONE),
        ("having opened a case is no seat at it", GP, Action.CASE_READ, outside(opened_by_me=True), GONE),
        ("being talked about is no seat", CITIZEN, Action.CASE_READ, outside(**ABOUT_ME), GONE),
        ("a right without a seat opens no thread", GP, Action.THREAD_READ, outside(WRITES, entity=message()), GONE),
        ("who is invited sees no case yet", GP, Action.CASE_READ, status(MemberStatus.INVITED), GONE),
        ("who refused sees no case", GP, Action.CASE_READ, status(MemberStatus.REFUSED), GONE),
        ("who left sees the case no more", GP, Action.CASE_READ, status(MemberStatus.ENDED), GONE),
        ("an administrator reads no case, not even seated", Role.ORG_ADMIN, Action.CASE_READ, seated(), NO),
        ("an auditor hears the same of a case that is not there", Role.AUDITOR, Action.CASE_READ, None, NO),
    ],
)
def test_a_case_is_there_for_whoever_sits_at_it(
    said: str, role: Role, action: Action, standing: Standing | None, expected: str
) -> None:
    assert answer(role, action, standing) == expected, said


@pytest.mark.parametrize("action", [Action.INVITATION_ACCEPT, Action.INVITATION_REFUSE])
def test_an_invitation_is_there_for_whom_it_was_meant_also_once_decided_until_the_seat_ends(action: Action) -> None:
    for decided in (MemberStatus.INVITED, MemberStatus.ACCEPTED, MemberStatus.REFUSED):
        assert answer(GP, action, status(decided)) == YES
    assert answer(GP, action, status(MemberStatus.ENDED)) == GONE
    assert answer(GP, action, outside()) == GONE
    assert answer(GP, action, instead()) == GONE, "nobody decides an invitation for another"


OVERSEEING = [
    ("the case manager", GP, seated(manages=True), YES),
    ("the citizen it is about", CITIZEN, seated(**ABOUT_ME), YES),
    ("who opened it and still sits there", GP, seated(opened_by_me=True), YES),
    ("who opened it, left, and now stands in for another", GP, instead(opened_by_me=True), NO),
    ("who opened it, and is back by breaking the glass", GP, seated(opened_by_me=True, emergency=True), NO),
    ("any other member", GP, seated(), NO),
    ("who stands in for a member", GP, instead(), NO),
    ("who is not there", GP, outside(), GONE),
]


@pytest.mark.parametrize(
    "action",
    [Action.PRACTICE_CHANGE_ANNOUNCE, Action.PRACTICE_CHANGE_LIST, Action.PRACTICE_CHANGE_WITHDRAW],
)
@pytest.mark.parametrize(
    ("who", "role", "standing", "expected"),
    [
        ("the case manager", NURSE, seated(manages=True), YES),
        ("the citizen it is about", CITIZEN, seated(**ABOUT_ME), YES),
        ("a GP at the table", GP, seated(), YES),
        ("a GP who broke the glass", GP, seated(emergency=True), NO),
        ("a GP who stands in for a member", GP, instead(), NO),
        ("any other member", NURSE, seated(), NO),
        ("a GP of the practice that is asked", GP, outside(receives=True), GONE),
        ("who is not there", GP, outside(), GONE),
    ],
)
def test_the_side_that_is_left_announces_a_change_of_practice(
    who: str, role: Role, standing: Standing, action: Action, expected: str
) -> None:
    assert answer(role, action, standing) == expected, who


@pytest.mark.parametrize("action", [Action.PRACTICE_CHANGE_ACCEPT, Action.PRACTICE_CHANGE_REFUSE])
@pytest.mark.parametrize(
    ("who", "role", "standing", "expected"),
    [
        ("a GP of the practice that is asked", GP, outside(receives=True), YES),
        ("one who sits there already", GP, seated(receives=True), YES),
        ("a GP at the table", GP, seated(manages=True), NO),
        ("a GP of a third practice", GP, outside(), GONE),
        ("anybody else of that practice", Role.POH, outside(receives=True), NO),
    ],
)
def test_a_gp_of_the_practice_that_is_asked_answers_a_change_of_practice(
    who: str, role: Role, standing: Standing, action: Action, expected: str
) -> None:
    assert answer(role, action, standing) == expected, who


@pytest.mark.parametrize("action", [Action.MEMBER_INVITE, Action.PUBLIC_TASK_RECORD, Action.PUBLIC_TASK_END])
@pytest.mark.parametrize(("who", "role", "standing", "expected"), OVERSEEING)
def test_subject_manager_and_seated_opener_oversee_the_table(
    who: str, role: Role, standing: Standing, expected: str, action: Action
) -> None:
    assert answer(role, action, standing) == expected, who
    assert standing.oversees is (expected == YES), who


@pytest.mark.parametrize(
    ("who", "standing", "expected"),
    [
        ("the manager", seated(manages=True), True),
        ("the only person it is about", seated(**ABOUT_ME), True),
        ("one of two whom it is about", seated(**ABOUT_ME, subjects=(PILLS.patient_id, PIET)), False),
        ("nobody, of a table about nobody", seated(subjects=()), False),
        ("who opened it and sits", seated(opened_by_me=True), True),
        ("who opened it and left", instead(opened_by_me=True), False),
        ("a member", seated(), False),
    ],
)
def test_who_speaks_for_all_is_manager_opener_or_the_only_subject(
    who: str, standing: Standing, expected: bool
) -> None:
    assert standing.speaks_for_all is expected, who


@pytest.mark.parametrize(
    ("role", "action"),
    [
        (GP, Action.ACTIVATION_ISSUE),
        (GP, Action.SAFE_CONTACT_RECORD),
        (GP, Action.REPRESENTATION_LIST),
        (GP, Action.WITHHOLDING_RECORD),
        (GP, Action.WITHHOLDING_END),
        (GP, Action.OPENING_RECORD),
        (Role.SPECIALIST, Action.OPENING_END),
    ],
)
def test_who_stands_in_or_broke_the_glass_leaves_these_to_members(role: Role, action: Action) -> None:
    assert answer(role, action, seated()) == YES
    assert answer(role, action, seated(emergency=True)) == NO
    assert answer(role, action, instead()) == NO
    assert answer(role, action, outside()) == GONE


@pytest.mark.parametrize("action", [Action.REPRESENTATION_RECORD, Action.REPRESENTATION_END, Action.SUBJECT_ADD])
@pytest.mark.parametrize(
    ("who", "standing", "expected"),
    [
        ("the case manager", seated(manages=True), YES),
        ("who opened it and sits", seated(opened_by_me=True), YES),
        ("who opened it, left, and stands in for another", instead(opened_by_me=True), NO),
        ("a manager who is there by breaking the glass", seated(manages=True, emergency=True), NO),
        ("any other member", seated(), NO),
        ("who is not there", outside(manages=True), GONE),
    ],
)
def test_who_represents_and_who_joins_is_recorded_by_whoever_answers_for_the_case(
    who: str, standing: Standing, expected: str, action: Action
) -> None:
    assert answer(GP, action, standing) == expected, who


@pytest.mark.parametrize(
    ("who", "role", "standing", "death", "afterwards"),
    [
        ("the case manager", NURSE, seated(manages=True), YES, YES),
        ("the GP", GP, seated(), YES, NO),
        ("a nurse", NURSE, seated(), NO, NO),
        ("a GP who stands in", GP, instead(), NO, NO),
        ("a GP who broke the glass", GP, seated(emergency=True), NO, NO),
        ("who is not there", GP, outside(), GONE, GONE),
    ],
)
def test_a_death_is_recorded_by_manager_or_gp_and_what_follows_decided_by_the_manager(
    who: str, role: Role, standing: Standing, death: str, afterwards: str
) -> None:
    for action in (Action.DEATH_RECORD, Action.DEATH_UNDO):
        assert answer(role, action, standing) == death, who
    for action in (Action.AFTER_DEATH_DECIDE, Action.AFTER_DEATH_LIST):
        assert answer(role, action, standing) == afterwards, who


def test_the_list_of_members_is_there_for_whoever_reads_the_network_of_somebody() -> None:
    network = Cell(PIET, Category.CONTACT_NETWORK, Domain.SOCIAL)
    assert answer(CARER, Action.MEMBER_LIST, seated(WRITES, right(network, may_write=False))) == YES
    assert answer(CARER, Action.MEMBER_LIST, seated(WRITES)) == GONE
    assert answer(CARER, Action.MEMBER_LIST, seated(right(network, valid_until=NOW))) == GONE


# consent

FOR_HER = {"represents": frozenset({PILLS.patient_id})}
ON_THE_CITIZENS_WORD = [
    Action.CONSENT_ASK,
    Action.CONSENT_BUNDLE_USE,
    Action.CONSENT_GIVE,
    Action.EXCLUSION_RECORD,
    Action.EXCLUSION_END,
    Action.OBJECTION_RECORD,
    Action.OBJECTION_END,
]
RECORDING = [
    ("a seated professional writes down what the citizen says", GP, seated(), YES),
    ("the citizen says it herself", CITIZEN, seated(**ABOUT_ME), YES),
    ("a citizen says nothing for a housemate", CITIZEN, seated(), NO),
    ("who stands in records nothing", GP, instead(), NO),
    ("who broke the glass records nothing", GP, seated(emergency=True), NO),
    ("who stands in records nothing about themselves either", CITIZEN, instead(**ABOUT_ME), NO),
]


REPRESENTING = [
    ("whoever represents her says it for her", Role.REPRESENTATIVE, seated(**FOR_HER), YES),
    ("a representative says nothing for others", Role.REPRESENTATIVE, seated(), NO),
]


@pytest.mark.parametrize("action", ON_THE_CITIZENS_WORD)
@pytest.mark.parametrize(("said", "role", "standing", "expected"), RECORDING)
def test_the_citizen_s_word_is_taken_from_herself_or_written_down_by_a_seated_professional(
    said: str, role: Role, standing: Standing, expected: str, action: Action
) -> None:
    assert answer(role, action, standing) == expected, said
    assert answer(role, action, replace(standing, member_status=None, stands_in=False)) == GONE


@pytest.mark.parametrize("action", [Action.CONSENT_ASK, Action.CONSENT_GIVE, Action.CONSENT_BUNDLE_USE])
@pytest.mark.parametrize(("said", "role", "standing", "expected"), REPRESENTING)
def test_consent_is_asked_and_given_by_whoever_represents_the_citizen_too(
    said: str, role: Role, standing: Standing, expected: str, action: Action
) -> None:
    assert answer(role, action, standing) == expected, said


@pytest.mark.parametrize("action", [Action.CONSENT_DECIDE, Action.CONSENT_EXTEND, Action.CONSENT_RENEW])
@pytest.mark.parametrize(("said", "role", "standing", "expected"), [*RECORDING, *REPRESENTING])
def test_a_consent_is_decided_widened_and_renewed_by_whoever_may_read_and_record_it(
    said: str, role: Role, standing: Standing, expected: str, action: Action
) -> None:
    assert answer(role, action, replace(standing, entity=Entity(readable=True))) == expected, said
    assert answer(role, action, replace(standing, entity=Entity(readable=False))) == GONE, said


@pytest.mark.parametrize(
    "action", [Action.CONSENT_READ, Action.CONSENT_PREVIEW, Action.CONSENT_WITHDRAW, Action.STATEMENT_LIST]
)
def test_a_consent_that_one_may_not_read_is_not_there(action: Action) -> None:
    for standing in (seated(), instead()):
        assert answer(CARER, action, replace(standing, entity=Entity(readable=True))) == YES
        assert answer(CARER, action, replace(standing, entity=Entity(readable=False))) == GONE
    assert answer(CARER, action, outside(entity=Entity(readable=True))) == GONE


def test_a_recorder_lifts_the_secrecy_of_the_own_domain_and_who_speaks_for_the_citizen_that_of_any() -> None:
    nurse, citizen = actor(NURSE, domain=Domain.CARE), actor(CITIZEN, domain=None)
    policy.require_domain(nurse, [Domain.CARE], seated())
    policy.require_domain(citizen, list(Domain), seated(**ABOUT_ME))
    policy.require_domain(actor(Role.REPRESENTATIVE, domain=None), list(Domain), seated(**FOR_HER))
    for named in ([Domain.SOCIAL], [Domain.CARE, Domain.YOUTH]):
        with pytest.raises(Forbidden, match=r"^You may record consent for the domain of your own engagement only\.$"):
            policy.require_domain(nurse, named, seated())


# threads and messages

READING = [Action.THREAD_READ, Action.MESSAGE_LIST, Action.MESSAGE_READ, Action.STATEMENT_LIST]
WRITING = [Action.MESSAGE_POST, Action.THREAD_TYPING]
OWN = [Action.MESSAGE_CORRECT, Action.MESSAGE_RETRACT]


@pytest.mark.parametrize("action", READING)
@pytest.mark.parametrize(
    ("said", "rights", "about", "expected"),
    [
        ("who may read reads", [READS], message(), YES),
        ("who may write reads", [WRITES], message(), YES),
        ("without a right there is nothing", [], message(), GONE),
        ("a right about another label opens nothing", [right(replace(PILLS, patient_id=PIET))], message(), GONE),
        ("what carries no label is not there", [WRITES], message(cell=None), GONE),
        ("a right shows from its first position on", [right(visible_from_seq=9)], message(), YES),
        ("a right shows nothing of before", [right(visible_from_seq=10)], message(), GONE),
        ("a right shows threads from one position on", [right(threads_from_seq=5)], message(), YES),
        ("a right shows no thread of before", [right(threads_from_seq=6)], message(), GONE),
        ("a right holds from its first moment", [right(valid_from=NOW)], message(), YES),
        ("a right holds not a moment sooner", [right(valid_from=NOW + MOMENT)], message(), GONE),
        ("a right holds until its end", [right(valid_until=NOW + MOMENT)], message(), YES),
        ("a right is over at its end", [right(valid_until=NOW)], message(), GONE),
        ("what another took back is not there", [WRITES], message(retracted=True), GONE),
        ("what one took back oneself still is", [WRITES], message(retracted=True, author_id=ME), YES),
    ],
)
def test_what_is_read_is_what_a_right_shows(
    said: str, rights: list[Holding], about: Entity, expected: str, action: Action
) -> None:
    assert answer(CARER, action, seated(*rights, entity=about)) == expected, said


@pytest.mark.parametrize("action", WRITING)
@pytest.mark.parametrize(
    ("said", "rights", "expected"),
    [
        ("who may write writes", [WRITES], YES),
        ("who may read is told so", [READS], READS_ONLY),
        ("of two rights one that writes is enough", [READS, WRITES], YES),
        ("a right to write that is over writes no more", [READS, right(valid_until=NOW)], READS_ONLY),
        ("a right to write in later threads is none in this", [READS, right(threads_from_seq=6)], READS_ONLY),
        ("a right to write elsewhere is none here", [READS, right(replace(PILLS, domain=Domain.SOCIAL))], READS_ONLY),
        ("who sees nothing is told nothing", [], GONE),
    ],
)
def test_who_writes_needs_a_right_to_write_in_this_thread(
    said: str, rights: list[Holding], expected: str, action: Action
) -> None:
    assert answer(CARER, action, seated(*rights, entity=message())) == expected, said
    assert answer(CARER, action, instead(*rights, entity=message())) == expected, said


@pytest.mark.parametrize(
    ("said", "rights", "about", "correct", "retract"),
    [
        ("the author corrects and takes back", [WRITES], message(author_id=ME), YES, YES),
        ("who may only read by now still takes back", [READS], message(author_id=ME), READS_ONLY, YES),
        ("nobody does either to another's words", [WRITES], message(), NOT_THE_AUTHOR, NOT_THE_AUTHOR),
        ("another's words that one reads", [READS], message(), READS_ONLY, NOT_THE_AUTHOR),
        ("who sees nothing any more does neither", [], message(author_id=ME), GONE, GONE),
    ],
)
def test_only_the_author_corrects_or_takes_back(
    said: str, rights: list[Holding], about: Entity, correct: str, retract: str
) -> None:
    standing = seated(*rights, entity=about)
    assert (answer(CARER, OWN[0], standing), answer(CARER, OWN[1], standing)) == (correct, retract), said


def test_the_privacy_officer_reads_what_was_taken_back_and_nothing_else() -> None:
    officer = Role.PRIVACY_OFFICER
    assert answer(officer, Action.MESSAGE_READ, outside(entity=message(retracted=True))) == YES
    assert answer(officer, Action.MESSAGE_READ, outside(entity=message())) == GONE
    assert answer(officer, Action.MESSAGE_READ, seated(WRITES, entity=message())) == GONE
    assert answer(officer, Action.THREAD_READ, outside(entity=message(retracted=True))) == NO


# what the role and the session allow, before the case is looked at


def test_a_practice_nurse_for_chronic_disease_opens_no_case() -> None:
    with pytest.raises(Forbidden, match=f"^{CLOSED}$"):
        policy.authorize_role(actor(Role.POH, speciality=Speciality.SOMATIEK), Action.CASE_OPEN, now=NOW)


def test_an_integration_hears_that_its_scopes_do_not_reach() -> None:
    with pytest.raises(Forbidden, match=r"^The client has no scope for this\.$"):
        policy.authorize_role(actor(Role.INTEGRATION, scopes=frozenset()), Action.AUDIT_SEARCH, now=NOW)
    assert policy.authorize_role(actor(GP, scopes=frozenset()), Action.CASE_OPEN, now=NOW), "scopes narrow clients"


def test_who_lacks_a_factor_hears_so_before_hearing_whether_the_case_is_there() -> None:
    for standing in (seated(), None):
        assert answer(GP, Action.CASE_READ, standing, acr=Acr.ONE_FACTOR) == NEEDS_A_FACTOR
        assert answer(GP, Action.CASE_READ, standing, locked=True) == LOCKED
        assert answer(Role.AUDITOR, Action.CASE_READ, standing, locked=True) == NO, "no factor would help"


def test_a_factor_is_fresh_for_a_quarter_of_an_hour_to_the_moment() -> None:
    for ago, fresh in ((timedelta(minutes=15) - MOMENT, True), (timedelta(minutes=15), False)):
        admin = actor(Role.ORG_ADMIN, authenticated_at=NOW - ago)
        if fresh:
            assert policy.authorize_role(admin, Action.STAFF_IMPORT, now=NOW)
        else:
            with pytest.raises(StepUpNeeded):
                policy.authorize_role(admin, Action.STAFF_IMPORT, now=NOW)
        assert policy.authorize_role(admin, Action.SUBSTITUTE_LIST, now=NOW), "reading needs no fresh one"
    assert timedelta(minutes=15).total_seconds() == FRESH_SECONDS


def test_breaking_the_glass_of_a_case_needs_a_fresh_factor_too() -> None:
    assert answer(GP, Action.BREAK_GLASS_USE, seated()) == YES
    assert answer(GP, Action.BREAK_GLASS_USE, seated(), authenticated_at=NOW - HOUR) == NEEDS_A_FACTOR


# the permit


def test_a_permit_says_who_may_do_what_when_and_by_what() -> None:
    me, standing = actor(CARER), seated(READS, WRITES, entity=message())
    permit = policy.authorize(me, Action.MESSAGE_POST, standing, now=NOW)
    assert (permit.actor, permit.action, permit.now) == (me, Action.MESSAGE_POST, NOW)
    assert (permit.standing, permit.holding, permit.case_id) == (standing, WRITES, standing.case_id)
    for plain in (
        policy.authorize_role(me, Action.ME_READ, now=NOW),
        policy.authorize_self(me, Action.ME_READ, now=NOW),
    ):
        assert (plain.actor, plain.action, plain.now) == (me, Action.ME_READ, NOW)


def test_nobody_but_the_policy_makes_a_permit_for_a_case() -> None:
    with pytest.raises(TypeError, match=r"^permits are made by app\.access\.policy alone$"):
        CasePermit(actor(GP), Action.CASE_READ, NOW, seated(), None, object())


G = Ground
BY_GROUND = [right(ground=ground) for ground in (G.DIRECT_TREATMENT, G.CONSENT, G.REPLACEMENT, G.EMERGENCY)]


@pytest.mark.parametrize("better", range(3))
@pytest.mark.parametrize("turned", [False, True])
def test_the_record_names_one_s_own_right_before_a_consent_a_replacement_and_an_emergency(
    better: int, turned: bool
) -> None:
    """Whichever was loaded first."""
    first, second = BY_GROUND[better], BY_GROUND[better + 1]
    loaded = [second, first] if turned else [first, second]
    standing = seated(*loaded, entity=message())
    for action in (*READING, *WRITING):
        assert policy.authorize(actor(CARER), action, standing, now=NOW).holding == first
    assert policy.authorize_post(actor(CARER), PILLS, loaded, opened_seq=5, now=NOW) == first
    assert standing.holding(PILLS, NOW, opened_seq=None) == first


def test_the_record_names_the_right_that_writes_even_if_it_is_less_one_s_own() -> None:
    by_consent = right(ground=G.CONSENT)
    for loaded in ([READS, by_consent], [by_consent, READS]):
        permit = policy.authorize(actor(CARER), Action.MESSAGE_POST, seated(*loaded, entity=message()), now=NOW)
        assert permit.holding == by_consent


def test_the_record_names_no_right_that_did_not_show_the_message() -> None:
    late, later_threads = right(visible_from_seq=10), right(threads_from_seq=6)
    permit = policy.authorize(
        actor(CARER), Action.MESSAGE_READ, seated(late, later_threads, READS, entity=message()), now=NOW
    )
    assert permit.holding == READS


def test_the_record_of_a_correction_names_the_right_to_write_even_if_it_came_after_the_message() -> None:
    since = right(visible_from_seq=10)
    standing = seated(READS, since, entity=message(author_id=ME))
    assert policy.authorize(actor(CARER), Action.MESSAGE_CORRECT, standing, now=NOW).holding == since


def test_the_record_of_what_is_about_no_thread_names_the_strongest_right_in_force() -> None:
    mine, over = right(ground=G.SUBJECT), right(ground=G.SUBJECT, valid_until=NOW)
    agreed, treating = right(ground=G.CONSENT), right(ground=G.DIRECT_TREATMENT)
    for loaded, expected in (
        ([agreed, treating, mine], mine),
        ([mine, treating, agreed], mine),
        ([agreed, treating, over], treating),
        ([agreed, over], agreed),
        ([over], None),
        ([], None),
    ):
        assert policy.authorize(actor(CARER), Action.CASE_READ, seated(*loaded), now=NOW).holding == expected


# the appender, which decides many at once


def posted(rights: list[Holding]) -> str:
    """Return what I am told when I post."""
    try:
        found = policy.authorize_post(actor(CARER), PILLS, rights, opened_seq=5, now=NOW)
    except (NotFound, Forbidden) as refusal:
        return refusal.detail
    return YES if found.may_write else READS_ONLY


@pytest.mark.parametrize(
    ("said", "rights", "expected"),
    [
        ("who may write writes", [WRITES], YES),
        ("of two rights one that writes is enough", [READS, WRITES], YES),
        ("who may read is told so", [READS], READS_ONLY),
        ("a thread of just then is shown", [right(threads_from_seq=5)], YES),
        ("a thread of before is not there", [right(threads_from_seq=6)], GONE),
        ("a right that is over is none", [right(valid_until=NOW)], GONE),
        ("a right about somebody else is none", [right(replace(PILLS, patient_id=PIET))], GONE),
        ("without a right there is nothing", [], GONE),
    ],
)
def test_a_message_is_taken_from_whoever_may_write_in_its_thread(
    said: str, rights: list[Holding], expected: str
) -> None:
    assert posted(rights) == expected, said


def test_no_message_is_taken_from_an_office_or_from_behind_a_locked_screen() -> None:
    for me, refusal in ((actor(Role.AUDITOR), Forbidden), (actor(GP, locked=True), SessionLocked)):
        with pytest.raises(refusal):
            policy.authorize_post(me, PILLS, [WRITES], opened_seq=5, now=NOW)
    late = actor(GP, authenticated_at=NOW - 9 * HOUR)
    assert policy.authorize_post(late, PILLS, [WRITES], opened_seq=5, now=NOW) == WRITES


# what one holds


def test_one_speaks_for_oneself_and_for_whom_one_represents() -> None:
    both = seated(subject_of=frozenset({PILLS.patient_id}), represents=frozenset({PIET}))
    assert both.speaks_for == {PILLS.patient_id, PIET}
    assert seated().speaks_for == frozenset()


def test_a_new_thread_is_opened_by_any_right_in_force_however_late_it_began() -> None:
    late = right(visible_from_seq=99, threads_from_seq=99)
    assert seated(late).holding(PILLS, NOW, opened_seq=None, write=True) == late
    assert seated(READS).holding(PILLS, NOW, opened_seq=None, write=True) is None
    assert seated(READS).holding(PILLS, NOW, opened_seq=None) == READS


def test_one_may_know_about_whom_it_is_by_any_right_in_force_about_that_person() -> None:
    assert seated(READS).holds_any(NOW, PILLS.patient_id)
    assert not seated(READS).holds_any(NOW, PIET)
    assert not seated(READS).holds_any(NOW - 2 * HOUR, PILLS.patient_id)


def test_a_category_is_held_in_any_domain_of_one_person_or_of_anybody() -> None:
    standing = seated(right(replace(PILLS, domain=Domain.SOCIAL)))
    assert standing.holds_category(Category.MEDICATION, NOW)
    assert standing.holds_category(Category.MEDICATION, NOW, PILLS.patient_id)
    assert not standing.holds_category(Category.MEDICATION, NOW, PIET)
    assert not standing.holds_category(Category.ZRM, NOW)
    assert not standing.holds_category(Category.MEDICATION, NOW - 2 * HOUR)


def test_labels_that_say_the_same_are_one_and_others_lie_apart() -> None:
    assert len({PILLS, replace(PILLS)}) == 1
    others = [replace(PILLS, patient_id=PIET), *(replace(PILLS, category=c) for c in Category)]
    others += [replace(PILLS, domain=domain) for domain in Domain]
    assert len({hash(one) for one in others}) == len(set(others))


def test_nobody_is_the_author_of_what_has_none() -> None:
    unsigned = message(author_id=None, retracted=True)
    assert answer(CARER, Action.MESSAGE_READ, seated(WRITES, entity=unsigned)) == GONE
    assert message().author_id == SOMEBODY_ELSE


@pytest.mark.parametrize("role", list(Role))
def test_what_waits_is_there_for_professionals_alone_until_its_instant(role: Role) -> None:
    seen = role in {Role.GP, Role.POH, Role.SOCIAL_TEAM, Role.DISTRICT_NURSE, Role.SPECIALIST}
    assert policy.is_held_from(role, NOW + HOUR, NOW) is not seen
    assert not policy.is_held_from(role, NOW, NOW)
    assert not policy.is_held_from(role, NOW - HOUR, NOW)
    assert not policy.is_held_from(role, None, NOW)


@pytest.mark.parametrize(
    "action", [Action.THREAD_READ, Action.MESSAGE_LIST, Action.MESSAGE_POST, Action.MESSAGE_READ]
)
def test_whoever_it_waits_for_is_told_that_there_is_nothing(action: Action) -> None:
    for until, carers in ((NOW + HOUR, GONE), (NOW, YES)):
        standing = seated(WRITES, entity=message(held_until=until))
        assert answer(CARER, action, standing) == carers
        assert answer(GP, action, standing) == YES


def test_a_thread_is_released_by_a_professional_who_may_write_there() -> None:
    held = message(held_until=NOW + HOUR)
    assert answer(GP, Action.THREAD_RELEASE, seated(WRITES, entity=held)) == YES
    assert answer(GP, Action.THREAD_RELEASE, seated(READS, entity=held)) not in (YES, GONE)
    assert answer(GP, Action.THREAD_RELEASE, seated(entity=held)) == GONE
    assert answer(CARER, Action.THREAD_RELEASE, seated(WRITES, entity=message())) not in (YES, GONE)
