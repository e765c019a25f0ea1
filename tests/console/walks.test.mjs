// What made newcomers stumble: each test walks as a person does, and looks at what the page says.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createHmac } from 'node:crypto';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import { SECRET, call, ended, started, until, visitor } from './rig.mjs';

const run = promisify(execFile);
const TURNED = 'abc\u202egpj.exe\u200b';

let chrome;
let program;
let receiver;

before(async () => {
  [chrome, program, receiver] = await started(['disable.probe_initial_ms=3600000']);
});

after(() => ended(chrome, program, receiver));

/** A tenant, with the addresses of its pages. */
async function tenant(name) {
  const account = await program.below(name);
  const at = (path = '') => `${program.base}/console/accounts/${account}/${path}`;
  const attempts = (hook, n = 1) => until(`${n} attempts of ${hook}`, async () => {
    const { data } = await program.call('GET', `/v2/accounts/${account}/webhooks/${hook}/attempts`);
    return data.length >= n ? data : null;
  });
  return { account, at, attempts };
}

const focused = (page) => page.evaluate(() => document.activeElement.textContent.trim().slice(0, 20));
const shown = (page, name) => page.locator(`[data-row]:has(a:text-is("${name}"))`);

test('a button that has the focus never becomes another button', async () => {
  const { account, at } = await tenant('Focus');
  receiver.mood = (request) => (request.url === '/focus' ? 500 : 200);
  const hook = await program.hook({ name: 'Focused', uri: `${receiver.base}/focus`, retry: { max_attempts: 20 } }, account);
  await program.publish([call('f', 1)], account);
  await until('it is disabled', async () => (await program.queue(hook, account)).state === 'auto_disabled');
  const page = await visitor(chrome, program);
  await page.goto(at(`hooks/${hook}`));
  await page.focus('#state button:has-text("Pause")');
  receiver.mood = () => 200;
  // Both buttons left of it go away or are new.
  await program.call('PATCH', `/v2/accounts/${account}/webhooks/${hook}`, { enabled: true });
  await page.waitForSelector('#state button:has-text("Disable")');
  assert.equal(await focused(page), 'Pause');
  await page.focus('#state button:has-text("Disable")');
  await program.call('PATCH', `/v2/accounts/${account}/webhooks/${hook}`, { enabled: false });
  await page.waitForSelector('#state button:has-text("Enable")');
  assert.equal(await page.evaluate(() => document.activeElement.id), 'main', 'the button has gone');
  assert.deepEqual(page.errors, []);
  await page.context().close();
});

test('what cannot be seen or turns a text has a mark, and the texts and commands are copied exactly', async () => {
  const { account, at, attempts } = await tenant(`Turned ${TURNED}`);
  receiver.mood = () => 200;
  const odd = [TURNED, `a"b'c\`d $(id) '; exit 9; '`, 'one\ntwo\r\n\tthree', '</script><script>window.pwned=1</script>', '\\ !! %s @/etc/passwd 👩\u200d👧', 'L'.repeat(9000)];
  const hook = await program.hook({
    name: `Hook ${TURNED}`, uri: `${receiver.base}/turned?q='%E2%80%AE`, secret: SECRET, format: 'json', headers: { 'x-odd': `'"\`$(id)\\` },
    custom_data: { odd: TURNED },
  }, account);
  await program.publish(odd.map((text, n) => ({ ...call(`${n} ${text}`, n), 'Caller-ID-Name': text })), account);
  const rows = await attempts(hook, odd.length);
  const page = await visitor(chrome, program);
  await page.goto(at(`hooks/${hook}`));
  assert.equal(await page.textContent('h1'), `Hook ${TURNED}`);
  assert.deepEqual(await page.$$eval('h1 .odd', (marks) => marks.map((mark) => mark.title)), ['U+202E', 'U+200B']);
  const requests = () => receiver.requests.filter(({ url }) => url.startsWith('/turned'));
  for (const row of rows) {
    const sent = requests().find(({ headers }) => headers['webhook-id'] === row.delivery_id);
    await page.goto(at(`hooks/${hook}/attempts/${row.delivery_id}`));
    assert.equal(await page.evaluate(() => globalThis.pwned), undefined);
    assert.equal(await page.textContent('#sent-body'), sent.body.toString());
    const before = requests().length;
    await run('bash', ['-c', `${await page.textContent('#curl')} --silent --noproxy '*'`]);
    const again = (await until('it arrives', () => (requests().length > before ? requests() : null)))[before];
    const { 'webhook-id': id, 'webhook-timestamp': stamp, 'webhook-signature': signature } = again.headers;
    const mac = createHmac('sha256', Buffer.from(SECRET.slice(6), 'base64')).update(`${id}.${stamp}.`).update(again.body).digest('base64');
    assert.deepEqual([again.url, again.body, again.headers['x-odd'], id], [sent.url, sent.body, sent.headers['x-odd'], row.delivery_id]);
    assert.ok(signature.split(' ').includes(`v1,${mac}`), signature);
  }
  assert.deepEqual(page.errors, []);
  await page.context().close();
});

