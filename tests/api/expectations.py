"""What every operation and every frame is expected to declare, by hand: the tripwires compare it with the code.

A new operation, frame or scope fails the suite until somebody has entered here what it is for; ``status`` is that of
success.
"""

from dataclasses import dataclass

PUBLIC, SELF, ROLE, CASE = "public", "self", "role", "case"
CREATE, READ, UPDATE, DELETE, EXECUTE = "C", "R", "U", "D", "E"


@dataclass(frozen=True, slots=True)
class Expected:
    """One operation as the document must show it."""

    method: str
    path: str
    scope: str
    action: str
    content: str
    audit: str
    status: int


OPERATIONS = {
    "health": Expected("get", "/health", PUBLIC, "system:read", "none", READ, 200),
    "readiness": Expected("get", "/readiness", PUBLIC, "system:read", "none", READ, 200),
    "listDemoPersonas": Expected("get", "/demo-personas", PUBLIC, "system:read", "none", READ, 200),
    "issueDemoToken": Expected("post", "/demo-tokens", PUBLIC, "token:issue", "none", EXECUTE, 201),
    "readMe": Expected("get", "/me", SELF, "me:read", "directory", READ, 200),
    "listSessions": Expected("get", "/sessions", SELF, "session:list", "none", READ, 200),
    "endCurrentSession": Expected("delete", "/sessions/current", SELF, "session:end", "none", DELETE, 204),
    "endSession": Expected("delete", "/sessions/{sessionId}", SELF, "session:end", "none", DELETE, 204),
    "lockCurrentSession": Expected("post", "/sessions/current/lock", SELF, "session:lock", "none", UPDATE, 204),
    "listAccountSessions": Expected(
        "get", "/accounts/{accountId}/sessions", ROLE, "session:list-other", "directory", READ, 200
    ),
    "endAccountSession": Expected(
        "delete", "/accounts/{accountId}/sessions/{sessionId}", ROLE, "session:end-other", "none", DELETE, 204
    ),
    "switchEngagement": Expected("post", "/engagement-switches", SELF, "session:switch", "directory", EXECUTE, 201),
    "refreshToken": Expected("post", "/token-refreshes", PUBLIC, "token:refresh", "none", EXECUTE, 201),
    "listLogInProviders": Expected("get", "/log-in-providers", PUBLIC, "system:read", "none", READ, 200),
    "beginOidcLogIn": Expected("post", "/oidc-log-ins", PUBLIC, "login:enter", "none", EXECUTE, 201),
    "completeOidcLogIn": Expected("post", "/oidc-log-ins/completion", PUBLIC, "login:enter", "none", EXECUTE, 201),
    "beginLinking": Expected("post", "/external-identities", SELF, "credential:add", "none", EXECUTE, 201),
    "listExternalIdentities": Expected("get", "/external-identities", SELF, "credential:list", "none", READ, 200),
    "unlinkIdentity": Expected(
        "delete", "/external-identities/{identityId}", SELF, "credential:remove", "none", DELETE, 204
    ),
    "beginPasskeyLogIn": Expected("post", "/passkey-challenges", PUBLIC, "login:enter", "none", EXECUTE, 201),
    "logIn": Expected("post", "/log-ins", PUBLIC, "login:enter", "none", EXECUTE, 201),
    "enrol": Expected("post", "/enrolments", PUBLIC, "enrolment:use", "none", EXECUTE, 201),
    "reauthenticate": Expected("post", "/reauthentications", SELF, "session:reauthenticate", "none", EXECUTE, 201),
    "listCredentials": Expected("get", "/credentials", SELF, "credential:list", "none", READ, 200),
    "setPassword": Expected("post", "/passwords", SELF, "credential:add", "none", CREATE, 201),
    "beginTotp": Expected("post", "/totp", SELF, "credential:add", "none", CREATE, 201),
    "confirmTotp": Expected("post", "/totp/confirmation", SELF, "credential:add", "none", UPDATE, 201),
    "makeRecoveryCodes": Expected("post", "/recovery-codes", SELF, "credential:add", "none", CREATE, 201),
    "beginPasskey": Expected("post", "/passkeys/challenges", SELF, "credential:add", "none", EXECUTE, 201),
    "addPasskey": Expected("post", "/passkeys", SELF, "credential:add", "none", CREATE, 201),
    "removeCredential": Expected(
        "delete", "/credentials/{credentialId}", SELF, "credential:remove", "none", DELETE, 204
    ),
    "issueActivationCode": Expected(
        "post", "/cases/{caseId}/activation-codes", CASE, "activation:issue", "none", CREATE, 201
    ),
    "linkPatient": Expected("post", "/patient-links", ROLE, "activation:use", "none", CREATE, 201),
    "requestFactorReset": Expected("post", "/factor-resets", ROLE, "factor-reset:request", "directory", CREATE, 201),
    "listFactorResets": Expected("get", "/factor-resets", ROLE, "factor-reset:list", "directory", READ, 200),
    "confirmFactorReset": Expected(
        "post", "/factor-resets/{resetId}/confirmation", ROLE, "factor-reset:confirm", "none", UPDATE, 201
    ),
    "registerWorkplace": Expected("post", "/workplaces", ROLE, "workplace:register", "none", CREATE, 201),
    "listWorkplaces": Expected("get", "/workplaces", ROLE, "workplace:list", "none", READ, 200),
    "endWorkplace": Expected("delete", "/workplaces/{workplaceId}", ROLE, "workplace:end", "none", DELETE, 204),
    "listOrganisations": Expected("get", "/organisations", ROLE, "organisation:list", "directory", READ, 200),
    "listAccounts": Expected("get", "/accounts", ROLE, "account:list", "directory", READ, 200),
    "createOrganisation": Expected("post", "/organisations", ROLE, "organisation:create", "directory", CREATE, 201),
    "readOrganisation": Expected(
        "get", "/organisations/{organisationId}", ROLE, "organisation:read", "directory", READ, 200
    ),
    "changeOrganisation": Expected(
        "patch", "/organisations/{organisationId}", ROLE, "organisation:change", "directory", UPDATE, 200
    ),
    "suspendOrganisation": Expected(
        "post", "/organisations/{organisationId}/suspension", ROLE, "organisation:suspend", "directory", UPDATE, 201
    ),
    "resumeOrganisation": Expected(
        "post", "/organisations/{organisationId}/resumption", ROLE, "organisation:suspend", "directory", UPDATE, 201
    ),
    "mergeOrganisation": Expected(
        "post", "/organisations/{organisationId}/merger", ROLE, "organisation:merge", "directory", UPDATE, 201
    ),
    "recordAgreement": Expected(
        "post",
        "/organisations/{organisationId}/cooperation-agreement",
        ROLE,
        "organisation:agree",
        "directory",
        UPDATE,
        201,
    ),
    "listTeams": Expected("get", "/teams", ROLE, "team:list", "directory", READ, 200),
    "createTeam": Expected("post", "/teams", ROLE, "team:create", "directory", CREATE, 201),
    "readTeam": Expected("get", "/teams/{teamId}", ROLE, "team:list", "directory", READ, 200),
    "changeTeam": Expected("patch", "/teams/{teamId}", ROLE, "team:change", "directory", UPDATE, 200),
    "suspendTeam": Expected("post", "/teams/{teamId}/suspension", ROLE, "team:suspend", "directory", UPDATE, 201),
    "resumeTeam": Expected("post", "/teams/{teamId}/resumption", ROLE, "team:suspend", "directory", UPDATE, 201),
    "mergeTeam": Expected("post", "/teams/{teamId}/merger", ROLE, "team:merge", "directory", UPDATE, 201),
    "listTeamMembers": Expected("get", "/teams/{teamId}/members", ROLE, "team-member:list", "directory", READ, 200),
    "addTeamMember": Expected("post", "/teams/{teamId}/members", ROLE, "team-member:add", "directory", CREATE, 201),
    "endTeamMember": Expected(
        "delete", "/teams/{teamId}/members/{engagementId}", ROLE, "team-member:end", "none", DELETE, 204
    ),
    "registerPatient": Expected("post", "/patients", ROLE, "patient:register", "identification", CREATE, 201),
    "searchPatients": Expected("post", "/patients/_search", ROLE, "patient:search", "identification", EXECUTE, 200),
    "openCase": Expected("post", "/cases", ROLE, "case:open", "case", CREATE, 201),
    "listCases": Expected("get", "/cases", SELF, "case:list", "case", READ, 200),
    "readCase": Expected("get", "/cases/{caseId}", CASE, "case:read", "case", READ, 200),
    "readAccess": Expected("get", "/cases/{caseId}/access", CASE, "case:access", "case", READ, 200),
    "inviteMember": Expected("post", "/cases/{caseId}/members", CASE, "member:invite", "case", CREATE, 201),
    "listMembers": Expected("get", "/cases/{caseId}/members", CASE, "member:list", "case", READ, 200),
    "listInvitations": Expected("get", "/invitations", SELF, "invitation:list", "none", READ, 200),
    "acceptInvitation": Expected(
        "post", "/cases/{caseId}/members/{memberId}/acceptance", CASE, "invitation:accept", "none", UPDATE, 201
    ),
    "refuseInvitation": Expected(
        "post", "/cases/{caseId}/members/{memberId}/refusal", CASE, "invitation:refuse", "none", UPDATE, 201
    ),
    "endMember": Expected("delete", "/cases/{caseId}/members/{memberId}", CASE, "member:end", "none", DELETE, 204),
    "recordPublicTask": Expected(
        "post", "/cases/{caseId}/members/{memberId}/public-tasks", CASE, "public-task:record", "none", CREATE, 201
    ),
    "endPublicTask": Expected(
        "post", "/cases/{caseId}/public-tasks/{taskId}/ending", CASE, "public-task:end", "none", UPDATE, 204
    ),
    "listConsentTexts": Expected("get", "/consent-texts", SELF, "consent-text:list", "none", READ, 200),
    "giveConsent": Expected("post", "/cases/{caseId}/consents", CASE, "consent:give", "case", CREATE, 201),
    "askConsent": Expected("post", "/cases/{caseId}/consent-requests", CASE, "consent:ask", "case", CREATE, 201),
    "decideConsent": Expected("post", "/consents/{consentId}/decisions", CASE, "consent:decide", "case", UPDATE, 201),
    "listConsentRequests": Expected("get", "/me/consent-requests", SELF, "consent-request:list", "case", READ, 200),
    "listAccesses": Expected("get", "/me/accesses", SELF, "access-log:read", "log", READ, 200),
    "readMatrix": Expected("get", "/cases/{caseId}/matrix", CASE, "case:access", "case", READ, 200),
    "listConsentBundles": Expected("get", "/consent-bundles", SELF, "consent-bundle:list", "none", READ, 200),
    "useConsentBundle": Expected(
        "post", "/cases/{caseId}/consent-bundles", CASE, "consent-bundle:use", "case", CREATE, 201
    ),
    "renewConsent": Expected("post", "/consents/{consentId}/renewal", CASE, "consent:renew", "case", CREATE, 201),
    "addConsentRecipient": Expected(
        "post", "/consents/{consentId}/additions", CASE, "consent:extend", "case", CREATE, 201
    ),
    "listConsents": Expected("get", "/cases/{caseId}/consents", CASE, "consent:list", "case", READ, 200),
    "readConsent": Expected("get", "/consents/{consentId}", CASE, "consent:read", "case", READ, 200),
    "previewWithdrawal": Expected(
        "get", "/consents/{consentId}/withdrawal-preview", CASE, "consent:preview", "case", READ, 200
    ),
    "withdrawConsent": Expected(
        "post", "/consents/{consentId}/withdrawal", CASE, "consent:withdraw", "case", UPDATE, 201
    ),
    "narrowConsent": Expected("post", "/consents/{consentId}/narrowing", CASE, "consent:narrow", "case", UPDATE, 201),
    "previewNarrowing": Expected(
        "post", "/consents/{consentId}/narrowing-preview", CASE, "consent:preview", "case", READ, 200
    ),
    "recordExclusion": Expected("post", "/cases/{caseId}/exclusions", CASE, "exclusion:record", "case", CREATE, 201),
    "listExclusions": Expected("get", "/cases/{caseId}/exclusions", CASE, "exclusion:list", "case", READ, 200),
    "endExclusion": Expected(
        "delete", "/cases/{caseId}/exclusions/{exclusionId}", CASE, "exclusion:end", "none", DELETE, 204
    ),
    "recordObjection": Expected("post", "/cases/{caseId}/objections", CASE, "objection:record", "case", CREATE, 201),
    "listObjections": Expected("get", "/cases/{caseId}/objections", CASE, "objection:list", "case", READ, 200),
    "endObjection": Expected(
        "delete", "/cases/{caseId}/objections/{objectionId}", CASE, "objection:end", "none", DELETE, 204
    ),
    "recordOpening": Expected("post", "/cases/{caseId}/openings", CASE, "opening:record", "case", CREATE, 201),
    "listOpenings": Expected("get", "/cases/{caseId}/openings", CASE, "opening:list", "case", READ, 200),
    "endOpening": Expected(
        "delete", "/cases/{caseId}/openings/{openingId}", CASE, "opening:end", "none", DELETE, 204
    ),
    "recordSafeContact": Expected(
        "post", "/cases/{caseId}/safe-contacts", CASE, "safe-contact:record", "case", CREATE, 201
    ),
    "listSafeContacts": Expected(
        "get", "/cases/{caseId}/safe-contacts", CASE, "safe-contact:list", "case", READ, 200
    ),
    "addSubject": Expected("post", "/cases/{caseId}/subjects", CASE, "subject:add", "case", CREATE, 201),
    "recordRepresentation": Expected(
        "post", "/cases/{caseId}/representations", CASE, "representation:record", "case", CREATE, 201
    ),
    "listRepresentations": Expected(
        "get", "/cases/{caseId}/representations", CASE, "representation:list", "case", READ, 200
    ),
    "endRepresentation": Expected(
        "post",
        "/cases/{caseId}/representations/{representationId}/ending",
        CASE,
        "representation:end",
        "none",
        UPDATE,
        204,
    ),
    "issueRepresentativeCode": Expected(
        "post",
        "/cases/{caseId}/representations/{representationId}/activation-codes",
        CASE,
        "representation:record",
        "none",
        CREATE,
        201,
    ),
    "withhold": Expected(
        "post",
        "/cases/{caseId}/representations/{representationId}/withholdings",
        CASE,
        "withholding:record",
        "case",
        CREATE,
        201,
    ),
    "endWithholding": Expected(
        "post", "/cases/{caseId}/withholdings/{withholdingId}/ending", CASE, "withholding:end", "none", UPDATE, 204
    ),
    "listRegister": Expected("get", "/consents", ROLE, "register:list", "log", READ, 200),
    "exportRegister": Expected("get", "/consent-exports", ROLE, "register:export", "log", READ, 200),
    "readAccessDecision": Expected("get", "/access-decisions", ROLE, "access:replay", "log", READ, 200),
    "openSafetyReport": Expected(
        "post", "/cases/{caseId}/safety-reports", CASE, "safety-report:record", "case", CREATE, 201
    ),
    "takeSafetyStep": Expected(
        "post", "/cases/{caseId}/safety-reports/{reportId}/steps", CASE, "safety-report:record", "case", CREATE, 201
    ),
    "listSafetyReports": Expected(
        "get", "/cases/{caseId}/safety-reports", CASE, "safety-report:list", "case", READ, 200
    ),
    "recordDisclosure": Expected(
        "post", "/cases/{caseId}/disclosures", CASE, "disclosure:record", "case", CREATE, 201
    ),
    "listDisclosures": Expected("get", "/cases/{caseId}/disclosures", CASE, "disclosure:list", "case", READ, 200),
    "listAllDisclosures": Expected("get", "/disclosures", ROLE, "disclosure:watch", "case", READ, 200),
    "openThread": Expected("post", "/cases/{caseId}/threads", CASE, "thread:open", "case", CREATE, 201),
    "listThreads": Expected("get", "/cases/{caseId}/threads", CASE, "thread:list", "case", READ, 200),
    "readThread": Expected("get", "/threads/{threadId}", CASE, "thread:read", "case", READ, 200),
    "releaseThread": Expected("post", "/threads/{threadId}/release", CASE, "thread:release", "case", UPDATE, 201),
    "recordAccessRequest": Expected(
        "post", "/cases/{caseId}/access-requests", CASE, "access-request:record", "case", CREATE, 201
    ),
    "postMessage": Expected("post", "/threads/{threadId}/messages", CASE, "message:post", "case", CREATE, 201),
    "listMessages": Expected("get", "/threads/{threadId}/messages", CASE, "message:list", "case", READ, 200),
    "readMessage": Expected("get", "/messages/{messageId}", CASE, "message:read", "case", READ, 200),
    "correctMessage": Expected(
        "post", "/messages/{messageId}/corrections", CASE, "message:correct", "case", CREATE, 201
    ),
    "retractMessage": Expected(
        "post", "/messages/{messageId}/retraction", CASE, "message:retract", "case", DELETE, 201
    ),
    "addMessageStatement": Expected(
        "post", "/messages/{messageId}/statements", CASE, "statement:add", "case", CREATE, 201
    ),
    "listMessageStatements": Expected(
        "get", "/messages/{messageId}/statements", CASE, "statement:list", "case", READ, 200
    ),
    "addConsentStatement": Expected(
        "post", "/consents/{consentId}/statements", CASE, "statement:add", "case", CREATE, 201
    ),
    "listConsentStatements": Expected(
        "get", "/consents/{consentId}/statements", CASE, "statement:list", "case", READ, 200
    ),
    "listNotices": Expected("get", "/notices", SELF, "notice:list", "none", READ, 200),
    "markNoticeRead": Expected("post", "/notices/{noticeId}/reading", SELF, "notice:read", "none", UPDATE, 201),
    "readLetter": Expected("get", "/notices/{noticeId}/letter", SELF, "notice:print", "none", READ, 200),
    "breakGlass": Expected("post", "/break-glass", ROLE, "break-glass:use", "identification", EXECUTE, 201),
    "listBreakGlass": Expected("get", "/break-glass", ROLE, "break-glass:list", "identification", READ, 200),
    "readBreakGlass": Expected(
        "get", "/break-glass/{breakGlassId}", ROLE, "break-glass:read", "identification", READ, 200
    ),
    "confirmBreakGlass": Expected(
        "post",
        "/break-glass/{breakGlassId}/confirmation",
        ROLE,
        "break-glass:confirm",
        "identification",
        EXECUTE,
        201,
    ),
    "endBreakGlass": Expected(
        "post", "/break-glass/{breakGlassId}/ending", ROLE, "break-glass:end", "identification", UPDATE, 201
    ),
    "reviewBreakGlass": Expected(
        "post", "/break-glass/{breakGlassId}/review", ROLE, "break-glass:review", "identification", UPDATE, 201
    ),
    "recordDeath": Expected("post", "/cases/{caseId}/deaths", CASE, "death:record", "case", CREATE, 201),
    "listDeaths": Expected("get", "/cases/{caseId}/deaths", CASE, "death:list", "case", READ, 200),
    "undoDeath": Expected(
        "post", "/cases/{caseId}/deaths/{deathId}/undoing", CASE, "death:undo", "case", UPDATE, 201
    ),
    "decideAfterDeathRequest": Expected(
        "post", "/cases/{caseId}/after-death-requests", CASE, "after-death:decide", "case", CREATE, 201
    ),
    "listAfterDeathRequests": Expected(
        "get", "/cases/{caseId}/after-death-requests", CASE, "after-death:list", "case", READ, 200
    ),
    "announcePracticeChange": Expected(
        "post", "/cases/{caseId}/practice-changes", CASE, "practice-change:announce", "case", CREATE, 201
    ),
    "listPracticeChanges": Expected(
        "get", "/cases/{caseId}/practice-changes", CASE, "practice-change:list", "case", READ, 200
    ),
    "listPracticeChangesAsked": Expected(
        "get", "/practice-changes", SELF, "practice-change:receive", "none", READ, 200
    ),
    **{
        f"{verb}PracticeChange": Expected(
            "post",
            f"/cases/{{caseId}}/practice-changes/{{changeId}}/{noun}",
            CASE,
            f"practice-change:{verb}",
            "case",
            UPDATE,
            201,
        )
        for verb, noun in (("accept", "acceptance"), ("refuse", "refusal"), ("withdraw", "withdrawal"))
    },
    "recordMove": Expected("post", "/cases/{caseId}/moves", CASE, "move:record", "case", CREATE, 201),
    "exportContributions": Expected("get", "/contribution-exports", SELF, "contribution:export", "case", READ, 200),
    "listContributions": Expected("get", "/contributions", SELF, "contribution:list", "case", READ, 200),
    "listEngagements": Expected(
        "get", "/organisations/{organisationId}/engagements", ROLE, "engagement:list", "directory", READ, 200
    ),
    "createEngagement": Expected(
        "post", "/organisations/{organisationId}/engagements", ROLE, "engagement:create", "directory", CREATE, 201
    ),
    "readEngagement": Expected("get", "/engagements/{engagementId}", ROLE, "engagement:list", "directory", READ, 200),
    "changeEngagement": Expected(
        "patch", "/engagements/{engagementId}", ROLE, "engagement:change", "directory", UPDATE, 200
    ),
    "suspendEngagement": Expected(
        "post", "/engagements/{engagementId}/suspension", ROLE, "engagement:suspend", "directory", UPDATE, 201
    ),
    "resumeEngagement": Expected(
        "post", "/engagements/{engagementId}/resumption", ROLE, "engagement:suspend", "directory", UPDATE, 201
    ),
    "confirmEngagement": Expected(
        "post", "/engagements/{engagementId}/confirmation", ROLE, "engagement:confirm", "directory", UPDATE, 201
    ),
    "confirmEngagements": Expected(
        "post", "/organisations/{organisationId}/confirmations", ROLE, "engagement:confirm", "directory", UPDATE, 201
    ),
    "issueEnrolmentCode": Expected(
        "post", "/accounts/{accountId}/enrolment-codes", ROLE, "enrolment:issue", "none", CREATE, 201
    ),
    "offerEngagementCode": Expected("post", "/engagement-codes", SELF, "engagement:offer", "none", CREATE, 201),
    "importStaff": Expected(
        "post", "/organisations/{organisationId}/staff-imports", ROLE, "staff:import", "directory", CREATE, 201
    ),
    "listClients": Expected("get", "/clients", ROLE, "client:list", "directory", READ, 200),
    "registerClient": Expected("post", "/clients", ROLE, "client:register", "directory", CREATE, 201),
    "readClient": Expected("get", "/clients/{clientId}", ROLE, "client:list", "directory", READ, 200),
    "changeClient": Expected("patch", "/clients/{clientId}", ROLE, "client:change", "directory", UPDATE, 200),
    "suspendClient": Expected(
        "post", "/clients/{clientId}/suspension", ROLE, "client:suspend", "directory", UPDATE, 201
    ),
    "resumeClient": Expected(
        "post", "/clients/{clientId}/resumption", ROLE, "client:suspend", "directory", UPDATE, 201
    ),
    "searchAuditEvents": Expected("get", "/audit/events", ROLE, "audit:search", "log", READ, 200),
    "previewEnding": Expected(
        "get", "/engagements/{engagementId}/ending-preview", ROLE, "engagement:preview", "none", READ, 200
    ),
    "endEngagement": Expected(
        "post", "/engagements/{engagementId}/ending", ROLE, "engagement:end", "none", UPDATE, 201
    ),
    "startReplacement": Expected("post", "/replacements", ROLE, "replacement:start", "directory", CREATE, 201),
    "listReplacements": Expected("get", "/replacements", ROLE, "replacement:list", "directory", READ, 200),
    "endReplacement": Expected(
        "post", "/replacements/{replacementId}/ending", ROLE, "replacement:end", "directory", UPDATE, 201
    ),
    "listDossierKeepers": Expected(
        "get", "/organisations/{organisationId}/dossier-keepers", ROLE, "dossier-keeper:list", "directory", READ, 200
    ),
    "nameDossierKeeper": Expected(
        "post",
        "/organisations/{organisationId}/dossier-keepers",
        ROLE,
        "dossier-keeper:name",
        "directory",
        CREATE,
        201,
    ),
    "endDossierKeeper": Expected(
        "delete",
        "/organisations/{organisationId}/dossier-keepers/{engagementId}",
        ROLE,
        "dossier-keeper:end",
        "none",
        DELETE,
        204,
    ),
    "listDossierContributions": Expected("get", "/dossier-contributions", ROLE, "dossier:read", "case", READ, 200),
    "listSubstitutes": Expected(
        "get", "/organisations/{organisationId}/substitutes", ROLE, "substitute:list", "directory", READ, 200
    ),
    "registerSubstitute": Expected(
        "post", "/organisations/{organisationId}/substitutes", ROLE, "substitute:register", "directory", CREATE, 201
    ),
    "strikeSubstitute": Expected(
        "delete",
        "/organisations/{organisationId}/substitutes/{engagementId}",
        ROLE,
        "substitute:end",
        "none",
        DELETE,
        204,
    ),
    "issueTicket": Expected("post", "/realtime-tickets", SELF, "realtime-ticket:issue", "none", EXECUTE, 201),
}

