"""Whoever a citizen excluded reads nothing of what was decided about them either, whatever seat or office they hold.

An exclusion closes grants. What is read by another way than a grant (as a recipient, a recorder or the case manager)
is closed here, by policies that narrow whatever others open. Source: DESIGN 5; ADR 0011.
"""

from alembic import op

revision = "0036"
down_revision = "0035"

DEFINER = "security definer set search_path = pg_catalog, public, pg_temp"

FUNCTIONS = {
    # Whether the person who acts is kept away from this one here; time, who is nobody, is not.
    "kept_away(p_case uuid, p_patient uuid)": f"""
returns boolean language sql stable {DEFINER} as $$
    select exists (select 1 from exclusion x
                    where x.case_id = p_case and x.patient_id = p_patient and x.account_id = current_account()
                      and x.ended_at is null)
$$""",
    # Nobody is kept away from themselves.
    "is_that_patient(p_patient uuid, p_account uuid)": f"""
returns boolean language sql stable {DEFINER} as $$
    select exists (select 1 from patient p where p.id = p_patient and p.account_id = p_account)
$$""",
    # Whom an event about a consent concerns and may reach.
    "told_of_consent(p_case uuid, p_consent uuid)": f"""
returns setof uuid language sql stable {DEFINER} as $$
    select a.engagement_id
      from consent_audience(p_case, p_consent) as a (engagement_id)
      join engagement e on e.id = a.engagement_id
     where not exists (select 1 from consent c
                         join exclusion x on x.case_id = c.case_id and x.patient_id = c.patient_id
                        where c.case_id = p_case and c.id = p_consent and x.account_id = e.account_id
                          and x.ended_at is null)
$$""",
}

REPLACED = {
    # A citizen's own, or what the case manager sends and says to one who does not keep that manager away.
    "notice_for_me(p_case uuid, p_patient uuid)": f"""
returns boolean language sql stable {DEFINER} as $$
    select case notice_channel(p_patient)
        when 'account' then is_me(p_patient)
        else manages(p_case) and not kept_away(p_case, p_patient) end
$$""",
    # For the people of the case: its manager at once, the person it is about from when they may know.
    "break_glass_concerns_me(p_id uuid)": f"""
returns boolean language sql stable {DEFINER} as $$
    select exists (select 1 from break_glass b join break_glass_case x on x.break_glass_id = b.id
                    where b.id = p_id and ((manages(x.case_id) and not kept_away(x.case_id, x.patient_id))
                       or (is_me(x.patient_id) and b.citizen_told_from <= current_instant())))
$$""",
    # As before; an excluded case manager reads of that person what was her own and no more.
    "case_access(p_case uuid, p_at timestamptz)": f"""
returns table (member_id uuid, engagement_id uuid, patient_id uuid, category text, domain text, may_write boolean,
               ground text, consent_id uuid, valid_until timestamptz)
language sql stable {DEFINER} as $$
    select g.member_id, g.engagement_id, g.patient_id, g.category, g.domain, g.may_write, g.ground, g.consent_id,
           g.valid_until
      from (select member_id, engagement_id, patient_id, category, domain, may_write, ground, consent_id, valid_from,
                   valid_until, granted_at, null::timestamptz as ended_at
              from access_grant where case_id = p_case
            union all
            select member_id, engagement_id, patient_id, category, domain, may_write, ground, consent_id, valid_from,
                   valid_until, granted_at, ended_at
              from ended_grant where case_id = p_case) g
     where g.valid_from <= p_at and (g.valid_until is null or g.valid_until > p_at)
       and (p_at >= current_instant() or g.granted_at <= p_at) and (g.ended_at is null or g.ended_at > p_at)
       and (g.engagement_id = current_engagement() or is_me(g.patient_id)
            or (manages(p_case) and not kept_away(p_case, g.patient_id)))
$$""",
}

POLICIES = (
    # Who does not see that somebody is excluded may exclude them too; a refusal would tell.
    "drop index uq_exclusion",
    "create unique index uq_exclusion on exclusion (case_id, patient_id, account_id, recorded_by_engagement_id)"
    " where ended_at is null",
    *(
        f"""
create policy not_kept_away_{verb} on consent as restrictive for {verb} to app using (
    current_door() is not distinct from 'register' or not kept_away(case_id, patient_id)
)
"""
        for verb in ("select", "update")
    ),
    # Writing too: an update that names no row is held by no policy for reading.
    *(
        f"create policy not_kept_away on {table} as restrictive to app using (not kept_away(case_id, patient_id))"
        for table in ("representation", "exclusion", "objection", "opening", "emergency_access")
    ),
    # their own emergency is known to them, and to who confirms or reviews one
    """
create policy not_kept_away on break_glass_case as restrictive for select to app using (
    not kept_away(case_id, patient_id)
    or exists (select 1 from break_glass b where b.id = break_glass_id and (
                   b.account_id = current_account() or b.confirmed_by_account_id = current_account()
                   or current_role_class() = 'privacy_officer'))
)
""",
    # through the eyes of whoever asks: what is closed of the representation is closed of this
    """
create policy not_kept_away on withholding as restrictive to app using (exists (
    select 1 from representation r where r.case_id = withholding.case_id and r.id = withholding.representation_id
))
""",
    """
create policy not_oneself on exclusion as restrictive for insert to app with check (
    account_id <> current_account() and not is_that_patient(patient_id, account_id)
)
""",
)


def upgrade() -> None:
    op.execute("grant create on schema public to keeper")
    for signature, body in FUNCTIONS.items():
        op.execute(f"create function {signature} {body.strip()}")
        op.execute(f"revoke execute on function {signature} from public")
        op.execute(f"grant execute on function {signature} to app")
        op.execute(f"alter function {signature} owner to keeper")
    op.execute("set local role keeper")
    for signature, body in REPLACED.items():
        op.execute(f"create or replace function {signature} {body.strip()}")
    op.execute("reset role")
    for statement in POLICIES:
        op.execute(statement)
    op.execute("revoke create on schema public from keeper")


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead: records of care are not dropped by a command")
