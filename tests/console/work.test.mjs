// What people do with the console: the first hook, links, copying, probing, sending again; and what plain users see.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import { SECRET, call, ended, started, until, visitor } from './rig.mjs';

const run = promisify(execFile);

let chrome;
let program;
let receiver;

before(async () => {
  [chrome, program, receiver] = await started(['disable.probe_initial_ms=3600000']);
});

after(() => ended(chrome, program, receiver));

const at = (path) => `${program.base}/console/${path}`;

async function tenant(name) {
  const account = await program.below(name);
  const key = (await program.call('PUT', `/v2/accounts/${account}/api_keys`, { name: 'k' })).data.api_key;
  return { account, key, hooks: (below = '') => at(`accounts/${account}/hooks${below}`) };
}

async function attempts(account, hook, n = 1) {
  const path = `/v2/accounts/${account}/webhooks/${hook}/attempts`;
  return until(`${n} attempts are listed`, async () => {
    const rows = (await program.call('GET', path)).data;
    return rows.length >= n ? rows : null;
  });
}

test('three clicks create a first hook, test it and show the request', async () => {
  const { account, key } = await tenant('Newcomer');
  const page = await visitor(chrome, program, { key });
  await page.click('a:has-text("Try it with the built-in receiver")');
  await page.click('button:has-text("Make the hook")');
  await page.waitForURL(/tab=inbox/);
  await page.click('#inbox button:has-text("Send a test")');
  await page.waitForSelector('#inbox details');
  const text = await page.textContent('#inbox');
  assert.match(text, /x-test/);
  assert.match(text, /answered with 200/);
  // An event of the account arrives on the open page without a click.
  await program.publish([call('first-call', 1)], account);
  await page.waitForFunction(() => document.querySelectorAll('#inbox details').length === 2);
  assert.match(await page.textContent('#inbox'), /first-call/);
  assert.deepEqual(page.errors, []);
  await page.context().close();
});

test('a link from the page opens the console once, without a password and only with its rights', async () => {
  const { account, key, hooks } = await tenant('Linked');
  const hook = await program.hook({ name: 'Seen by link', uri: `${receiver.base}/linked?key=s3cret`, secret: SECRET }, account);
  const page = await visitor(chrome, program, { key });
  await page.goto(at(`accounts/${account}/links`));
  await page.click('button:has-text("Make the link")');
  const link = (await page.textContent('#new-link')).trim();
  assert.ok(link.startsWith(`${program.base}/console/link/`), link);
  const guest = await visitor(chrome, program, { key: null });
  await guest.goto(link);
  await guest.click('button:has-text("Open")');
  await guest.waitForURL(at(''));
  await guest.goto(hooks(`/${hook}?tab=settings`));
  const text = await guest.content();
  assert.ok(text.includes('Seen by link') && !text.includes('s3cret') && !text.includes(SECRET));
  assert.equal(await guest.locator('button:has-text("Pause")').count(), 0, 'a guest may look only');
  const other = await visitor(chrome, program, { key: null });
  await other.goto(link);
  await other.click('button:has-text("Open")');
  assert.match(await other.textContent('main'), /used already/);
  // Revoking a link ends its sessions. An open page would go to the log-in by itself, in competition with this test.
  await guest.goto('about:blank');
  await page.goto(at(`accounts/${account}/links`));
  await page.click('button:has-text("Revoke")');
  await page.waitForURL(/done=revoked/);
  await guest.goto(hooks());
  assert.match(guest.url(), /\/console\/login/);
  for (const each of [page, guest, other]) await each.context().close();
});

