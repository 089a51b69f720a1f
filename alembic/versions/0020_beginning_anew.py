"""Beginning anew leaves nothing behind, and a code lets in nobody but whom it was made for.

A reset takes every way in, also those at a provider's and those that were being made while it was decided. Who may
have a code made is asked here too: the function voids other codes and opens accounts. Source: DESIGN 9.
"""

from alembic import op

revision = "0020"
down_revision = "0019"

DEFINER = "security definer set search_path = pg_catalog, public, pg_temp"

DROPPED = ("use_password(uuid, uuid, bigint, bytea, timestamptz)",)

FUNCTIONS = {
    # Lets changes of somebody's factors happen one after the other. False when the session ended while it waited:
    # whoever took the factors away took this one's purpose, too.
    "hold_factors(p_session uuid)": f"""
returns boolean language plpgsql volatile {DEFINER} as $$
begin
    perform pg_advisory_xact_lock(hashtextextended('factors ' || current_account(), 0));
    return exists (select 1 from login_session s where s.id = p_session and s.account_id = current_account()
                      and s.ended_at is null and s.locked_at is null);
end
$$""",
    # Of the password that was compared and no other: it may have been replaced since.
    "use_password(p_account uuid, p_hash text, p_totp uuid, p_step bigint, p_recovery bytea, p_now timestamptz)": f"""
returns boolean language plpgsql volatile {DEFINER} as $$
begin
    update password_factor set used_at = p_now where account_id = p_account and hash = p_hash;
    if not found then
        return false;
    end if;
    if p_totp is not null then
        update totp_factor set last_step = p_step, used_at = p_now
         where id = p_totp and account_id = p_account and last_step < p_step;
        return found;
    end if;
    if p_recovery is not null then
        update recovery_code set used_at = p_now where digest = p_recovery and account_id = p_account and used_at is null;
        return found;
    end if;
    return true;
end
$$""",
}

