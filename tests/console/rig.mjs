// What the browser tests stand on: the built program on free ports with a data directory of its own, a receiver with moods,
// and Debian's Chromium. Everything ends with the test process.
import { spawn } from 'node:child_process';
import { createServer } from 'node:http';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';

export const ROOT = fileURLToPath(new URL('../../', import.meta.url));
export const MASTER_KEY = '0123456789abcdef'.repeat(4);
export const SECRET = 'whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3';
/** Long enough for a busy machine. */
export const LONG = 30_000;

const BINARY = process.env.SWITCHHOOK_BIN
  ?? join(process.env.CARGO_TARGET_DIR ?? join(ROOT, 'target'), 'debug', 'switchhook');

/** Waits until `look` gives something. */
export async function until(what, look, within = LONG) {
  const end = Date.now() + within;
  for (;;) {
    const found = await look();
    if (found) return found;
    if (Date.now() > end) throw new Error(`not in time: ${what}`);
    await new Promise((go) => { setTimeout(go, 20); });
  }
}

/** The program. It can be killed and started again over the same data and port. */
export class Program {
  static async start(more = []) {
    const program = new Program();
    program.dir = await mkdtemp(join(tmpdir(), 'switchhook-console-'));
    program.settings = more;
    await program.#spawn('127.0.0.1:0');
    await program.#logIn();
    return program;
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

  /** A request to the API; its envelope. */
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

/** A call event as KAZOO publishes it. */
export const call = (id, n = 1, name = 'CHANNEL_CREATE') => ({
  'Event-Category': 'call_event', 'Event-Name': name, 'Call-ID': id, 'Caller-ID-Number': String(n),
  'Call-Direction': 'inbound', 'App-Name': 'ecallmgr', 'App-Version': '4.0.0', 'Msg-ID': `${id}-${n}`,
});

/** A receiver on loopback that remembers its requests and answers as `mood` says. */
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

/** A page of a person who is logged in; `errors` gathers what the page complains of. */
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