test('a plain user sees hooks and attempts without secrets, can change nothing and finds no admin page', async () => {
  const { account, hooks } = await tenant('With a user');
  const hook = await program.hook({ name: 'Theirs', uri: `${receiver.base}/theirs?key=s3cret`, headers: { 'x-api-key': 'k3y-of-the-receiver' } }, account);
  await program.publish([call('theirs', 1)], account);
  const [row] = await attempts(account, hook);
  await program.call('PUT', `/v2/accounts/${account}/users`, {
    username: 'looker', password: 'correct horse battery', first_name: 'L', last_name: 'K', priv_level: 'user',
  });
  const context = await chrome.newContext();
  const page = await context.newPage();
  await page.goto(at('login'));
  await page.fill('input[name=username]', 'looker');
  await page.fill('input[name=password]', 'correct horse battery');
  await page.fill('input[name=account]', 'With a user');
  await page.click('form:has(input[name=username]) button');
  await page.waitForURL(at(''));
  for (const path of [hooks(), hooks(`/${hook}`), hooks(`/${hook}?tab=settings`), hooks(`/${hook}/attempts/${row.delivery_id}`)]) {
    const answer = await page.goto(path);
    const text = await page.content();
    assert.equal(answer.status(), 200, path);
    assert.ok(!text.includes('s3cret') && !text.includes('k3y-of-the-receiver'), path);
    assert.equal(await page.locator('main form[method=post]').count(), 0, `${path}: nothing to change`);
  }
  for (const path of [
    `accounts/${account}/users`, `accounts/${account}/keys`, `accounts/${account}/links`, `accounts/${account}/audit`,
    `accounts/${account}/events`, `accounts/${account}/first`, `accounts/${account}/hooks/new`, `accounts/${account}/hooks/${hook}/edit`,
    `accounts/${account}/hooks/${hook}/replay`, `accounts/${account}/sessions`, `accounts/${account}/quarantine`,
    'admin/hooks', 'admin/config', 'admin/log', `accounts/${program.account}/hooks`,
  ]) {
    const answer = await page.goto(at(path));
    assert.ok([403, 404].includes(answer.status()), `${path}: ${answer.status()}`);
  }
  await context.close();
});

test('the copy button copies the command of the attempt, and its request is verified', async () => {
  const { account, key, hooks } = await tenant('Copying');
  const hook = await program.hook({ name: 'Copied', uri: `${receiver.base}/copied`, secret: SECRET }, account);
  await program.publish([call('copied', 1)], account);
  const [row] = await attempts(account, hook);
  const page = await visitor(chrome, program, { key });
  await page.context().grantPermissions(['clipboard-read', 'clipboard-write'], { origin: program.base });
  await page.goto(hooks(`/${hook}/attempts/${row.delivery_id}`));
  // The response to a success, as it was received.
  assert.match(await page.textContent('main'), /answer of the receiver/);
  await page.click('[data-copy=curl]');
  await page.waitForSelector('[data-copy=curl]:has-text("Copied")');
  const command = await page.evaluate(() => navigator.clipboard.readText());
  const sent = () => receiver.requests.filter((request) => request.url === '/copied');
  await run('sh', ['-c', `${command} --silent --noproxy '*'`]);
  const [, again] = await until('it arrives', () => (sent().length > 1 ? sent() : null));
  process.env.WEBHOOK_SECRET = SECRET;
  await page.goto(hooks(`/${hook}?tab=verify&language=javascript`));
  const code = await page.textContent('#verify pre');
  const { verify } = await import(`data:text/javascript,${encodeURIComponent(code)}`);
  assert.equal(verify(again.headers, again.body), true);
  for (const [language, word] of [['python', 'def verify'], ['php', 'function verify'], ['go', 'func Verify'], ['rust', 'pub fn verify']]) {
    await page.goto(hooks(`/${hook}?tab=verify&language=${language}`));
    assert.ok((await page.textContent('#verify pre')).includes(word), language);
  }
  await page.context().close();
});

test('a disabled hook is probed with one click, and the open page sees it recover and catch up', async () => {
  const { account, key, hooks } = await tenant('Probing');
  let status = 500;
  receiver.mood = (request) => (request.url === '/probed' ? status : 200);
  const hook = await program.hook({ name: 'Probed', uri: `${receiver.base}/probed`, retry: { max_attempts: 20 } }, account);
  await program.publish([call('a', 1), call('b', 2), call('c', 3)], account);
  await until('the hook is disabled', async () => (await program.queue(hook, account)).state === 'auto_disabled');
  const page = await visitor(chrome, program, { key });
  await page.goto(hooks(`/${hook}`));
  assert.match(await page.textContent('#state .sentence'), /Disabled by Switchhook .*500.*3 events wait/);
  assert.match(await page.textContent('#state .hint'), /Probe now sends the oldest waiting event once.*Enable turns the hook on/s);
  status = 200;
  await page.click('button:has-text("Probe now")');
  await page.waitForFunction(() => /up to date/i.test(document.querySelector('#state .sentence')?.textContent ?? ''));
  assert.equal((await program.queue(hook, account)).waiting, 0);
  assert.deepEqual(page.errors, []);
  await page.context().close();
});

