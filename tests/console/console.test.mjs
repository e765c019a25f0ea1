// The console as a person sees it: the built program, real deliveries and Debian's Chromium.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import { LONG, ROOT, SECRET, call, ended, found, started, until, visitor } from './rig.mjs';

const run = promisify(execFile);
const NASTY = `"><img src=x onerror="window.pwned=1"><script>window.pwned=1</script>'`;

// The pictures of docs/guide/console.md, taken when SWITCHHOOK_SCREENSHOTS is set.
const SHOTS = ['overview-light', 'hook-light', 'attempt-dark'];

let chrome;
let program;
let receiver;
let works;
let fails;
let kept;

before(async () => {
  [chrome, program, receiver] = await started(['disable.probe_initial_ms=3600000']);
  receiver.mood = (request) => (request.url.startsWith('/fails') ? 500 : 200);
  works = await program.hook({ name: 'Billing', uri: `${receiver.base}/works`, secret: SECRET });
  fails = await program.hook({ name: 'CRM', uri: `${receiver.base}/fails`, retry: { max_attempts: 20 } });
  kept = await program.hook({ name: 'Kept here', uri: 'http://inbox.switchhook.invalid/', format: 'json' });
  await program.publish(Array.from({ length: 8 }, (_, n) => call(`call-${n % 2}`, n)));
  await until('the failing hook is disabled', async () => (await program.queue(fails)).state === 'auto_disabled');
  await until('the other has all', async () => (await program.queue(works)).waiting === 0);
});

after(() => ended(chrome, program, receiver));

const at = (path) => `${program.base}/console/${path}`;
const hooks = (below = '') => at(`accounts/${program.account}/hooks${below}`);

/** The newest attempt of a hook. The list reads the disk, so an attempt appears in it a little later. */
function attempt(hook) {
  const path = `/v2/accounts/${program.account}/webhooks/${hook}/attempts`;
  return until(`an attempt of ${hook} is listed`, async () => (await program.call('GET', path)).data[0]);
}

async function pages() {
  const row = await attempt(fails);
  return [
    ['overview', at('')], ['hooks', hooks()], ['hook', hooks(`/${fails}`)],
    ['settings', hooks(`/${works}?tab=settings`)], ['replays', hooks(`/${works}?tab=replays`)],
    ['attempt', hooks(`/${fails}/attempts/${row.delivery_id}?attempt=${row.attempt}`)],
    ['new-hook', hooks('/new')], ['edit', hooks(`/${works}/edit`)], ['replay', hooks(`/${works}/replay`)],
    ['events', at(`accounts/${program.account}/events`)], ['event', at(`accounts/${program.account}/events/${row.event_id}`)],
    ['tail', at(`accounts/${program.account}/events/tail`)], ['call', at(`accounts/${program.account}/call?subject=call-0`)],
    ['users', at(`accounts/${program.account}/users`)], ['keys', at(`accounts/${program.account}/keys`)],
    ['links', at(`accounts/${program.account}/links`)], ['first', at(`accounts/${program.account}/first`)],
    ['inbox', hooks(`/${kept}?tab=inbox`)], ['verify', hooks(`/${kept}?tab=verify`)],
    ['sessions', at(`accounts/${program.account}/sessions`)], ['below', at(`accounts/${program.account}/below`)],
    ['quarantine', at(`accounts/${program.account}/quarantine`)], ['all-hooks', at('admin/hooks')], ['log', at('admin/log')],
    ['config', at('admin/config')], ['audit', at(`accounts/${program.account}/audit`)], ['all-audit', at('admin/audit')],
    ['all-quarantine', at('admin/quarantine')],
  ];
}

