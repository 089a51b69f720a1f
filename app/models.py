"""Every table there is: foreign keys name one another's, so whoever uses one must know of all."""

import app.audit.model
import app.cases.model
import app.consent.grounds_model
import app.consent.model
import app.crypto.model
import app.entitlement.model
import app.events.model
import app.identity.factors.model
import app.identity.model
import app.identity.oidc.model
import app.notices.model
import app.safety.model
import app.threads.model
import app.threads.statements.model  # noqa: F401
