// The tools of the browser tests: the built program on free ports with its own data directory, a receiver with moods,
// and Debian's Chromium. Everything ends with the test process.
import { execFile, spawn } from 'node:child_process';
import { createServer } from 'node:http';
import { createServer as listen } from 'node:net';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import amqp from 'amqplib';
import { chromium } from 'playwright-core';

export const ROOT = fileURLToPath(new URL('../../', import.meta.url));
export const MASTER_KEY = '0123456789abcdef'.repeat(4);
export const SECRET = 'whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3';
/** Long enough for a busy machine. */
export const LONG = 30_000;

const BINARY = process.env.SWITCHHOOK_BIN
  ?? join(process.env.CARGO_TARGET_DIR ?? join(ROOT, 'target'), 'debug', 'switchhook');

/** Waits until `look` returns something. */
export async function until(what, look, within = LONG) {
  const end = Date.now() + within;
  for (;;) {
    const found = await look();
    if (found) return found;
    if (Date.now() > end) throw new Error(`not in time: ${what}`);
    await new Promise((go) => { setTimeout(go, 20); });
  }
}

/** The program. It can be killed and restarted with the same data and port. */
export class Program {
  /** `prepare` changes the data directory before the first start. */
  static async start(more = [], prepare = async () => {}) {
    const program = new Program();
    program.dir = await mkdtemp(join(tmpdir(), 'switchhook-console-'));
    program.settings = more;
    await prepare(program);
    await program.#spawn('127.0.0.1:0');
    await program.#logIn();
    return program;
  }

  /** Writes these accounts (`id`, `name`, `tree`) and hooks (`id`, `account`, `doc`) into the data directory. */
  async import(accounts, hooks) {
    const file = join(this.dir, '..', `${basename(this.dir)}.jsonl`);
    const lines = [
      { switchhook_kazoo: { version: 1, master: accounts[0].id, system: {} } },
      ...accounts.map((account) => ({ account: { enabled: true, reseller: false, ...account } })),
      ...hooks.map((hook) => ({ hook })),
      { end: { accounts: accounts.length, hooks: hooks.length } },
    ];
    await writeFile(file, lines.map((line) => `${JSON.stringify(line)}\n`).join(''), { mode: 0o600 });
    const settings = [`data_dir=${this.dir}`, `auth.master_api_key=${MASTER_KEY}`, 'log.reserve_bytes=0', 'ledger.reserve_bytes=0'];
    const words = ['import', 'kazoo', '--file', file, '--json', ...settings.flatMap((one) => ['--set', one])];
    await promisify(execFile)(BINARY, words, { maxBuffer: 1 << 28 });
    await rm(file);
  }

