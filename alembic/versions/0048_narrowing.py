"""Changing one cell: a consent gives way to what is left of it, in one commit and never wider.

``narrow_consent`` is told what is taken out, and copies the rest itself: text, period, bounds and everybody's yes stay
as they were. Nothing else makes a consent that narrows another. Source: issue 3 of 11, part 8; DOMAIN R-5, R-6.
"""

from alembic import op

revision = "0048"
down_revision = "0047"

DEFINER = "security definer set search_path = pg_catalog, public, pg_temp"
PROFESSIONALS = "('gp', 'poh', 'social_team', 'district_nurse', 'specialist')"

FUNCTIONS = {
    # Takes categories, recipients (by place, from 0), or categories of those recipients alone, out of a consent in
    # force; what is left is one consent, or two where a corner is taken out. On the word of whoever may take it back.
    "narrow_consent(p_case uuid, p_consent uuid, p_ids uuid[], p_reasons bytea[], p_categories text[],"
    " p_recipients integer[], p_representation uuid, p_decided_at timestamptz, p_method text)": f"""
returns void language plpgsql volatile {DEFINER} as $$
declare
    v_old consent;
    v_new consent;
    v_word consent_decision;
    v_places integer[];
    v_made integer := 0;
    v_left text[];
    v_part integer;
    v_kept integer[];
begin
    select * into v_old from consent c where c.case_id = p_case and c.id = p_consent for update;
    select array_agg(x.place) into v_places
      from (select row_number() over (order by r.ordinal) - 1 as place from consent_recipient r
             where r.case_id = p_case and r.consent_id = p_consent) x;
    if v_old.status is distinct from 'active' or v_old.kind <> 'lift_secrecy'
       or (v_old.valid_until is not null and v_old.valid_until <= current_instant())
       or not seated(p_case) or kept_away(p_case, v_old.patient_id) or not reads_consent(p_case, p_consent)
       or not (current_role_class() in {PROFESSIONALS} or acts_for(p_case, v_old.patient_id))
       or not coalesce(speaks_as(p_case, p_consent, p_representation), false)
       or num_nulls(p_categories, p_recipients) = 2
       or not coalesce(p_categories <@ v_old.categories and cardinality(p_categories) > 0, true)
       or not coalesce(p_recipients <@ v_places and cardinality(p_recipients) > 0, true)
    then
        raise exception 'this is not theirs to narrow like this' using errcode = 'insufficient_privilege';
    end if;
    update consent set status = 'superseded', superseded_at = current_instant()
     where case_id = p_case and id = p_consent;
    select * into v_word from consent_decision d
     where d.case_id = p_case and d.consent_id = p_consent and d.yes order by d.ordinal limit 1;
    -- first who is not meant, with everything; then who is meant, with what is left for them
    for v_part in 1 .. 2 loop
        if v_part = 1 then
            continue when p_recipients is null;
            select array_agg(x) into v_kept from unnest(v_places) as x where x <> all (p_recipients);
            v_left := v_old.categories;
        else
            continue when p_categories is null;
            v_kept := coalesce(p_recipients, v_places);
            v_left := array(select x from unnest(v_old.categories) with ordinality as t (x, at)
                             where x <> all (p_categories) order by at);
        end if;
        continue when v_kept is null or cardinality(v_left) = 0;
        v_made := v_made + 1;
        exit when p_ids[v_made] is null;
        v_new := v_old;
        v_new.id := p_ids[v_made];
        v_new.categories := v_left;
        v_new.departure_reason_sealed := p_reasons[v_made];
        v_new.recorded_by_account_id := current_account();
        v_new.recorded_by_engagement_id := current_engagement();
        v_new.recorded_at := current_instant();
        v_new.valid_from := greatest(v_old.valid_from, current_instant());
        v_new.bundle_use_id := case when v_old.bundle is not null then p_ids[1] end;
        v_new.refers_to_id := v_old.id;
        v_new.refers_as := 'narrowing';
        insert into consent select v_new.*;
        insert into consent_recipient (case_id, consent_id, ordinal, type, recipient_id, role)
        select p_case, v_new.id, row_number() over (order by x.ordinal) - 1, x.type, x.recipient_id, x.role
          from (select r.*, row_number() over (order by r.ordinal) - 1 as place from consent_recipient r
                 where r.case_id = p_case and r.consent_id = p_consent) x
         where x.place = any (v_kept);
        insert into consent_decision (case_id, consent_id, ordinal, decider, yes, decided_at, method, text_version,
                                      text_sha256, language, interpreter, recorded_by_account_id,
                                      recorded_by_engagement_id, recorded_at, representation_id)
        select d.case_id, v_new.id, d.ordinal, d.decider, d.yes, d.decided_at, d.method, d.text_version, d.text_sha256,
               d.language, d.interpreter, d.recorded_by_account_id, d.recorded_by_engagement_id, d.recorded_at,
               d.representation_id
          from consent_decision d where d.case_id = p_case and d.consent_id = p_consent;
        insert into consent_decision (case_id, consent_id, ordinal, decider, representation_id, yes, decided_at, method,
                                      text_version, text_sha256, language, recorded_by_account_id,
                                      recorded_by_engagement_id, recorded_at)
        select p_case, v_new.id, coalesce(max(d.ordinal), 0) + 1,
               case when p_representation is null then 'patient' else 'representative' end, p_representation, true,
               p_decided_at, p_method, v_old.text_version, v_old.text_sha256, coalesce(v_word.language, 'nl'),
               current_account(), current_engagement(), current_instant()
          from consent_decision d where d.case_id = p_case and d.consent_id = p_consent;
    end loop;
    if v_made = 0 or v_made is distinct from cardinality(p_ids) then
        raise exception 'nothing would be left of it, or something else' using errcode = 'insufficient_privilege';
    end if;
end
$$""",
}