test('a bulk action sends again exactly what its dry run showed', async () => {
  const { account, key, hooks } = await tenant('Again');
  let status = 500;
  receiver.mood = (request) => (request.url.startsWith('/again') ? status : 200);
  const names = ['one', 'two', 'three'];
  const made = [];
  for (const name of names) {
    made.push(await program.hook({
      name, uri: `${receiver.base}/again/${name}`, hook: name === 'three' ? 'channel_destroy' : 'channel_create', retry: { max_attempts: 1 },
    }, account));
  }
  // A success after the failures makes the failed deliveries dead.
  await program.publish([call('x', 1), call('y', 2)], account);
  await Promise.all(made.slice(0, 2).map((hook) => attempts(account, hook, 2)));
  status = 200;
  await program.publish([call('z', 3)], account);
  for (const hook of made.slice(0, 2)) {
    await until('two are dead', async () => (await program.queue(hook, account)).dead === 2);
  }
  const before = receiver.requests.filter((request) => request.url.startsWith('/again')).length;
  const page = await visitor(chrome, program, { key });
  await page.goto(`${hooks()}?q=again`);
  await page.selectOption('#which', 'all');
  await page.selectOption('#action', 'replay');
  await page.click('button[value=check]');
  assert.match(await page.textContent('#counted .sentence'), /2 hooks of 3 would change, 4 deliveries would be made/);
  assert.equal(receiver.requests.filter((request) => request.url.startsWith('/again')).length, before, 'nothing yet');
  await page.click('button[value=apply]');
  assert.match(await page.textContent('#counted .sentence'), /Done for 2 hooks/);
  await until('four are sent again', () => receiver.requests.filter((request) => request.url.startsWith('/again')).length === before + 4);
  await page.context().close();
});

test('saving a form that nobody changed changes nothing, whatever extra fields and headers the hook has', async () => {
  const { account, key, hooks } = await tenant('Unchanged');
  const texts = ['plain', 'a=b', 'two\nlines=x', ' outer ', '\r', '\u0000', '"q"="r"', '</textarea><b>', '\u202eturned', '😀', ''];
  const custom = Object.fromEntries(texts.flatMap((text, at) => [[`k${at}`, text], [`${text}${at}`, 'x']]));
  const hook = await program.hook({
    name: 'Odd', uri: `${receiver.base}/odd?a=%20b`, custom_data: custom, headers: { 'X-Odd': `a: "b" 'c'`, 'X-None': '' }, timeout_ms: 700,
    ordering: 'hook', success: '2xx', resume: 'held', rate_limit_per_s: 9, include_internal_legs: false, include_subaccounts: true, retry: { max_attempts: 9 },
  }, account);
  const read = async () => (await program.call('GET', `/v2/accounts/${account}/webhooks/${hook}`)).data;
  const before = await read();
  const page = await visitor(chrome, program, { key });
  await page.goto(hooks(`/${hook}/edit`));
  await page.click('button[value=save]');
  await page.waitForURL(/done=saved/);
  assert.deepEqual(await read(), before);
  assert.deepEqual(page.errors, []);
  await page.context().close();
});

test('only pages of this console can open the websocket of open pages', async () => {
  const { key } = await tenant('Sockets');
  const page = await visitor(chrome, program, { key });
  const cookies = await page.context().cookies(`${program.base}/console/`);
  const cookie = cookies.map(({ name, value }) => `${name}=${value}`).join('; ');
  const upgrade = (headers) => run('curl', [
    '--silent', '--noproxy', '*', '--http1.1', '--max-time', '2', '--output', '/dev/null', '--write-out', '%{http_code}',
    '--header', 'connection: upgrade', '--header', 'upgrade: websocket', '--header', 'sec-websocket-version: 13',
    '--header', 'sec-websocket-key: MDEyMzQ1Njc4OWFiY2RlZg==', ...headers.flatMap((header) => ['--header', header]), at('live'),
  ]).then(({ stdout }) => stdout, ({ stdout }) => stdout);
  assert.equal(await upgrade([`cookie: ${cookie}`, `origin: ${program.base}`]), '101');
  assert.equal(await upgrade([`cookie: ${cookie}`, 'origin: https://evil.example']), '403');
  assert.equal(await upgrade([`cookie: ${cookie}`]), '403');
  assert.equal(await upgrade([`origin: ${program.base}`]), '403');
  await page.context().close();
});