  async #spawn(listen) {
    const set = [
      `data_dir=${this.dir}`, `http.listen=${listen}`, 'websocket.listen=127.0.0.1:0',
      `auth.master_api_key=${MASTER_KEY}`, 'delivery.allow_addresses=["127.0.0.0/8"]',
      'retry.initial_ms=20', 'retry.max_ms=200', 'delivery.request_timeout_ms=2000', 'shutdown_grace_ms=2000',
      'rate_limit.burst=0', 'log.reserve_bytes=0', 'ledger.reserve_bytes=0', ...this.settings,
    ];
    const words = ['--pdeathsig', 'KILL', '--', BINARY, 'serve', ...set.flatMap((one) => ['--set', one])];
    this.child = spawn('setpriv', words, { stdio: ['ignore', 'pipe', 'pipe'] });
    this.said = '';
    this.child.stderr.on('data', (some) => { this.said = (this.said + some).slice(-20_000); });
    let out = '';
    this.child.stdout.on('data', (some) => { out += some; });
    const ready = await until('the program is ready', () => {
      if (this.child.exitCode !== null) throw new Error(`it ended before it was ready: ${this.said}`);
      return out.split('\n').slice(0, -1).find((line) => line.startsWith('{'));
    });
    this.address = JSON.parse(ready).http;
    this.base = `http://${this.address}`;
  }

  async #logIn() {
    const answer = await this.call('PUT', '/v2/api_auth', { api_key: MASTER_KEY });
    this.token = answer.auth_token;
    this.account = answer.data.account_id;
  }

  /** Sends a request to the API; returns the envelope. */
  async call(method, path, data, token = this.token) {
    const answer = await this.try(method, path, data, token);
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${await answer.text()}`);
    return answer.json();
  }

  try(method, path, data, token = this.token) {
    const headers = { 'content-type': 'application/json', ...(token ? { 'x-auth-token': token } : {}) };
    const body = data === undefined ? undefined : JSON.stringify({ data });
    return fetch(this.base + path, { method, headers, body });
  }

  async hook(document, account = this.account) {
    const data = { name: 'test', hook: 'channel_create', format: 'json', ...document };
    return (await this.call('PUT', `/v2/accounts/${account}/webhooks`, data)).data.id;
  }

  async publish(events, account = this.account) {
    return (await this.call('PUT', `/v2/accounts/${account}/events`, events)).data;
  }

  async queue(hook, account = this.account) {
    return (await this.call('GET', `/v2/accounts/${account}/webhooks/${hook}/queue`)).data;
  }

  async below(name) {
    return (await this.call('PUT', `/v2/accounts/${this.account}`, { name })).data.id;
  }

  /** As a power failure would. */
  async kill() {
    const ended = new Promise((go) => { this.child.once('exit', go); });
    this.child.kill('SIGKILL');
    await ended;
  }

  async startAgain() {
    await this.#spawn(this.address);
  }

  async stop() {
    if (this.child.exitCode === null && this.child.signalCode === null) await this.kill();
    await rm(this.dir, { recursive: true, force: true });
  }
}

/** A port that was free a moment ago. */
async function freePort() {
  const server = listen().listen(0, '127.0.0.1');
  await new Promise((go) => { server.once('listening', go); });
  const { port } = server.address();
  await new Promise((go) => { server.close(go); });
  return port;
}

/** A private RabbitMQ, started like the one of `tests/it/support/broker/mod.rs`. */
export class Broker {
  static async start() {
    const broker = new Broker();
    broker.dir = await mkdtemp(join(tmpdir(), 'switchhook-broker-'));
    [broker.port, broker.dist, broker.epmd] = await Promise.all([freePort(), freePort(), freePort()]);
    broker.uri = `amqp://guest:guest@127.0.0.1:${broker.port}`;
    const dies = ['--pdeathsig', 'KILL', '--'];
    broker.names = spawn('setpriv', [...dies, 'epmd', '-port', String(broker.epmd), '-address', '127.0.0.1'], { stdio: 'ignore' });
    await writeFile(join(broker.dir, 'rabbitmq.conf'), `listeners.tcp.1 = 127.0.0.1:${broker.port}\n`);
    await writeFile(join(broker.dir, 'enabled_plugins'), '[].\n');
    broker.server = spawn('setpriv', [...dies, '/usr/lib/rabbitmq/bin/rabbitmq-server'], {
      stdio: ['ignore', 'ignore', 'ignore'],
      env: {
        ...process.env, HOME: broker.dir, RABBITMQ_HOME: '/usr/lib/rabbitmq', RABBITMQ_CONF_ENV_FILE: join(broker.dir, 'none'),
        RABBITMQ_CONFIG_FILE: join(broker.dir, 'rabbitmq.conf'), RABBITMQ_ENABLED_PLUGINS_FILE: join(broker.dir, 'enabled_plugins'),
        RABBITMQ_NODENAME: `console${process.pid}@localhost`, RABBITMQ_DIST_PORT: String(broker.dist),
        ERL_EPMD_PORT: String(broker.epmd), ERL_EPMD_ADDRESS: '127.0.0.1', RABBITMQ_MNESIA_BASE: join(broker.dir, 'data'),
        RABBITMQ_LOG_BASE: join(broker.dir, 'log'), RABBITMQ_PID_FILE: join(broker.dir, 'pid'),
        RABBITMQ_FEATURE_FLAGS_FILE: join(broker.dir, 'feature_flags'), RABBITMQ_ALLOW_INPUT: '1',
        RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS:
          '-noinput +sbwt none +sbwtdcpu none +sbwtdio none -kernel inet_dist_use_interface {127,0,0,1}',
      },
    });
    broker.connection = await until('the broker accepts a connection', () => amqp.connect(broker.uri).catch(() => null), 120_000);
    broker.channel = await broker.connection.createConfirmChannel();
    return broker;
  }

  /** Publishes an event as a switch of KAZOO does; resolves when the broker has confirmed it. */
  async publish(exchange, key, event, contentType = 'application/json') {
    const body = Buffer.from(JSON.stringify(event));
    this.channel.publish(exchange, key, body, { contentType });
    await this.channel.waitForConfirms();
  }

  /** As a power failure would. */
  kill() {
    this.connection?.on('error', () => {});
    this.channel?.on('error', () => {});
    this.server.kill('SIGKILL');
    this.names.kill('SIGKILL');
  }

  async stop() {
    this.kill();
    await rm(this.dir, { recursive: true, force: true, maxRetries: 5 });
  }
}

