"""Codes that let somebody in once, and the factors somebody logs in with ever after.

What is known of a secret is a keyed digest, a slow hash, or a sealed value. Before there is an actor these tables are
reached through narrow functions of role ``keeper`` alone; afterwards each sees and changes its own. Source: DESIGN 9.
"""

from alembic import op

revision = "0012"
down_revision = "0011"

DEFINER = "security definer set search_path = pg_catalog, public, pg_temp"

TABLES = (
    # ``check_digest`` binds a citizen's code to what the bearer must know besides: the birth date. The name is sealed
    # under the patient's key until there is an account to seal it for.
    """
create table enrolment (
    id uuid primary key,
    digest bytea not null unique,
    check_digest bytea,
    purpose text not null check (purpose in ('staff', 'citizen', 'reset', 'init')),
    account_id uuid references account (id),
    patient_id uuid references patient (id),
    name_sealed bytea,
    identity_document text check (identity_document in ('passport', 'identity-card', 'driving-licence', 'known-in-person')),
    delivery text check (delivery in ('handed-over', 'posted')),
    created_by_engagement_id uuid references engagement (id),
    created_at timestamptz not null,
    expires_at timestamptz not null,
    used_at timestamptz,
    voided_at timestamptz,
    tries integer not null default 0,
    constraint enrolment_digest check (length(digest) = 32 and (check_digest is null or length(check_digest) = 32)),
    constraint enrolment_period check (expires_at > created_at),
    constraint enrolment_of check (
        case purpose when 'citizen' then patient_id is not null and check_digest is not null and name_sealed is not null
                                       and identity_document is not null and delivery is not null
                     else account_id is not null and patient_id is null end),
    constraint enrolment_by check ((purpose = 'init') = (created_by_engagement_id is null)),
    constraint enrolment_once check (used_at is null or voided_at is null)
)
""",
    "create index ix_enrolment_account_id on enrolment (account_id)",
    "create index ix_enrolment_patient_id on enrolment (patient_id)",
    # one password an account; its log-in name is an index that finds nobody without the key
    """
create table password_factor (
    account_id uuid primary key references account (id),
    id uuid not null unique,
    name_index bytea not null unique check (length(name_index) = 32),
    hash text not null check (hash like '$argon2id$%'),
    created_at timestamptz not null,
    used_at timestamptz
)
""",
    # a time step is accepted once: ``last_step`` only grows
    """
create table totp_factor (
    id uuid primary key,
    account_id uuid not null references account (id),
    secret_sealed bytea not null,
    created_at timestamptz not null,
    confirmed_at timestamptz,
    used_at timestamptz,
    last_step bigint,
    constraint totp_factor_confirmed check ((confirmed_at is null) = (last_step is null))
)
""",
    "create unique index uq_totp_factor_confirmed on totp_factor (account_id, (confirmed_at is null))",
    """
create table passkey (
    id uuid primary key,
    account_id uuid not null references account (id),
    credential_id bytea not null unique check (length(credential_id) between 1 and 1023),
    public_key bytea not null,
    sign_count bigint not null check (sign_count >= 0),
    created_at timestamptz not null,
    used_at timestamptz
)
""",
    "create index ix_passkey_account_id on passkey (account_id)",
    """
create table recovery_code (
    digest bytea primary key check (length(digest) = 32),
    sheet_id uuid not null,
    account_id uuid not null references account (id),
    created_at timestamptz not null,
    used_at timestamptz
)
""",
    "create index ix_recovery_code_account_id on recovery_code (account_id)",
    """
create table passkey_challenge (
    id uuid primary key,
    digest bytea not null check (length(digest) = 32),
    account_id uuid references account (id),
    expires_at timestamptz not null
)
""",
    "create index ix_passkey_challenge_expires_at on passkey_challenge (expires_at)",
    # how often somebody tried: by keyed digests of who and where from, so that the table names nobody
    """
create table attempt (
    key bytea primary key check (length(key) = 32),
    count integer not null check (count >= 0),
    until timestamptz not null
)
""",
    "create index ix_attempt_until on attempt (until)",
    """
create table workplace (
    id uuid primary key,
    organisation_id uuid not null references organisation (id),
    name text not null check (length(name) between 1 and 100),
    digest bytea not null unique check (length(digest) = 32),
    created_by_engagement_id uuid not null references engagement (id),
    created_at timestamptz not null,
    ended_at timestamptz
)
""",
    "create index ix_workplace_organisation_id on workplace (organisation_id)",
    """
create table factor_reset (
    id uuid primary key,
    account_id uuid not null references account (id),
    reason_code text not null check (reason_code in ('lost-device', 'stolen-device', 'forgotten', 'compromised')),
    requested_by_account_id uuid not null references account (id),
    requested_by_engagement_id uuid not null references engagement (id),
    requested_at timestamptz not null,
    expires_at timestamptz not null,
    confirmed_by_account_id uuid references account (id),
    confirmed_by_engagement_id uuid references engagement (id),
    confirmed_at timestamptz,
    constraint factor_reset_period check (expires_at > requested_at),
    constraint factor_reset_by_two check (
        account_id not in (requested_by_account_id, confirmed_by_account_id)
        and requested_by_account_id <> confirmed_by_account_id),
    constraint factor_reset_confirmed check (
        (confirmed_at is null) = (confirmed_by_account_id is null)
        and (confirmed_at is null) = (confirmed_by_engagement_id is null))
)
""",
    "create index ix_factor_reset_account_id on factor_reset (account_id)",
    # when the session last showed two factors; until it did again, that was at its beginning
    "alter table login_session add column two_factors_at timestamptz",
    "alter table login_session add constraint login_session_workplace foreign key (workplace_id) references workplace (id)",
)