test('a list with long names and answers is not cut off, and a phone shows the addresses', async () => {
  const { account, at } = await tenant('Wide');
  await program.hook({ name: `Long ${'name '.repeat(800)}`, uri: `http://127.0.0.1:1/${'path/'.repeat(40)}` }, account);
  await program.hook({ name: 'Refused', uri: 'http://127.0.0.1:1/refused' }, account);
  await program.publish([call('w', 1)], account);
  const page = await visitor(chrome, program);
  const list = `${program.base}/console/admin/hooks?q=Wide`;
  await until('it was refused', async () => {
    await page.goto(list);
    return /connection refused/.test(await shown(page, 'Refused').textContent());
  });
  const sizes = () => page.evaluate(() => ({
    cut: [...document.querySelectorAll('.scroll')].some((box) => box.scrollWidth > box.clientWidth + 1),
    tallest: Math.max(...[...document.querySelectorAll('[data-row]')].map((row) => row.getBoundingClientRect().height)),
  }));
  const wide = await sizes();
  assert.ok(!wide.cut && wide.tallest < 150, JSON.stringify(wide));
  await page.setViewportSize({ width: 390, height: 800 });
  const phone = await sizes();
  assert.ok(!phone.cut && phone.tallest < 300, JSON.stringify(phone));
  assert.ok(await shown(page, 'Refused').locator('code:has-text("/refused")').isVisible());
  const { data: [row] } = await program.call('GET', `/v2/accounts/${account}/webhooks/attempts`);
  await page.goto(at(`hooks/${row.hook_id}/attempts/${row.delivery_id}`));
  assert.equal(await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth), 0);
  await page.context().close();
});

test('each page of a customer who gets nothing says why, and leads on', async () => {
  const { account, at } = await tenant('Silent');
  receiver.mood = (request) => (request.url.endsWith('/gone') ? 410 : 200);
  const make = (name, more = {}) => program.hook({ name, uri: `${receiver.base}/silent/${name}`, ...more }, account);
  const [filter, off, held, gone] = [
    await make('filter', { hook: 'object', custom_data: { type: 'user', action: 'doc_created' } }),
    await make('off', { enabled: false }), await make('held', { enabled: false, resume: 'held' }), await make('gone'),
  ];
  await program.publish([call('s', 1)], account);
  await until('one is disabled', async () => (await program.queue(gone, account)).state === 'auto_disabled');
  await until('the others wait', async () => (await program.queue(held, account)).waiting > 0);
  const page = await visitor(chrome, program);
  const says = async (hook) => {
    await page.goto(at(`hooks/${hook}`));
    return page.textContent('#state');
  };
  assert.match(await says(filter), /object, only type user and action doc_created/);
  assert.match(await page.textContent('#strip'), /Of these it gets only type user and action doc_created/);
  const skipped = await says(off);
  assert.match(skipped, /Disabled by a person.*1 event.*would be skipped; a replay can send them/s);
  assert.match(await says(held), /Everything is kept. (At least )?1 event waits/);
  assert.match(await says(gone), /the receiver answered 410, which means that it wants no more events/);
  await program.call('PATCH', `/v2/accounts/${account}`, { enabled: false });
  assert.match(await says(filter), /account is disabled/);
  await page.click('#state a:has-text("To the account")');
  await page.click('button:has-text("Enable the account")');
  await page.waitForURL(/done=saved/);
  assert.doesNotMatch(await says(filter), /account is disabled/);
  // A replay of a hook that is off does not begin, and says so.
  await page.goto(at(`hooks/${off}/replay`));
  await page.check('input[value=all]');
  await page.click('button:has-text("Count first")');
  await page.click('button:has-text("Start")');
  await page.waitForURL(/tab=replays/);
  assert.match(await page.textContent('#replays'), /running.*0 of 0/s);
  assert.match(await page.textContent('#replays'), /a replay begins when it is enabled/);
  await page.context().close();
});

test('a host is stopped and continues later from the same list, and a mistake leads back to it', async () => {
  const { account } = await tenant('Stopped');
  receiver.mood = () => 200;
  for (const name of ['one', 'two']) await program.hook({ name, uri: `${receiver.base}/host-x/${name}` }, account);
  await program.hook({ name: 'elsewhere', uri: `${receiver.base}/host-y` }, account);
  const page = await visitor(chrome, program);
  await page.goto(`${program.base}/console/admin/hooks`);
  await page.fill('[data-search]', 'host-x');
  await page.click('button:has-text("Search")');
  await page.waitForURL(/q=host-x/);
  await page.click('button:has-text("Check what it would do")');
  assert.match(await page.textContent('main'), /Mark the hooks in the first column/);
  await page.click('main a:has-text("Back to the list")');
  const all = async (action) => {
    assert.equal(await page.inputValue('[data-search]'), 'host-x');
    assert.equal(await page.locator('[data-row]').count(), 2);
    await page.selectOption('#which', 'all');
    await page.selectOption('#action', action);
    await page.click('button:has-text("Check what it would do")');
  };
  await all('replay');
  assert.match(await page.textContent('#counted'), /none of these hooks has dead deliveries/);
  await page.click('a:has-text("Cancel")');
  await all('pause');
  await page.click('button:has-text("Do it for 2 hooks")');
  await page.click('main a:has-text("Back to the list")');
  await program.publish([call('p', 1)], account);
  const waiting = async () => (await program.call('GET', `/v2/accounts/${account}/webhooks/status?search=host-x`)).data.map((row) => row.waiting);
  await until('both wait', async () => (await waiting()).join() === '1,1');
  await all('resume');
  await page.click('button:has-text("Do it for 2 hooks")');
  await until('nothing was lost', async () => receiver.requests.filter(({ url }) => url.startsWith('/host-x')).length === 2);
  assert.deepEqual(page.errors.filter((error) => !/400/.test(error)), []);
  await page.context().close();
});

test('the disk and its log are one click from the overview, with the bounds', async () => {
  const page = await visitor(chrome, program);
  await page.click('#installation a:has-text("Disk free")');
  await page.waitForURL(/admin\/log/);
  assert.match(await page.textContent('#room'), /Events are kept for 7 d or up to 50.0 GiB, whichever comes first/);
  await page.context().close();
});
