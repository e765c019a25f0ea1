// Measures how long the server takes for each page of the console, with 10,000 hooks and 1,000,000 attempts by default.
//
//   cargo build --release && cd tests/console && npm ci
//   SWITCHHOOK_BIN=../../target/release/switchhook npm run figures -- [--hooks=10000] [--attempts=1000000] [--rounds=20]
//
// The hooks send to the built-in receiver, so nothing else is needed. One tenant has half of the hooks, a hundred others
// have the rest; one hook in twenty fails. The only hook of a further tenant makes a fifth of the attempts. Prints a row for
// each page: median and slowest, in milliseconds. The list of accounts has one row for each tenant.
import { createHash } from 'node:crypto';
import { Agent, request } from 'node:http';
import { MASTER_KEY, Program, call, until } from './rig.mjs';

const INBOX = 'http://inbox.switchhook.invalid/';
const option = (name, usual) => {
  const given = process.argv.find((word) => word.startsWith(`--${name}=`));
  return given ? Number(given.split('=')[1]) : usual;
};
const HOOKS = option('hooks', 10_000);
const ATTEMPTS = option('attempts', 1_000_000);
const ROUNDS = option('rounds', 20);
const OTHERS = Math.min(100, Math.max(1, Math.floor(HOOKS / 100)));
const MOST = 100;

const agent = new Agent({ keepAlive: true });

/** Sends a request over an open connection; returns status, body and milliseconds until the last byte. */
function ask(address, method, path, headers = {}, body = undefined) {
  const [host, port] = address.split(':');
  return new Promise((go, fail) => {
    const began = process.hrtime.bigint();
    const asked = request({ agent, host, port, method, path, headers }, (answer) => {
      const parts = [];
      answer.on('data', (part) => parts.push(part));
      answer.on('end', () => go({
        status: answer.statusCode, headers: answer.headers, text: Buffer.concat(parts).toString(),
        ms: Number(process.hrtime.bigint() - began) / 1e6,
      }));
    });
    asked.on('error', fail);
    asked.end(body);
  });
}

const id = (n) => createHash('sha256').update(`figures ${n}`).digest('hex').slice(0, 32);
const [MASTER, LARGE, BUSY] = [id('master'), id('large'), id('busy')];
const [BUSY_HOOK, RARE_HOOK] = [id('busy hook'), id('rare hook')];
const OF_BUSY = Math.floor(ATTEMPTS / 5);
const OTHER = Array.from({ length: OTHERS }, (_, n) => id(`other ${n}`));
const owner = (n) => (n < HOOKS / 2 ? LARGE : OTHER[n % OTHERS]);
const hookOf = (n) => id(`hook ${n}`);

/** Writes accounts and hooks into the data directory before the first start. */
async function prepare(fresh) {
  const below = [[LARGE, 'Large tenant'], [BUSY, 'Busy tenant'], ...OTHER.map((account, n) => [account, `Tenant ${n}`])];
  const accounts = [{ id: MASTER, name: 'Operator', tree: [] }, ...below.map(([account, name]) => ({ id: account, name, tree: [MASTER] }))];
  const doc = (n) => ({
    name: `Hook ${n}`, uri: n % 20 === 0 ? `${INBOX}503` : INBOX, hook: n % 2 ? 'all' : 'channel_create', http_verb: 'post', retries: 1,
  });
  const hooks = Array.from({ length: HOOKS }, (_, n) => ({ id: hookOf(n), account: owner(n), doc: doc(n) }));
  // It wants none of the events that come.
  const rare = { id: RARE_HOOK, account: LARGE, doc: { ...doc(1), name: 'Rare', hook: 'parking' } };
  await fresh.import(accounts, [...hooks, { id: BUSY_HOOK, account: BUSY, doc: doc(1) }, rare]);
}

/** Submits events until there are this many attempts. */
async function fill(program) {
  // Each event of an account is delivered to all of its hooks.
  let sent = 0;
  for (; sent < OF_BUSY; sent += MOST) {
    await program.publish(Array.from({ length: MOST }, (_, n) => call(`busy-${(sent + n) % 1000}`, sent + n)), BUSY);
  }
  const of = new Map([[LARGE, HOOKS / 2], ...OTHER.map((account) => [account, HOOKS / 2 / OTHERS])]);
  while (sent < ATTEMPTS) {
    for (const [account, number] of of) {
      const events = Math.max(1, Math.min(MOST, Math.round((ATTEMPTS * number) / HOOKS / number / 4)));
      await program.publish(Array.from({ length: events }, (_, n) => call(`call-${sent}-${n % 10}`, n)), account);
      sent += events * number;
    }
    process.stderr.write(`handed in ${Math.min(sent, ATTEMPTS)} of ${ATTEMPTS} deliveries\n`);
  }
  await until('all is delivered but what the failing hooks wait for', async () => {
    await new Promise((go) => { setTimeout(go, 1000); });
    const { hooks_by_state: of_state } = (await program.call('GET', '/admin/overview')).data;
    return of_state.delivering + of_state.waiting === 0;
  }, 3_600_000);
}

