// The console with 10,000 hooks: no page shows all of them, and each can be found.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { after, before, test } from 'node:test';
import { Program, browser, until, visitor } from './rig.mjs';

const HOOKS = 10_000;
const id = (n) => createHash('sha256').update(`hook ${n}`).digest('hex').slice(0, 32);
const [MASTER, LARGE, SMALL] = [-1, -2, -3].map(id);

let chrome;
let program;

before(async () => {
  const doc = (n) => ({ name: `Hook ${n}`, uri: `http://inbox.switchhook.invalid/${n}`, hook: 'channel_create', http_verb: 'post', retries: 2 });
  const accounts = [
    { id: MASTER, name: 'Operator', tree: [] }, { id: LARGE, name: 'Large', tree: [MASTER] }, { id: SMALL, name: 'Small', tree: [MASTER, LARGE] },
  ];
  const hooks = Array.from({ length: HOOKS }, (_, n) => ({ id: id(n + 1), account: n % 10 ? LARGE : SMALL, doc: doc(n) }));
  [chrome, program] = await Promise.all([browser(), Program.start([], (fresh) => fresh.import(accounts, hooks))]);
});

after(async () => {
  await chrome?.close();
  await program?.stop();
});

test('of 10,000 hooks a page shows some, a search finds one, and an action reaches all matches', async () => {
  const page = await visitor(chrome, program);
  assert.match(await page.textContent('#states'), /10.000/);
  await page.goto(`${program.base}/console/admin/hooks`);
  assert.equal(await page.locator('[data-row]').count(), 50);
  const first = await page.textContent('[data-row] a[data-go]');
  await page.click('a[rel=next]');
  await page.waitForURL(/start_key=/);
  assert.equal(await page.locator('[data-row]').count(), 50);
  assert.notEqual(await page.textContent('[data-row] a[data-go]'), first);
  await page.fill('[data-search]', 'Hook 7777');
  await page.keyboard.press('Enter');
  await page.waitForURL(/q=Hook/);
  assert.deepEqual(await page.$$eval('[data-row] a[data-go]', (links) => links.map((link) => link.textContent.trim())), ['Hook 7777']);
  // All hooks whose name begins with "Hook 77": 1 + 1 + 10 + 100, and 10 + 1 with it inside; of two accounts.
  const fits = Array.from({ length: HOOKS }, (_, n) => `Hook ${n}`).filter((name) => name.includes('Hook 77')).length;
  await page.goto(`${program.base}/console/accounts/${LARGE}/hooks?below=true&q=Hook+77`);
  await page.selectOption('#which', 'all');
  await page.selectOption('#action', 'pause');
  await page.click('button[value=check]');
  assert.match(await page.textContent('#counted .sentence'), new RegExp(`${fits} hooks of ${fits} would change`));
  await page.click('button[value=apply]');
  assert.match(await page.textContent('#counted .sentence'), new RegExp(`Done for ${fits} hooks`));
  await until('all of them are paused', async () => {
    const paused = await program.call('GET', `/v2/accounts/${LARGE}/descendants/webhooks/status?state=paused&page_size=500`);
    return paused.data.length === fits;
  });
  assert.deepEqual(page.errors, []);
  await page.context().close();
});
