// What people do, in both themes: each page after an action, and each refusal, is checked by axe and fits a phone.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { SECRET, call, ended, found, started, until, visitor } from './rig.mjs';

let chrome;
let program;
let receiver;

before(async () => {
  [chrome, program, receiver] = await started(['disable.probe_initial_ms=3600000', 'retention.max_bytes=1000000000000000']);
});

after(() => ended(chrome, program, receiver));

/** An account with its hooks; one has a dead delivery, one was disabled by its failures. */
async function customer(theme) {
  const account = await program.below(`Customer ${theme}`);
  let status = 500;
  receiver.mood = (request) => (request.url.includes('/fails') ? 500 : request.url.includes('/dead') ? status : 200);
  const uri = (path) => `${receiver.base}/${theme}${path}`;
  const dead = await program.hook({ name: 'Dead', uri: uri('/dead'), secret: SECRET, retry: { max_attempts: 1 } }, account);
  await program.publish([call('a', 1)], account);
  const attempts = (hook) => program.call('GET', `/v2/accounts/${account}/webhooks/${hook}/attempts`).then(({ data }) => data);
  await until('it was tried', async () => (await attempts(dead)).length > 0);
  status = 200;
  await program.publish([call('b', 2)], account);
  await until('it is dead', async () => (await program.queue(dead, account)).dead === 1);
  const fails = await program.hook({ name: 'Fails', uri: uri('/fails'), retry: { max_attempts: 20 } }, account);
  await program.publish([call('c', 3), call('d', 4)], account);
  await until('it is disabled', async () => (await program.queue(fails, account)).state === 'auto_disabled');
  return { account, dead, fails, attempts, at: (path = '') => `${program.base}/console/accounts/${account}/${path}` };
}

for (const theme of ['light', 'dark']) {
  test(`pages after actions have no fault in the ${theme} theme and fit a phone`, async () => {
    const { account, dead, fails, attempts, at } = await customer(theme);
    const page = await visitor(chrome, program, { theme });
    const wrong = [];
    const look = async (name, wanted) => {
      await page.waitForLoadState();
      const text = await page.textContent('main');
      if (wanted && !wanted.test(text)) wrong.push(`${name}: ${wanted} is not in ${text.slice(0, 300)}`);
      if (await page.evaluate(() => document.documentElement.dataset.theme) !== theme) wrong.push(`${name}: not ${theme}`);
      wrong.push(...(await found(page)).map((fault) => `${name}: ${fault}`));
      await page.setViewportSize({ width: 390, height: 800 });
      const wider = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
      if (wider > 1) wrong.push(`${name}: ${wider} px wider than a phone`);
      await page.setViewportSize({ width: 1280, height: 800 });
    };
    const press = async (text, scope = 'main') => {
      await page.click(`${scope} button:has-text("${text}")`);
      await page.waitForLoadState();
    };

    await page.goto(at(`hooks/${fails}`));
    await look('disabled hook', /Disabled by Switchhook/);
    for (const [hook, button, wanted] of [
      [fails, 'Probe now', /A probe is on its way/], [fails, 'Pause', /It is also paused/], [fails, 'Resume', /Resumed/],
      [fails, 'Send a test', /status 500/], [fails, 'Enable', /Enabled. If events wait, one is tried first/],
      [dead, 'Disable', /Disabled by a person/], [dead, 'Enable', /Enabled/],
    ]) {
      await page.goto(at(`hooks/${hook}`));
      await press(button);
      await look(button, wanted);
    }
    await until('the failing hook is disabled again', async () => (await program.queue(fails, account)).state === 'auto_disabled');
    await page.goto(at(`hooks/${dead}?tab=dead`));
    await look('dead', /status 500/);
    const [row] = (await attempts(dead)).filter((each) => each.result === 'failure');
    await page.goto(at(`hooks/${dead}/attempts/${row.delivery_id}`));
    await look('attempt', /Code that verifies it/);
    await page.goto(at(`hooks/${fails}/replay`));
    await look('replay of a disabled hook', /begins when the hook is enabled/);
    await press('Count first');
    await look('nothing to replay', /Nothing fits/);
    await page.goto(at(`hooks/${dead}/replay`));
    await press('Count first');
    await look('counted', /1 delivery would be made/);
    await press('Start');
    await look('replays', /The replay has started/);

    await page.goto(at('hooks/new'));
    await page.fill('#name', 'Made');
    await page.fill('#uri', 'ftp://nowhere');
    await page.selectOption('#hook', 'notifications');
    await page.fill('#custom_data', 'type=missed_call');
    await press('Show a payload');
    await look('payload', /missed_call/);
    await press('Make the hook');
    await look('refused hook', /Mend these fields/);
    await page.fill('#uri', `${receiver.base}/made`);
    await press('Make the hook');
    await look('secret', /The hook's secret/);
    await press('Send a test');
    await look('test', /status 200/);
    await page.click('main a:has-text("To the hook")');
    await look('fresh hook', /notifications, only type missed_call/);
    await press('Send a test');
    await page.goto(at('hooks'));
    await press('Check what it would do');
    await look('nothing marked', /Mark the hooks in the first column/);
    for (const [action, wanted, done] of [['pause', /3 hooks of 3/, /Everything is kept/], ['resume', /3 hooks of 3/, /Done for/], ['replay', /none of these hooks has dead deliveries/, null]]) {
      await page.goto(at('hooks?q=&state='));
      await page.selectOption('#which', 'all');
      await page.selectOption('#action', action);
      await press('Check what it would do');
      await look(`would ${action}`, wanted);
      if (done) {
        await press('Do it for');
        await look(`did ${action}`, done);
      }
    }

    await page.goto(at('links'));
    await press('Make the link');
    await look('link', new RegExp(`New link for Customer ${theme}`));
    const link = (await page.textContent('#new-link')).trim();
    await press('Revoke');
    await look('revoked', /The link was revoked/);
    const guest = await visitor(chrome, program, { theme, key: null });
    await guest.goto(link);
    wrong.push(...(await found(guest)).map((fault) => `link to open: ${fault}`));
    await guest.click('button:has-text("Open")');
    wrong.push(...(await found(guest)).map((fault) => `link that ended: ${fault}`));
    await guest.goto(`${program.base}/console/login`);
    await guest.fill('input[name=api_key]', 'f'.repeat(64));
    await guest.click('button:has-text("Log in with the key")');
    await guest.waitForSelector('[role=alert]');
    wrong.push(...(await found(guest)).map((fault) => `refused log-in: ${fault}`));
    await guest.context().close();

    await page.goto(at('keys'));
    await page.fill('main form input[name=name]', 'k');
    await page.click('main form button.main');
    await look('new key');
    await page.goto(at('account'));
    await press('Disable the account');
    await look('disabled account', /disabled/);
    await page.goto(at(`hooks/${dead}`));
    await look('hook of a disabled account', /To the account/);
    await page.click('#state a:has-text("To the account")');
    await press('Enable the account');
    await look('enabled account', /enabled/);
    await page.goto(`${program.base}/console/admin/log`);
    await press('Apply retention now');
    await look('disk', /The disk is smaller than the log may become/);
    await page.goto(at('hooks/0123456789abcdef0123456789abcdef'));
    await look('nothing here', /does not exist/);
    await page.keyboard.press('?');
    await page.waitForSelector('dialog[open]');
    wrong.push(...(await found(page)).map((fault) => `help: ${fault}`));
    assert.deepEqual(wrong, []);
    await page.context().close();
  });
}