EXPORTS = {"exportRegister", "exportContributions"}
"""Operations that answer with a file instead of JSON."""

SCIM = {
    "/scim/v2/ServiceProviderConfig": {"GET": "scim:read"},
    "/scim/v2/ResourceTypes": {"GET": "scim:read"},
    "/scim/v2/ResourceTypes/User": {"GET": "scim:read"},
    "/scim/v2/Schemas": {"GET": "scim:read"},
    "/scim/v2/Schemas/urn:ietf:params:scim:schemas:core:2.0:User": {"GET": "scim:read"},
    "/scim/v2/Schemas/urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": {"GET": "scim:read"},
    "/scim/v2/Schemas/urn:nl:overlegtafel:scim:schemas:extension:staff:1.0:User": {"GET": "scim:read"},
    "/scim/v2/Users": {"GET": "scim:read", "POST": "scim:write"},
    "/scim/v2/Users/{userId}": {
        "GET": "scim:read",
        "PUT": "scim:write",
        "PATCH": "scim:write",
        "DELETE": "scim:write",
    },
}
"""What an identity system reaches: a standard of its own, which describes itself."""

OUTSIDE = {
    "/api/v1/openapi.json",
    "/openapi.json",
    "/api/v1/realtime",
    "/.well-known/jwks.json",
    "/.well-known/openid-configuration",
    "/api/v1/oidc-callback",
    "/api/v1/oidc-logout",
    "/.well-known/oauth-authorization-server",
    "/oauth/token",
    "/oauth/revoke",
    "/oauth/introspect",
    "/docs",
    "/docs/assets/{name}",
    "/problems",
    "/problems/{code}",
    *SCIM,
}
"""Addresses that are no operation: documents open to all, the endpoints of OAuth, which speak its own language, and
the socket, whose frames are listed below."""