REPLACED = {
    # As before; and what was taken out of a consent since, by changing one cell of it.
    "overtaken(p_case uuid, p_consent uuid, p_decided_at timestamptz)": f"""
returns boolean language sql stable {DEFINER} as $$
    select exists (
        select 1
          from consent c
          join consent o on o.case_id = c.case_id and o.patient_id = c.patient_id and o.kind = c.kind and o.id <> c.id
                        and o.categories && c.categories and o.from_domains && c.from_domains
         where c.case_id = p_case and c.id = p_consent and seated(p_case)
           and (o.withdrawn_at > p_decided_at
                or exists (select 1 from consent_decision d
                            where d.case_id = o.case_id and d.consent_id = o.id and not d.yes
                              and d.recorded_at > p_decided_at))
           and exists (
               select 1 from consent_recipient r
                 join consent_recipient s on s.case_id = r.case_id and s.consent_id = o.id and s.type = r.type
                                         and s.recipient_id is not distinct from r.recipient_id
                                         and s.role is not distinct from r.role
                where r.case_id = c.case_id and r.consent_id = c.id))
        or exists (
        select 1
          from consent c
          join consent o on o.case_id = c.case_id and o.patient_id = c.patient_id and o.kind = c.kind
                        and o.from_domains && c.from_domains and o.superseded_at > p_decided_at
         cross join unnest(o.categories) as x (category)
          join consent_recipient r on r.case_id = c.case_id and r.consent_id = c.id
          join consent_recipient s on s.case_id = r.case_id and s.consent_id = o.id and s.type = r.type
                                  and s.recipient_id is not distinct from r.recipient_id
                                  and s.role is not distinct from r.role
         where c.case_id = p_case and c.id = p_consent and seated(p_case) and x.category = any (c.categories)
           and exists (select 1 from consent n
                        where n.case_id = o.case_id and n.refers_to_id = o.id and n.refers_as = 'narrowing')
           and not exists (
               select 1 from consent n
                 join consent_recipient q on q.case_id = n.case_id and q.consent_id = n.id and q.type = s.type
                                         and q.recipient_id is not distinct from s.recipient_id
                                         and q.role is not distinct from s.role
                where n.case_id = o.case_id and n.refers_to_id = o.id and n.refers_as = 'narrowing'
                  and x.category = any (n.categories)))
$$""",
}

POLICIES = (
    "create policy not_narrowing on consent as restrictive for insert to app"
    " with check (refers_as is distinct from 'narrowing')",
)


def upgrade() -> None:
    op.execute("grant insert on consent, consent_recipient to keeper")
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
