// A certified OpenID provider on loopback, for the tests. Clients register themselves (RFC 7591) under the client_id
// that they give as software_id. Whoever logs in types a name and chooses how many factors that shows.

import { createServer } from 'node:http';
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import Provider from 'oidc-provider';

const TWO = 'urn:overlegtafel:test:two';
const ONE = 'urn:overlegtafel:test:one';

function signingKey(alg, kind, options) {
  const { privateKey } = generateKeyPairSync(kind, options);
  return { ...privateKey.export({ format: 'jwk' }), alg, use: 'sig', kid: `${alg}-1` };
}

const port = await new Promise((resolve) => {
  const probe = createServer().listen(0, '127.0.0.1', () => {
    const found = probe.address().port;
    probe.close(() => resolve(found));
  });
});
const issuer = `http://127.0.0.1:${port}`;

const provider = new Provider(issuer, {
  jwks: {
    keys: [
      signingKey('ES256', 'ec', { namedCurve: 'P-256' }),
      signingKey('RS256', 'rsa', { modulusLength: 2048 }),
      signingKey('PS256', 'rsa', { modulusLength: 2048 }),
    ],
  },
  cookies: { keys: [randomBytes(32).toString('hex')] },
  acrValues: [TWO, ONE],
  claims: { openid: ['sub'], acr: null, amr: null, auth_time: null, sid: null, iss: null },
  findAccount: (_ctx, id) => ({ accountId: id, claims: async () => ({ sub: id }) }),
  interactions: { url: (_ctx, interaction) => `/interaction/${interaction.uid}` },
  // Its guard against addresses on this machine would keep it from telling us, who live there.
  fetch: (url, { dispatcher: _guard, ...options }) => globalThis.fetch(url, options),
  pkce: { required: () => true },
  responseTypes: ['code'],
  features: {
    devInteractions: { enabled: false },
    backchannelLogout: { enabled: true },
    registration: {
      enabled: true,
      idFactory: (ctx) => ctx.oidc.body.software_id,
      secretFactory: (ctx) => `${ctx.oidc.body.software_id}-${'s'.repeat(43)}`,
    },
  },
  extraClientMetadata: { properties: ['software_id'] },
  clientAuthMethods: ['client_secret_basic', 'client_secret_post', 'private_key_jwt'],
  ttl: { Session: 3600, Interaction: 600, Grant: 3600, IdToken: 300, AccessToken: 300 },
});
provider.on('server_error', (_ctx, error) => console.error(error.stack));
provider.on('backchannel.error', (_ctx, error) => console.error(`backchannel: ${error.message}`));

const page = (uid, body) => `<!doctype html><title>Log in</title><form method="post" action="/interaction/${uid}">${body}</form>`;
const LOGIN = `<input name="login"><select name="factors"><option>two</option><option>one</option></select>
  <button name="choice" value="go">Log in</button><button name="choice" value="abort">Cancel</button>`;
const CONSENT = '<input type="hidden" name="consent" value="yes"><button name="choice" value="go">Allow</button>';

async function form(request) {
  let text = '';
  for await (const chunk of request) text += chunk;
  return new URLSearchParams(text);
}

async function decided(details, given) {
  if (given.get('choice') === 'abort') return { error: 'access_denied', error_description: 'cancelled' };
  if (details.prompt.name === 'login') {
    const two = given.get('factors') !== 'one';
    return { login: { accountId: given.get('login'), acr: two ? TWO : ONE, amr: two ? ['pwd', 'otp'] : ['pwd'] } };
  }
  const grant = details.grantId
    ? await provider.Grant.find(details.grantId)
    : new provider.Grant({ accountId: details.session.accountId, clientId: details.params.client_id });
  grant.addOIDCScope(details.params.scope);
  grant.addOIDCClaims(details.prompt.details.missingOIDCClaims ?? []);
  return { consent: { grantId: await grant.save() } };
}

async function interact(request, response) {
  const details = await provider.interactionDetails(request, response);
  if (request.method === 'POST') {
    const result = await decided(details, await form(request));
    await provider.interactionFinished(request, response, result, { mergeWithLastSubmission: true });
    return;
  }
  response.setHeader('content-type', 'text/html; charset=utf-8');
  response.end(page(details.uid, details.prompt.name === 'login' ? LOGIN : CONSENT));
}

const protocol = provider.callback();
const server = createServer((request, response) => {
  if (!request.url.startsWith('/interaction/')) {
    protocol(request, response);
    return;
  }
  interact(request, response).catch((error) => {
    console.error(error.stack);
    response.statusCode = 500;
    response.end();
  });
});
server.listen(port, '127.0.0.1', () => console.log(JSON.stringify({ issuer, pid: process.pid })));
// Whoever started this holds the other end of standard input; when that is gone, so is the provider.
process.stdin.resume();
process.stdin.on('end', () => process.exit(0));