const program = await Program.start(['delivery.per_hook_in_flight=64', 'disable.failure_count=5'], prepare);
try {
  const began = Date.now();
  await fill(program);
  process.stderr.write(`the data set is there after ${Math.round((Date.now() - began) / 1000)} s\n`);
  const { address } = program;
  const login = await ask(address, 'POST', '/console/login', {
    'content-type': 'application/x-www-form-urlencoded', origin: `http://${address}`,
  }, new URLSearchParams({ api_key: MASTER_KEY }).toString());
  const cookie = login.headers['set-cookie'][0].split(';')[0];
  const [account, hook] = [LARGE, hookOf(1)];
  const attempts = (await program.call('GET', `/v2/accounts/${account}/webhooks/${hook}/attempts?page_size=1`)).data;
  const [attempt] = attempts;
  const of = (below) => `/console/accounts/${LARGE}/${below}`;
  const ofBusy = (below) => `/console/accounts/${BUSY}/${below}`;
  // The first event of the busy hook has all of its later attempts behind it.
  const oldest = (await program.call('GET', `/v2/accounts/${BUSY}/events?ascending=true&page_size=1`)).data[0];
  const pages = [
    ['Overview', '/console/'],
    ['All hooks', '/console/admin/hooks'],
    ['All hooks, those that fail', '/console/admin/hooks?state=auto_disabled,failing'],
    ['All hooks, searched', '/console/admin/hooks?q=Hook+77'],
    ['Hooks of an account', of('hooks')],
    ['Hooks of an account, by name', of('hooks?sort=name')],
    ['One hook', of(`hooks/${hook}`)],
    ['One hook, what waits', of(`hooks/${hook}?tab=waiting`)],
    ['One hook, what is dead', of(`hooks/${hook}?tab=dead`)],
    ['One attempt', of(`hooks/${hook}/attempts/${attempt.delivery_id}`)],
    ['A busy hook', ofBusy(`hooks/${BUSY_HOOK}`)],
    ['A busy hook, what is dead', ofBusy(`hooks/${BUSY_HOOK}?tab=dead`)],
    ['A busy hook, its first attempt', ofBusy(`hooks/${BUSY_HOOK}/attempts/${oldest.id}`)],
    ['A busy hook, its first event', ofBusy(`events/${oldest.id}`)],
    ['Events', of('events')],
    ['Events, searched by subject', of('events?subject=call-0-1')],
    ['Events, searched without a hit', ofBusy('events?subject=nobody')],
    ['Live events', of('events/tail')],
    ['One event', of(`events/${attempt.event_id}`)],
    ['One event, where it failed', of(`events/${attempt.event_id}?state=waiting,retrying,dead`)],
    ['A call', of('call?subject=call-0-1')],
    ['New hook', of('hooks/new')],
    ['Edit a hook', of(`hooks/${hook}/edit`)],
    ['Replay', of(`hooks/${hook}/replay`)],
    ['Accounts', `/console/accounts/${program.account}/below`],
    ['Accounts, searched', `/console/accounts/${program.account}/below?q=tenant+7`],
    ['Audit of one hook', of(`audit?id=${hook}`)], ['All audit, of one hook', `/console/admin/audit?id=${hook}`],
    ['A rare hook, what waits', of(`hooks/${RARE_HOOK}?tab=waiting`)],
    ['Users', of('users')], ['API keys', of('keys')], ['Links', of('links')], ['Websockets', of('sessions')],
    ['Audit of an account', of('audit')], ['All audit', '/console/admin/audit'],
    ['Quarantine', '/console/admin/quarantine'], ['Logs and disk', '/console/admin/log'], ['Configuration', '/console/admin/config'],
  ];
  console.log('| Page | median ms | slowest ms | KB |\n| --- | --- | --- | --- |');
  for (const [name, path] of pages) {
    const seen = [];
    for (let n = 0; n < ROUNDS; n += 1) seen.push(await ask(address, 'GET', path, { cookie, accept: 'text/html' }));
    if (seen[0].status !== 200) throw new Error(`${name}: ${seen[0].status} ${seen[0].text.slice(0, 500)}`);
    const ms = seen.map((one) => one.ms).sort((a, b) => a - b);
    const kb = Math.round(seen[0].text.length / 1024);
    console.log(`| ${name} | ${ms[Math.floor(ROUNDS / 2)].toFixed(1)} | ${ms[ROUNDS - 1].toFixed(1)} | ${kb} |`);
  }
} finally {
  agent.destroy();
  await program.stop();
}