for (const theme of ['light', 'dark']) {
  test(`every page opens in the ${theme} theme, says nothing wrong, fits a phone, and axe finds nothing`, async () => {
    await until('the built-in receiver has all', async () => (await program.queue(kept)).waiting === 0);
    const page = await visitor(chrome, program, { theme });
    const shots = process.env.SWITCHHOOK_SCREENSHOTS ? join(ROOT, 'docs/images') : null;
    if (shots) await mkdir(shots, { recursive: true });
    const wrong = [];
    for (const [name, url] of await pages()) {
      const answer = await page.goto(url, { waitUntil: 'load' });
      if (answer.status() !== 200) wrong.push(`${name}: ${answer.status()}`);
      const shown = await page.evaluate(() => [document.documentElement.dataset.theme, document.querySelectorAll('h1').length]);
      if (shown[0] !== theme || shown[1] !== 1) wrong.push(`${name}: theme and headings ${shown}`);
      wrong.push(...(await found(page)).map((fault) => `${name}: ${fault}`));
      await page.setViewportSize({ width: 390, height: 800 });
      const wider = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
      if (wider > 1) wrong.push(`${name}: ${wider} px wider than a phone`);
      const phone = await page.evaluate(() => ({
        head: document.querySelector('.side').getBoundingClientRect().height,
        sideways: [...document.querySelectorAll('main .scroll')].filter((box) => box.scrollWidth > box.clientWidth + 1).length,
      }));
      if (phone.head > 60) wrong.push(`${name}: the navigation takes ${phone.head} px of a phone`);
      // Once is enough: the themes differ in colours alone.
      if (theme === 'light') wrong.push(...(await found(page)).map((fault) => `${name} on a phone: ${fault}`));
      if (phone.sideways) wrong.push(`${name}: ${phone.sideways} tables scroll sideways on a phone`);
      await page.setViewportSize({ width: 1280, height: 800 });
      if (shots && SHOTS.includes(`${name}-${theme}`)) {
        await page.screenshot({ path: join(shots, `console-${name}-${theme}.png`), animations: 'disabled' });
      }
    }
    assert.deepEqual(wrong.concat(page.errors), []);
    await page.context().close();
  });
}

test('on a phone a menu has the pages, opens by keyboard without the script, and axe finds nothing in it', async () => {
  const context = await chrome.newContext({ javaScriptEnabled: false, viewport: { width: 390, height: 800 } });
  const plain = await context.newPage();
  plain.setDefaultTimeout(LONG);
  await plain.goto(at('login'));
  await plain.fill('input[name=api_key]', '0123456789abcdef'.repeat(4));
  await plain.click('button:has-text("Log in with the key")');
  const events = '.side a:has-text("Events")';
  assert.equal(await plain.isVisible(events), false);
  await plain.focus('.side button:has-text("Menu")');
  await plain.keyboard.press('Enter');
  await plain.waitForSelector(events);
  await plain.keyboard.press('Tab');
  assert.equal(await plain.locator('.side a:has-text("Overview")').evaluate((link) => link === document.activeElement), true);
  await plain.keyboard.press('Escape');
  await plain.waitForSelector(events, { state: 'hidden' });
  await plain.click('.side button:has-text("Menu")');
  await plain.click(events);
  await plain.waitForURL(/\/events$/);
  await context.close();
  for (const theme of ['light', 'dark']) {
    const page = await visitor(chrome, program, { theme, width: 390 });
    await page.click('.side button:has-text("Menu")');
    await page.waitForSelector(events);
    assert.deepEqual(await found(page), []);
    await page.context().close();
  }
});

test('the log-in page has no fault either, and the refusal of a wrong key does not show it', async () => {
  const page = await visitor(chrome, program, { key: null });
  await page.goto(at('login'));
  assert.deepEqual(await found(page), []);
  await page.fill('input[name=api_key]', 'f'.repeat(64));
  await page.click('button:has-text("Log in with the key")');
  await page.waitForSelector('[role=alert]');
  assert.ok(!(await page.content()).includes('f'.repeat(64)));
  await page.context().close();
});

test('an open page shows within a second that its hook was disabled, and why', async (context) => {
  const hook = await program.hook({ name: 'soon off', uri: `${receiver.base}/works/soon`, retry: { max_attempts: 20 } });
  const page = await visitor(chrome, program);
  await page.goto(hooks(`/${hook}`));
  const before = receiver.mood;
  receiver.mood = (request) => (request.url.endsWith('/soon') ? 500 : before(request));
  await program.publish([call('off', 1), call('off', 2)]);
  // The page itself notes when the sentence changes, and the request that asks for the state began before that state was known.
  const shown = page.evaluate(() => new Promise((go) => {
    const look = () => /Disabled by/.test(document.querySelector('#state .sentence')?.textContent ?? '') && go(Date.now());
    new MutationObserver(look).observe(document.body, { subtree: true, childList: true, characterData: true });
    look();
  }));
  let asked;
  await until('the hook is disabled', async () => {
    asked = Date.now();
    return (await program.queue(hook)).state === 'auto_disabled';
  });
  const took = Math.max(0, await shown - asked);
  context.diagnostic(`the open page showed it after ${took} ms`);
  // A second is what an idle machine keeps. A busy one gets more time, far less than the 10 s after which a page asks by itself.
  assert.ok(took < 5000, `${took} ms`);
  assert.match(await page.textContent('#state .sentence'), /500|fail/i);
  receiver.mood = before;
  await page.context().close();
});