OWN = ("password_factor", "totp_factor", "passkey", "recovery_code")
FENCED = ("enrolment", *OWN, "passkey_challenge", "attempt", "workplace", "factor_reset")

FUNCTIONS = {
    # A new code voids those before it, so that at most one lets anybody in.
    "add_enrolment(p_id uuid, p_digest bytea, p_check bytea, p_purpose text, p_account uuid, p_patient uuid,"
    " p_name bytea, p_document text, p_delivery text, p_by uuid, p_now timestamptz, p_until timestamptz)": f"""
returns void language plpgsql volatile {DEFINER} as $$
begin
    if p_by is distinct from current_engagement() then
        raise exception 'a code is issued in the name of whoever asks' using errcode = 'insufficient_privilege';
    end if;
    update enrolment set voided_at = p_now
     where used_at is null and voided_at is null and (account_id = p_account or patient_id = p_patient);
    insert into enrolment (id, digest, check_digest, purpose, account_id, patient_id, name_sealed,
                           identity_document, delivery, created_by_engagement_id, created_at, expires_at)
    values (p_id, p_digest, p_check, p_purpose, p_account, p_patient, p_name, p_document, p_delivery, p_by, p_now,
            p_until);
end
$$""",
    # Whether the factors an account has suffice to log in.
    "can_log_in(p_account uuid)": f"""
returns boolean language sql stable {DEFINER} as $$
    select exists (select 1 from passkey where account_id = p_account)
        or (exists (select 1 from password_factor where account_id = p_account)
            and (exists (select 1 from totp_factor where account_id = p_account and confirmed_at is not null)
                 or exists (select 1 from recovery_code where account_id = p_account and used_at is null)))
$$""",
    # Uses a code up. Whoever can log in already does that instead, unless two people let them begin anew; with
    # ``p_linking`` it is the one who is logged in that takes a patient's code. A wrong birth date is counted, and the
    # fifth ends the code: the caller commits in either case.
    "take_enrolment(p_digest bytea, p_check bytea, p_linking boolean, p_now timestamptz)": f"""
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
    elsif v.purpose <> 'reset' and account_id is not null and can_log_in(account_id) then
        return;
    end if;
    update enrolment e set used_at = p_now where e.id = v.id;
    id := v.id;
    purpose := v.purpose;
    patient_id := v.patient_id;
    name_sealed := v.name_sealed;
    return next;
end
$$""",
    # Makes or finds the citizen's account and links the patient to it: once, for a code that this transaction used.
    "activate_citizen(p_enrolment uuid, p_account uuid, p_engagement uuid, p_name bytea, p_now timestamptz)": f"""
returns uuid language plpgsql volatile {DEFINER} as $$
declare
    v_patient patient;
    v_engagement uuid;
begin
    select p.* into v_patient from patient p join enrolment e on e.patient_id = p.id
     where e.id = p_enrolment and e.purpose = 'citizen' and e.used_at = p_now and e.xmin = pg_current_xact_id()::xid
       for update of p;
    if not found or v_patient.account_id is not null then
        return null;
    end if;
    insert into account (id, name_sealed, bsn_link_index, created_at)
    values (p_account, p_name, v_patient.bsn_link_index, p_now) on conflict (id) do nothing;
    update account set bsn_link_index = v_patient.bsn_link_index
     where id = p_account and bsn_link_index is null and v_patient.bsn_link_index is not null;
    if exists (select 1 from account a where a.id = p_account and a.bsn_link_index <> v_patient.bsn_link_index) then
        return null;
    end if;
    select e.id into v_engagement from engagement e
     where e.account_id = p_account and e.role = 'citizen' and engagement_in_force(e.id, p_now)
     order by (e.id = current_engagement()) desc nulls last limit 1;
    if not found then
        insert into engagement (id, account_id, role, profession, valid_from)
        values (p_engagement, p_account, 'citizen', 'burger', p_now);
        v_engagement := p_engagement;
    end if;
    update patient set account_id = p_account where id = v_patient.id;
    return v_engagement;
end
$$""",
    # The tables a citizen comes to sit at when the account is linked, and whether there is a seat already.
    "cases_of_mine(p_patient uuid)": f"""
returns table (case_id uuid, domain text, seated boolean) language sql stable {DEFINER} as $$
    select c.id, c.domain, exists (select 1 from member m where m.case_id = c.id
                                      and m.engagement_id = current_engagement() and m.status in ('invited', 'accepted'))
      from subject s join care_case c on c.id = s.case_id
     where s.patient_id = p_patient and is_me(p_patient) and c.status in ('requested', 'open') order by c.id
$$""",
    # What a log-in is checked against, by log-in name or of an account; nothing of it leaves the service.
    "login_facts(p_name bytea, p_account uuid)": f"""
returns table (account_id uuid, hash text, totp_id uuid, secret_sealed bytea, last_step bigint, recovery bytea[])
language sql stable {DEFINER} as $$
    select p.account_id, p.hash, t.id, t.secret_sealed, t.last_step,
           (select coalesce(array_agg(r.digest), '{{}}') from recovery_code r
             where r.account_id = p.account_id and r.used_at is null)
      from password_factor p
      left join totp_factor t on t.account_id = p.account_id and t.confirmed_at is not null
     where p.name_index = p_name or p.account_id = p_account
$$""",
    "use_password(p_account uuid, p_totp uuid, p_step bigint, p_recovery bytea, p_now timestamptz)": f"""
returns boolean language plpgsql volatile {DEFINER} as $$
begin
    update password_factor set used_at = p_now where account_id = p_account;
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
    "add_challenge(p_id uuid, p_digest bytea, p_account uuid, p_now timestamptz, p_seconds integer)": f"""
returns void language plpgsql volatile {DEFINER} as $$
begin
    delete from passkey_challenge where id in (select id from passkey_challenge where expires_at <= p_now
                                                order by expires_at limit 100 for update skip locked);
    insert into passkey_challenge (id, digest, account_id, expires_at)
    values (p_id, p_digest, p_account, p_now + make_interval(secs => p_seconds));
end
$$""",
    "take_challenge(p_id uuid, p_account uuid, p_now timestamptz)": f"""
returns bytea language plpgsql volatile {DEFINER} as $$
declare
    v passkey_challenge;
begin
    delete from passkey_challenge where id = p_id and account_id is not distinct from p_account returning * into v;
    return case when v.expires_at > p_now then v.digest end;
end
$$""",
    "passkey_with(p_credential bytea)": f"""
returns table (id uuid, account_id uuid, public_key bytea, sign_count bigint) language sql stable {DEFINER} as $$
    select id, account_id, public_key, sign_count from passkey where credential_id = p_credential
$$""",
    # A counter that does not grow is a copied key, unless the key counts nothing at all.
    "use_passkey(p_id uuid, p_count bigint, p_now timestamptz)": f"""
returns boolean language plpgsql volatile {DEFINER} as $$
begin
    update passkey set sign_count = p_count, used_at = p_now
     where id = p_id and (sign_count < p_count or (sign_count = 0 and p_count = 0));
    return found;
end
$$""",
    # Counts one attempt under each key, or none when one of them is used up; returns the seconds to wait, or 0.
    "count_attempt(p_keys bytea[], p_limits integer[], p_seconds integer[], p_now timestamptz)": f"""
returns integer language plpgsql volatile {DEFINER} as $$
declare
    v_now timestamptz := coalesce(p_now, clock_timestamp());
    v_wait integer;
begin
    -- in the order of the keys, so that no two requests wait for each other
    insert into attempt (key, count, until)
    select t.key, 0, v_now + make_interval(secs => t.seconds) from unnest(p_keys, p_seconds) as t (key, seconds)
     order by t.key on conflict (key) do nothing;
    perform 1 from attempt a where a.key = any (p_keys) order by a.key for update;
    update attempt a set count = 0, until = v_now + make_interval(secs => t.seconds)
      from unnest(p_keys, p_seconds) as t (key, seconds) where a.key = t.key and a.until <= v_now;
    select max(ceil(extract(epoch from a.until - v_now))) into v_wait
      from attempt a join unnest(p_keys, p_limits) as t (key, most) on t.key = a.key where a.count >= t.most;
    if v_wait is not null then
        return greatest(v_wait, 1);
    end if;
    update attempt a set count = a.count + 1 where a.key = any (p_keys);
    delete from attempt where key in (select a.key from attempt a where a.until <= v_now - interval '1 day'
                                       order by a.until limit 20 for update skip locked);
    return 0;
end
$$""",
    # After a success: the first keys begin anew, of the others this attempt is taken back.
    "forgive_attempt(p_cleared bytea[], p_returned bytea[])": f"""
returns void language plpgsql volatile {DEFINER} as $$
begin
    perform 1 from attempt a where a.key = any (p_cleared || p_returned) order by a.key for update;
    update attempt a set count = case when a.key = any (p_cleared) then 0 else greatest(a.count - 1, 0) end
     where a.key = any (p_cleared || p_returned);
end
$$""",
    # What the present session has shown, for deciding what it must show now.
    "session_factors(p_session uuid)": f"""
returns table (workplace boolean, two_factors_at timestamptz) language sql stable {DEFINER} as $$
    select s.workplace_id is not null and w.ended_at is null,
           coalesce(s.two_factors_at, case when s.acr = 'two-factor' then s.created_at end)
      from login_session s left join workplace w on w.id = s.workplace_id
     where s.id = p_session and s.account_id = current_account()
$$""",
    "reauthenticate(p_session uuid, p_two boolean)": f"""
returns void language sql volatile {DEFINER} as $$
    update login_session set authenticated_at = current_instant(), locked_at = null,
           idle_until = current_instant() + make_interval(secs => idle_seconds),
           acr = case when p_two then 'two-factor' else acr end,
           two_factors_at = case when p_two then current_instant() else two_factors_at end
     where id = p_session and account_id = current_account() and ended_at is null and acr <> 'enrolment'
$$""",
    "workplace_with(p_digest bytea)": f"""
returns uuid language sql stable {DEFINER} as $$
    select w.id from workplace w join organisation o on o.id = w.organisation_id and o.status <> 'suspended'
     where w.digest = p_digest and w.ended_at is null
$$""",
    # Ends a workplace of the actor's organisation and every session there; null when there is none.
    "end_workplace(p_id uuid)": f"""
returns uuid[] language plpgsql volatile {DEFINER} as $$
declare
    v_ended uuid[] := '{{}}';
    v_account uuid;
begin
    update workplace set ended_at = current_instant()
     where id = p_id and ended_at is null and organisation_id = current_organisation()
       and current_role_class() = 'org_admin';
    if not found then
        return null;
    end if;
    for v_account in select distinct s.account_id from login_session s
                      where s.workplace_id = p_id and s.ended_at is null order by 1 loop
        v_ended := v_ended || array(select end_sessions(v_account, array(
            select s.id from login_session s where s.workplace_id = p_id and s.account_id = v_account), 'workplace-ended',
            current_instant()));
    end loop;
    return v_ended;
end
$$""",
    # Who may help somebody to new factors: those who watch over the region, and of one's own organisation its admin
    # and its GPs, for colleagues and patients. Those who watch over the region are reset by one another alone.
    "may_reset(p_account uuid)": f"""
returns boolean language sql stable {DEFINER} as $$
    select p_account <> current_account() and (
        current_role_class() in ('region_admin', 'privacy_officer')
        or (current_role_class() in ('org_admin', 'gp')
            and not exists (select 1 from engagement e where e.account_id = p_account
                               and e.role in ('region_admin', 'privacy_officer', 'auditor')
                               and engagement_in_force(e.id, current_instant()))
            and (exists (select 1 from engagement e where e.account_id = p_account
                            and (e.organisation_id = current_organisation() or administers(e.organisation_id))
                            and engagement_in_force(e.id, current_instant()))
                 or exists (select 1 from patient p where p.account_id = p_account
                               and p.organisation_id = current_organisation()))))
$$""",
    # The second person: takes every factor and open code away, and says whose.
    "confirm_reset(p_id uuid)": f"""
returns uuid language plpgsql volatile {DEFINER} as $$
declare
    v factor_reset;
begin
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
    update factor_reset set expires_at = greatest(current_instant(), requested_at + interval '1 microsecond')
     where account_id = v.account_id and confirmed_at is null and expires_at > current_instant();
    return v.account_id;
end
$$""",
}

POLICIES = (
    *(f"create policy app_own on {table} to app using (account_id = current_account())" for table in OWN),
    "create policy app_own on workplace for select to app using (organisation_id = current_organisation()"
    " and current_role_class() = 'org_admin')",
    "create policy app_insert on workplace for insert to app with check (organisation_id = current_organisation()"
    " and current_role_class() = 'org_admin' and created_by_engagement_id = current_engagement())",
    "create policy app_select on factor_reset for select to app using (may_reset(account_id))",
    "create policy app_insert on factor_reset for insert to app with check (may_reset(account_id)"
    " and requested_by_account_id = current_account() and requested_by_engagement_id = current_engagement()"
    " and confirmed_at is null)",
)

PRIVILEGES = (
    "grant select (account_id, id, created_at, used_at), insert, delete on password_factor to app",
    "grant update (name_index, hash, created_at, used_at) on password_factor to app",
    "grant select, insert, delete on totp_factor to app",
    "grant update (confirmed_at, last_step) on totp_factor to app",
    "grant select, insert, delete on passkey to app",
    "grant select (sheet_id, account_id, created_at, used_at), insert, delete on recovery_code to app",
    "grant select (id, organisation_id, name, created_at, ended_at), insert on workplace to app",
    "grant select, insert on factor_reset to app",
)


def upgrade() -> None:
    for statement in TABLES:
        op.execute(statement)
    for table in FENCED:
        op.execute(f"alter table {table} enable row level security")
        op.execute(f"alter table {table} force row level security")
        op.execute(f"create policy keeper_all on {table} to keeper using (true) with check (true)")
        op.execute(f"grant select, insert, update, delete on {table} to keeper")
    op.execute("grant create on schema public to keeper")
    for signature, body in FUNCTIONS.items():
        op.execute(f"create function {signature} {body.strip()}")
        op.execute(f"revoke execute on function {signature} from public")
        op.execute(f"grant execute on function {signature} to app")
        op.execute(f"alter function {signature} owner to keeper")
    for statement in (*POLICIES, *PRIVILEGES):
        op.execute(statement)
    op.execute("revoke create on schema public from keeper")


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead: records of care are not dropped by a command")
