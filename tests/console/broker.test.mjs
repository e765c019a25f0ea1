// The console with a real RabbitMQ: events of a switch are shown and delivered, and the console shows when the broker is down.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Broker, Program, Receiver, browser, call, until, visitor } from './rig.mjs';

let broker;
let chrome;
let program;
let receiver;

before(async () => {
  [broker, chrome, receiver] = await Promise.all([Broker.start(), browser(), Receiver.start()]);
  program = await Program.start([`amqp.uri=${broker.uri}`]);
});

after(async () => {
  await chrome?.close();
  receiver?.stop();
  await program?.stop();
  await broker?.stop();
});

test('events from RabbitMQ reach the live tail and hooks, and the overview shows when the broker is down', async () => {
  const { account } = program;
  const hook = await program.hook({ name: 'From the broker', uri: `${receiver.base}/` });
  const page = await visitor(chrome, program);
  await page.goto(`${program.base}/console/accounts/${account}/events/tail`);
  const event = (id) => ({ ...call(id, 1), 'Custom-Channel-Vars': { 'Account-ID': account } });
  // Messages published before the queue is bound are lost, as with every consumer.
  let n = 0;
  await until('an event comes through', async () => {
    n += 1;
    await broker.publish('callevt', `call.CHANNEL_CREATE.broker-${n}`, event(`broker-${n}`));
    return receiver.requests.length > 0;
  });
  await page.waitForSelector('[data-tail] tr:has-text("broker-")');
  await until('the hook has all', async () => (await program.queue(hook)).waiting === 0);
  // What cannot be understood is in quarantine, and is handed in again with a button.
  await broker.publish('callevt', 'call.CHANNEL_CREATE.odd', event('odd-call'), 'application/xml');
  await until('it is in quarantine', async () => (await program.call('GET', '/v2/quarantine')).data.length === 1);
  await page.goto(`${program.base}/console/admin/quarantine`);
  await page.click('[data-row] a:has-text("not JSON")');
  await page.click('button:has-text("Hand in again")');
  await page.waitForURL(/done=released/);
  await until('it is delivered', () => receiver.requests.some(({ body }) => body.includes('odd-call')));
  await page.goto(`${program.base}/console/`);
  assert.match(await page.textContent('#installation'), /Broker\s*connected/);
  broker.kill();
  await page.waitForFunction(() => !/Broker\s*connected/.test(document.querySelector('#installation')?.textContent ?? ''));
  await page.waitForFunction(() => /broker/i.test(document.querySelector('#faults')?.textContent ?? ''));
  assert.deepEqual(page.errors, []);
  await page.context().close();
});