test('a dry run of a replay counts exactly the later deliveries', async () => {
  const before = receiver.requests.filter((request) => request.url === '/works').length;
  const page = await visitor(chrome, program);
  await page.goto(hooks(`/${works}/replay`));
  await page.check('input[name=only][value=all]');
  await page.click('button[value=count]');
  const text = await page.textContent('button[value=start]');
  const count = Number(text.match(/send (\d+)/)[1]);
  assert.ok(count >= 8, text);
  await page.click('button[value=start]');
  await until('all are delivered again', () => (
    receiver.requests.filter((request) => request.url === '/works').length >= before + count
  ));
  await until('the replay has ended', async () => {
    const replays = (await program.call('GET', `/v2/accounts/${program.account}/webhooks/${works}/replay`)).data;
    return replays[0].state === 'done' && replays[0].delivered === count;
  });
  assert.equal(receiver.requests.filter((request) => request.url === '/works').length, before + count);
  assert.deepEqual(page.errors, []);
  await page.context().close();
});

test('a receiver that verifies accepts the copied command', async () => {
  const row = await attempt(works);
  const path = `/v2/accounts/${program.account}/webhooks/${works}/attempts/${row.delivery_id}/curl`;
  const { command } = (await program.call('GET', path)).data;
  const before = receiver.requests.length;
  await run('sh', ['-c', `${command} --silent --noproxy '*'`]);
  const request = (await receiver.got(before + 1))[before];
  process.env.WEBHOOK_SECRET = SECRET;
  const code = (await program.call('GET', `/v2/accounts/${program.account}/webhooks/${works}/verify`)).data.code.javascript;
  const { verify } = await import(`data:text/javascript,${encodeURIComponent(code)}`);
  assert.equal(verify(request.headers, request.body), true);
  assert.equal(verify(request.headers, Buffer.concat([request.body, Buffer.from(' ')])), false);
});

test('the live tail has no gap when the program is killed and restarted', async () => {
  const page = await visitor(chrome, program);
  await page.goto(at(`accounts/${program.account}/events/tail`));
  const ids = [];
  const publish = async (n) => ids.push(...(await program.publish([call('tail', n)])).ids ?? []);
  for (let n = 0; n < 3; n += 1) await publish(n);
  await program.kill();
  await program.startAgain();
  for (let n = 3; n < 6; n += 1) await publish(n);
  const events = (await program.call('GET', `/v2/accounts/${program.account}/events?subjects=tail`)).data.map((row) => row.id);
  assert.equal(events.length, 6);
  await page.waitForFunction((wanted) => wanted.every((id) => document.querySelector(`[data-key="${id}"]`)), events);
  const shown = await page.$$eval('[data-key]', (rows) => rows.map((row) => row.dataset.key));
  assert.equal(new Set(shown).size, shown.length, 'none twice');
  // While it is paused nothing moves, and then nothing is missing.
  await page.click('[data-pause]');
  const [late] = (await program.publish([call('tail-late', 1)])).event_ids;
  await until('the event is listed', async () => (
    (await program.call('GET', `/v2/accounts/${program.account}/events?subjects=tail-late`)).data.length === 1
  ));
  assert.equal(await page.$(`[data-key="${late}"]`), null);
  await page.click('[data-pause]');
  await page.waitForSelector(`[data-key="${late}"]`);
  await page.context().close();
});

test('scripts in names, addresses, headers and events are shown as text', async () => {
  const hook = await program.hook({
    name: NASTY, uri: `${receiver.base}/fails/${encodeURIComponent(NASTY)}`, headers: { 'x-nasty': NASTY }, retries: 1,
  });
  await program.publish([call(NASTY, 1)]);
  const row = await attempt(hook);
  const page = await visitor(chrome, program);
  for (const url of [
    hooks(), hooks(`/${hook}`), hooks(`/${hook}?tab=settings`), hooks(`/${hook}/edit`), hooks(`/${hook}/attempts/${row.delivery_id}`),
    at(`accounts/${program.account}/events`), at(`accounts/${program.account}/events/${row.event_id}`),
    at(`accounts/${program.account}/call?subject=${encodeURIComponent(NASTY)}`), `${hooks()}?q=${encodeURIComponent(NASTY)}`,
  ]) {
    const answer = await page.goto(url);
    assert.equal(answer.status(), 200, url);
    assert.equal(await page.evaluate(() => globalThis.pwned), undefined, url);
  }
  assert.deepEqual(page.errors, [], 'nothing was blocked because nothing was there');
  await program.call('DELETE', `/v2/accounts/${program.account}/webhooks/${hook}`);
  await page.context().close();
});