/** A call event as KAZOO publishes it. */
export const call = (id, n = 1, name = 'CHANNEL_CREATE') => ({
  'Event-Category': 'call_event', 'Event-Name': name, 'Call-ID': id, 'Caller-ID-Number': String(n),
  'Call-Direction': 'inbound', 'App-Name': 'ecallmgr', 'App-Version': '4.0.0', 'Msg-ID': `${id}-${n}`,
});

/** A receiver on loopback that records its requests and answers as `mood` decides. */
export class Receiver {
  static async start() {
    const receiver = new Receiver();
    receiver.requests = [];
    receiver.mood = () => 200;
    receiver.server = createServer(async (request, response) => {
      const parts = [];
      for await (const part of request) parts.push(part);
      receiver.requests.push({ headers: request.headers, url: request.url, body: Buffer.concat(parts) });
      response.writeHead(receiver.mood(request)).end('answer of the receiver');
    });
    await new Promise((go) => { receiver.server.listen(0, '127.0.0.1', go); });
    receiver.base = `http://127.0.0.1:${receiver.server.address().port}`;
    return receiver;
  }

  async got(n) {
    return until(`the receiver has ${n} requests`, () => (this.requests.length >= n ? this.requests : null));
  }

  stop() {
    this.server.closeAllConnections();
    this.server.close();
  }
}

/** Debian's Chromium. */
export async function browser() {
  const executablePath = process.env.CHROMIUM ?? '/usr/bin/chromium';
  return chromium.launch({ executablePath, args: ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage'] });
}

const AXE = createRequire(import.meta.url).resolve('axe-core/axe.min.js');

/** The faults that axe finds on a page. */
export async function found(page) {
  await page.evaluate(await readFile(AXE, 'utf8'));
  const result = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ['violations'] }));
  return result.violations.map(({ id, nodes }) => `${id}: ${nodes.slice(0, 3).map((node) => node.html).join(' | ')}`);
}

/** A page of a logged-in person; `errors` collects the errors of the page. */
export async function visitor(chrome, program, { theme = 'light', key = MASTER_KEY, width = 1280 } = {}) {
  const context = await chrome.newContext({ viewport: { width, height: 800 }, colorScheme: theme });
  await context.addCookies([{ name: 'switchhook_theme', value: theme, url: `${program.base}/console` }]);
  const page = await context.newPage();
  page.errors = [];
  page.setDefaultTimeout(LONG);
  page.on('pageerror', (error) => page.errors.push(String(error)));
  page.on('console', (said) => { if (said.type() === 'error') page.errors.push(said.text()); });
  page.on('dialog', (dialog) => { page.dialogs = (page.dialogs ?? 0) + 1; dialog.accept(); });
  if (key) {
    await page.goto(`${program.base}/console/login`);
    await page.fill('input[name=api_key]', key);
    await page.click('button:has-text("Log in with the key")');
    await page.waitForURL(`${program.base}/console/`);
  }
  return page;
}

/** What the tests of a file share: a browser, a program with these settings, and a receiver. */
export const started = (settings) => Promise.all([browser(), Program.start(settings), Receiver.start()]);

/** Ends them, as far as they have started. */
export async function ended(chrome, program, receiver) {
  await chrome?.close();
  receiver?.stop();
  await program?.stop();
}