CLIENT_FRAMES = {
    "authenticate": (PUBLIC, "socket:authenticate", "none", "access"),
    "join": (CASE, "case:listen", "event", "access"),
    "leave": (SELF, "case:leave", "none", "none"),
    "post": (CASE, "message:post", "thread", "change"),
    "typing": (CASE, "thread:typing", "thread", "none"),
    "ping": (SELF, "socket:ping", "none", "none"),
}
SERVER_FRAMES = {
    "ready": (SELF, "socket:authenticate", "none", "access"),
    "joined": (CASE, "case:listen", "contact_network", "access"),
    "left": (SELF, "case:leave", "none", "none"),
    "ack": (CASE, "message:post", "none", "change"),
    "error": (PUBLIC, "socket:refuse", "none", "none"),
    "presence": (CASE, "case:listen", "contact_network", "none"),
    "typing": (CASE, "thread:typing", "thread", "none"),
    "event": (CASE, "case:listen", "event", "access"),
    "narrowed": (SELF, "case:listen", "none", "none"),
    "ended": (SELF, "case:listen", "none", "none"),
    "paused": (SELF, "case:listen", "none", "none"),
    "resumed": (SELF, "case:listen", "none", "none"),
    "bye": (PUBLIC, "socket:close", "none", "none"),
    "pong": (SELF, "socket:ping", "none", "none"),
}