describe('others', () => {
  let tenant;
  let other;
  let key;

  before(async () => {
    tenant = await program.below('Tenant');
    other = await program.below('Other');
    key = (await program.call('PUT', `/v2/accounts/${tenant}/api_keys`, { name: 'k' })).data.api_key;
    await program.hook({ name: 'of the other', uri: `${receiver.base}/works/other` }, other);
    await program.hook({ name: 'of the tenant', uri: `${receiver.base}/works/tenant` }, tenant);
  });

  test('a tenant sees only its own hooks', async () => {
    const page = await visitor(chrome, program, { key });
    await page.goto(at(`accounts/${tenant}/hooks`));
    assert.ok((await page.content()).includes('of the tenant'));
    for (const path of [`accounts/${other}/hooks`, `accounts/${program.account}/hooks`, `accounts/${program.account}/hooks/${works}`, 'admin/config', 'admin/audit']) {
      const answer = await page.goto(at(path));
      const text = await page.content();
      assert.ok(answer.status() === 403 || answer.status() === 404, `${path}: ${answer.status()}`);
      assert.ok(!text.includes('of the other') && !text.includes('Billing'), path);
    }
    await page.context().close();
  });

  test('a stranger is sent to the log-in from every page', async () => {
    const page = await visitor(chrome, program, { key: null });
    for (const [name, url] of await pages()) {
      await page.goto(url);
      assert.match(page.url(), /\/console\/login\?next=/, name);
      assert.ok(!(await page.content()).includes('Billing'), name);
    }
    await page.context().close();
  });

  test('forged origins and repeated forms change nothing', async () => {
    const page = await visitor(chrome, program);
    await page.goto(hooks(`/${works}`));
    const action = await page.getAttribute('form:has(button:has-text("Pause"))', 'action');
    const token = await page.inputValue('form:has(button:has-text("Pause")) input[name=form]');
    const send = (headers) => page.context().request.post(program.base + action, { form: { form: token }, headers, maxRedirects: 0 });
    for (const headers of [
      { origin: 'https://evil.example' }, { origin: 'null' }, { origin: program.base, 'sec-fetch-site': 'cross-site' },
    ]) {
      assert.ok((await send(headers)).status() >= 400, JSON.stringify(headers));
    }
    assert.equal((await program.queue(works)).paused, false);
    // Sent as the page would send it, because the open page may have a newer form by now.
    assert.ok((await send({ origin: program.base })).status() < 400, 'the form is good');
    await until('it is paused', async () => (await program.queue(works)).paused);
    await page.reload();
    await page.click('button:has-text("Resume")');
    await until('it goes on', async () => !(await program.queue(works)).paused);
    const again = await send({ origin: program.base });
    assert.ok(again.status() >= 400, 'the form was used');
    assert.equal((await program.queue(works)).paused, false);
    await page.context().close();
  });
});

test('the keyboard searches, steps through rows and shows its help', async () => {
  const page = await visitor(chrome, program);
  await page.goto(hooks());
  await page.keyboard.press('/');
  assert.equal(await page.evaluate(() => document.activeElement.name), 'q');
  await page.keyboard.press('Escape');
  await page.evaluate(() => document.activeElement.blur());
  await page.keyboard.press('j');
  await page.keyboard.press('j');
  assert.ok(await page.evaluate(() => document.activeElement.matches('[data-go]')));
  await page.keyboard.press('?');
  assert.ok(await page.isVisible('#help'));
  await page.keyboard.press('Escape');
  await page.keyboard.press('j');
  await page.keyboard.press('Enter');
  await page.waitForSelector('#state .sentence');
  await page.keyboard.press('g');
  await page.keyboard.press('o');
  await page.waitForURL(at(''));
  // Times are relative, and on hover absolute in the visitor's zone.
  const abroad = await chrome.newContext({ timezoneId: 'Asia/Tokyo', locale: 'en-GB', storageState: await page.context().storageState() });
  const away = await abroad.newPage();
  await away.goto(hooks(`/${works}`));
  const [text, title] = await away.locator('#attempts time').first().evaluate((time) => [time.textContent, time.title]);
  assert.match(text, /ago$|^just now$/);
  assert.match(title, /GMT\+9|JST/);
  await abroad.close();
  await page.context().close();
});

test('without its script every page works except for the live parts', async () => {
  const context = await chrome.newContext({ javaScriptEnabled: false });
  const page = await context.newPage();
  page.setDefaultTimeout(LONG);
  await page.goto(at('login'));
  await page.fill('input[name=api_key]', '0123456789abcdef'.repeat(4));
  await page.click('button:has-text("Log in with the key")');
  await page.goto(hooks(`/${works}`));
  await page.click('button:has-text("Pause")');
  await until('it is paused', async () => (await program.queue(works)).paused);
  await page.click('button:has-text("Resume")');
  await until('it goes on', async () => !(await program.queue(works)).paused);
  await context.close();
});