REPLACED = (
    # A new code voids those before it and ends who came in by one, so that at most one lets anybody in.
    f"""
create or replace function add_enrolment(p_id uuid, p_digest bytea, p_check bytea, p_purpose text, p_account uuid,
    p_patient uuid, p_name bytea, p_document text, p_delivery text, p_by uuid, p_now timestamptz, p_until timestamptz)
returns void language plpgsql volatile {DEFINER} as $$
begin
    if p_by is distinct from current_engagement() then
        raise exception 'a code is issued in the name of whoever asks' using errcode = 'insufficient_privilege';
    end if;
    if not coalesce(case p_purpose
        -- the first of all, by whoever installs: no login that serves is one
        when 'init' then pg_has_role(session_user, 'keeper', 'member')
        when 'staff' then keeps_account(p_account)
        when 'reset' then exists (select 1 from factor_reset r where r.account_id = p_account
                                     and r.confirmed_by_engagement_id = p_by and r.confirmed_at = current_instant())
        when 'citizen' then exists (select 1 from subject s where s.patient_id = p_patient and seated(s.case_id))
        end, false) then
        raise exception 'nobody asks for a code of others' using errcode = 'insufficient_privilege';
    end if;
    update enrolment set voided_at = p_now
     where used_at is null and voided_at is null and (account_id = p_account or patient_id = p_patient);
    perform end_sessions(p_account, array(select s.id from login_session s where s.account_id = p_account
                                             and s.acr = 'enrolment' and s.ended_at is null), 'code-replaced', p_now);
    insert into enrolment (id, digest, check_digest, purpose, account_id, patient_id, name_sealed,
                           identity_document, delivery, created_by_engagement_id, created_at, expires_at)
    values (p_id, p_digest, p_check, p_purpose, p_account, p_patient, p_name, p_document, p_delivery, p_by, p_now,
            p_until);
end
$$
""",
    # As before, and: an account that is there is opened by its own factors, or by two people who reset them. One member
    # elsewhere chose the birth date that this code asks for, and would get in to all that the account sees.
    f"""
create or replace function take_enrolment(p_digest bytea, p_check bytea, p_linking boolean, p_now timestamptz)
returns table (id uuid, purpose text, account_id uuid, patient_id uuid, name_sealed bytea)
language plpgsql volatile {DEFINER} as $$
declare
    v enrolment;
    v_patient patient;
begin
    select * into v from enrolment e
     where e.digest = p_digest and e.used_at is null and e.voided_at is null and e.expires_at > p_now for update;
    if not found then
        return;
    end if;
    account_id := v.account_id;
    if v.purpose = 'citizen' then
        if v.check_digest is distinct from p_check then
            update enrolment e set tries = tries + 1, voided_at = case when tries >= 4 then p_now end where e.id = v.id;
            return;
        end if;
        select * into v_patient from patient p where p.id = v.patient_id;
        select a.id into account_id from account a where a.bsn_link_index = v_patient.bsn_link_index;
        if v_patient.account_id is not null then
            return;
        end if;
    end if;
    if p_linking then
        if v.purpose <> 'citizen' or current_account() is null or account_id <> current_account() then
            return;
        end if;
        account_id := current_account();
    elsif account_id is not null and (v.purpose = 'citizen' or (v.purpose <> 'reset' and can_log_in(account_id))) then
        return;
    end if;
    update enrolment e set used_at = p_now where e.id = v.id;
    id := v.id;
    purpose := v.purpose;
    patient_id := v.patient_id;
    name_sealed := v.name_sealed;
    return next;
end
$$
""",
    # The second person: takes every factor, linked identity and open code away, and says whose.
    f"""
create or replace function confirm_reset(p_id uuid)
returns uuid language plpgsql volatile {DEFINER} as $$
declare
    v factor_reset;
begin
    -- what is being added right now is waited for and goes too; what waits for this finds its session ended
    perform pg_advisory_xact_lock(hashtextextended('factors ' || r.account_id, 0)) from factor_reset r where r.id = p_id;
    update factor_reset r set confirmed_at = current_instant(), confirmed_by_account_id = current_account(),
           confirmed_by_engagement_id = current_engagement()
      from engagement q
     where r.id = p_id and r.confirmed_at is null and r.expires_at > current_instant() and may_reset(r.account_id)
       and r.requested_by_account_id <> current_account() and q.id = r.requested_by_engagement_id
       and engagement_in_force(q.id, current_instant())
       -- two who are both of an organisation are of the same one
       and (q.organisation_id = current_organisation() or q.role in ('region_admin', 'privacy_officer')
            or current_role_class() in ('region_admin', 'privacy_officer'))
    returning r.* into v;
    if v.id is null then
        return null;
    end if;
    delete from password_factor where account_id = v.account_id;
    delete from totp_factor where account_id = v.account_id;
    delete from passkey where account_id = v.account_id;
    delete from recovery_code where account_id = v.account_id;
    delete from passkey_challenge where account_id = v.account_id;
    delete from external_identity where account_id = v.account_id;
    delete from account_handover where account_id = v.account_id;
    update factor_reset set expires_at = greatest(current_instant(), requested_at + interval '1 microsecond')
     where account_id = v.account_id and confirmed_at is null and expires_at > current_instant();
    return v.account_id;
end
$$
""",
    # Whoever logs in with two factors is done setting up: what the code opened may stand open somewhere else.
    f"""
create or replace function start_session(p_id uuid, p_account uuid, p_engagement uuid, p_method text, p_acr text,
    p_scopes text[], p_now timestamptz, p_seconds integer, p_idle_seconds integer, p_workplace uuid)
returns timestamptz language plpgsql volatile {DEFINER} as $$
declare
    v_now timestamptz := coalesce(p_now, clock_timestamp());
begin
    if p_acr = 'two-factor' then
        perform end_sessions(p_account, array(select s.id from login_session s where s.account_id = p_account
                                                 and s.acr = 'enrolment' and s.ended_at is null), 'logged-in', v_now);
    end if;
    insert into login_session (id, account_id, engagement_id, method, acr, scopes, authenticated_at, created_at, expires_at,
                               idle_seconds, idle_until, workplace_id)
    values (p_id, p_account, p_engagement, p_method, p_acr, p_scopes, v_now, v_now, v_now + make_interval(secs => p_seconds),
            p_idle_seconds, v_now + make_interval(secs => p_idle_seconds), p_workplace);
    return v_now;
end
$$
""",
)


def upgrade() -> None:
    op.execute("grant create on schema public to keeper")
    op.execute("set local role keeper")
    for signature in DROPPED:
        op.execute(f"drop function {signature}")
    for signature, body in FUNCTIONS.items():
        op.execute(f"create function {signature} {body.strip()}")
        op.execute(f"revoke execute on function {signature} from public")
        op.execute(f"grant execute on function {signature} to app")
    for statement in REPLACED:
        op.execute(statement)
    op.execute("reset role")
    op.execute("revoke create on schema public from keeper")


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead: records of care are not dropped by a command")
