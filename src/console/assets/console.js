// What moves in the console: live regions, times in the visitor's zone, keyboard, copying. Every page works without it.

const main = document.getElementById('main');
const offline = document.getElementById('offline');

// Times: relative as they pass, the absolute one on hover in the visitor's zone.
function relative(seconds) {
  const past = seconds >= 0;
  const s = Math.abs(Math.round(seconds));
  if (s === 0) return 'just now';
  const span = s < 100 ? `${s} s` : s < 6000 ? `${Math.round(s / 60)} min`
    : s < 172800 ? `${Math.round(s / 3600)} h` : `${Math.floor(s / 86400)} d`;
  return past ? `${span} ago` : `in ${span}`;
}

const absolute = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'long' });

function tellTimes(root) {
  for (const time of root.querySelectorAll('time[datetime]')) {
    const at = new Date(time.dateTime);
    if (Number.isNaN(at.getTime())) continue;
    const passed = (Date.now() - at.getTime()) / 1000;
    // Something that is still to happen never happened some time ago.
    const text = 'ahead' in time.dataset && passed > -0.5 ? 'now' : relative(passed);
    if (time.textContent !== text) time.textContent = text;
    const title = absolute.format(at);
    if (time.title !== title) time.title = title;
  }
}

// Rows move with their keys: what a person has marked or focused stays theirs, wherever the row goes.
function keyed(old, now) {
  const known = new Map([...old.children].map((row) => [row.dataset.key, row]));
  const held = old.contains(document.activeElement) ? document.activeElement : null;
  const kept = new Set([...now.children].map((row) => row.dataset.key));
  for (const [key, row] of known) if (!kept.has(key)) row.remove();
  let at = old.firstElementChild;
  for (const row of [...now.children]) {
    const same = known.get(row.dataset.key);
    if (!same) old.insertBefore(document.importNode(row, true), at);
    else {
      morph(same, row);
      if (same === at) at = at.nextElementSibling;
      else old.insertBefore(same, at);
    }
  }
  // Moving a row takes the focus away. If the row has gone, the focus is at the beginning of the page's content.
  if (held && document.activeElement !== held) (held.isConnected ? held : main).focus({ preventScroll: true });
}

// Makes one tree like another, leaving alone what is the same, so that focus, selection and typing stay.
function morph(old, now) {
  if (old.nodeType !== now.nodeType || old.nodeName !== now.nodeName) {
    old.replaceWith(document.importNode(now, true));
    return;
  }
  if (old.nodeType !== Node.ELEMENT_NODE) {
    if (old.nodeValue !== now.nodeValue) old.nodeValue = now.nodeValue;
    return;
  }
  for (const { name } of [...old.attributes]) if (!now.hasAttribute(name) && name !== 'open') old.removeAttribute(name);
  for (const { name, value } of now.attributes) {
    const isOurs = name === 'hidden' && (old.dataset.all || old.dataset.copy);
    if (!isOurs && old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  if (old.nodeName === 'INPUT' && old.type === 'hidden') old.value = now.value;
  if (old.hasAttribute('data-still') && old.contains(document.activeElement)) return;
  if (now.firstElementChild && [...now.children].every((child) => child.dataset.key)) return keyed(old, now);
  const before = [...old.childNodes];
  const after = [...now.childNodes];
  after.forEach((node, at) => {
    if (before[at]) morph(before[at], node);
    else old.append(document.importNode(node, true));
  });
  before.slice(after.length).forEach((node) => node.remove());
}

// The newest events on top. When more came than one page holds, the pages behind it are fetched too, so none is missing.
const MOST_ROWS = 1000;

async function follow(table, page) {
  const known = new Set([...table.children].map((row) => row.dataset.key));
  const fresh = [];
  for (let pages = 0; pages < 40; pages += 1) {
    const rows = [...page.querySelectorAll('[data-tail] [data-key]')];
    const unknown = rows.filter((row) => !known.has(row.dataset.key));
    fresh.push(...unknown);
    const next = page.querySelector('a[rel=next]');
    if (unknown.length < rows.length || !next || known.size === 0) break;
    const answer = await fetch(new URL(next.getAttribute('href'), location.href), { headers: { 'x-console-live': '1' } });
    if (!answer.ok) throw new Error(`status ${answer.status}`);
    page = new DOMParser().parseFromString(await answer.text(), 'text/html');
  }
  table.prepend(...fresh.map((row) => document.importNode(row, true)));
  while (table.children.length > MOST_ROWS) table.lastElementChild.remove();
}

// A page that changes is asked for again, and what differs is put in its place. Websocket frames tell when; while there is
// no websocket, the page asks by itself.
const every = Number(document.body.dataset.live || 0);
const told = Number(document.body.dataset.told || every);
// The time between two requests, and how much longer than a request it is at least: a page that many changes concern
// must not keep the server busy.
const SOONEST = 250;
const REST = 5;
let paused = false;
let listening = false;
let timer = 0;
let running = false;
let again = false;
let next = 0;

async function refresh() {
  const answer = await fetch(location.href, { headers: { 'x-console-live': '1' }, redirect: 'manual' });
  if (answer.status === 401) return location.reload();
  if (!answer.ok) throw new Error(`status ${answer.status}`);
  const page = new DOMParser().parseFromString(await answer.text(), 'text/html');
  const table = document.querySelector('[data-tail]');
  if (table) await follow(table, page);
  for (const part of page.querySelectorAll('#main [id]')) {
    const old = document.getElementById(part.id);
    if (old && !part.parentElement.closest('#main [id]')) morph(old, part);
  }
  for (const input of document.querySelectorAll('input[type=hidden][name=form]')) {
    const fresh = page.querySelector('input[type=hidden][name=form]');
    if (fresh) input.value = fresh.value;
  }
  if (page.body.dataset.watch !== document.body.dataset.watch) {
    document.body.dataset.watch = page.body.dataset.watch ?? '';
    watch();
  }
  tellTimes(document);
}

async function live() {
  clearTimeout(timer);
  if (running) { again = true; return; }
  running = true;
  const began = performance.now();
  if (!document.hidden && !paused) {
    try {
      await refresh();
      offline.hidden = true;
    } catch {
      offline.hidden = false;
    }
  }
  running = false;
  const ended = performance.now();
  const rest = Math.max(SOONEST, (ended - began) * REST);
  next = ended + rest;
  clearTimeout(timer);
  timer = setTimeout(live, again ? rest : Math.max(rest, listening ? told : every));
  again = false;
}

// Many frames may tell of one change: the page is asked for once.
let due = false;
function news() {
  if (running) { again = true; return; }
  if (due) return;
  due = true;
  clearTimeout(timer);
  timer = setTimeout(() => { due = false; live(); }, Math.max(SOONEST / 5, next - performance.now()));
}

let socket = null;
let wait = 1000;
const watched = new Set();

// Subscribes to what the page watches and was not subscribed to yet.
function watch() {
  if (socket?.readyState !== WebSocket.OPEN) return;
  const byAccount = new Map();
  for (const each of (document.body.dataset.watch || '').split(' ')) {
    if (!each || watched.has(each)) continue;
    watched.add(each);
    const [account, binding] = each.split('/');
    byAccount.set(account, [...(byAccount.get(account) ?? []), binding]);
  }
  for (const [account, bindings] of byAccount) {
    socket.send(JSON.stringify({ action: 'subscribe', data: { account_id: account, bindings } }));
  }
}

function listen() {
  socket = new WebSocket(`${location.origin.replace(/^http/, 'ws')}/console/live`);
  watched.clear();
  socket.addEventListener('open', watch);
  socket.addEventListener('message', ({ data }) => {
    const frame = JSON.parse(data);
    if (frame.action === 'event') news();
    else if (frame.status === 'success') {
      // What changed before the subscription is asked for once.
      if (!listening) news();
      [listening, wait] = [true, 1000];
    }
  });
  socket.addEventListener('close', () => {
    const was = listening;
    listening = false;
    if (was) news();
    setTimeout(listen, wait);
    wait = Math.min(wait * 2, 30000);
  });
}

if (every > 0 && offline) {
  timer = setTimeout(live, every);
  document.addEventListener('visibilitychange', () => { if (!document.hidden && !paused) live(); });
  if (document.body.dataset.watch && 'WebSocket' in window) listen();
}
for (const button of document.querySelectorAll('[data-pause]')) {
  button.hidden = false;
  button.addEventListener('click', () => {
    paused = !paused;
    button.textContent = paused ? 'Go on' : 'Pause';
    if (!paused) live();
  });
}

tellTimes(document);
setInterval(() => tellTimes(document), every > 0 ? 1000 : 10000);

// Copying.
document.addEventListener('click', async (event) => {
  const button = event.target.closest('[data-copy]');
  if (!button) return;
  const source = document.getElementById(button.dataset.copy);
  if (!source) return;
  const text = source.value ?? source.textContent;
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = 'Copied';
  } catch {
    const range = document.createRange();
    range.selectNodeContents(source);
    getSelection().removeAllRanges();
    getSelection().addRange(range);
    button.textContent = 'Press Ctrl+C';
  }
  setTimeout(() => { button.textContent = 'Copy'; }, 2000);
});
for (const button of document.querySelectorAll('[data-copy]')) button.hidden = false;

// All rows of a list at once.
for (const all of document.querySelectorAll('[data-all]')) {
  all.hidden = false;
  all.addEventListener('change', () => {
    for (const box of document.querySelectorAll(`input[name="${all.dataset.all}"]`)) box.checked = all.checked;
  });
}

// Parts of a form that a choice shows or hides.
for (const select of document.querySelectorAll('[data-shows]')) {
  const show = () => {
    for (const part of document.querySelectorAll(`[data-for="${select.dataset.shows}"]`)) {
      part.hidden = part.dataset.when !== select.value;
    }
  };
  select.addEventListener('change', show);
  show();
}

// Keyboard.
const help = document.getElementById('help');
let before = '';

function step(by) {
  const rows = [...document.querySelectorAll('[data-row]')];
  if (rows.length === 0) return;
  const at = rows.findIndex((row) => row.contains(document.activeElement));
  const next = rows[Math.max(0, Math.min(rows.length - 1, at < 0 ? (by > 0 ? 0 : rows.length - 1) : at + by))];
  const link = next.querySelector('[data-go]');
  if (link) link.focus();
  next.scrollIntoView({ block: 'nearest' });
}

function go(word) {
  const link = [...document.querySelectorAll('.side nav a')].find((a) => a.textContent.trim() === word);
  if (link) location.href = link.href;
}

document.addEventListener('keydown', (event) => {
  const typing = event.target.closest('input, select, textarea, [contenteditable]');
  if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
  const { key } = event;
  if (before === 'g') {
    before = '';
    if (key === 'h') go('Hooks');
    if (key === 'e') go('Events');
    if (key === 'o') go('Overview');
    return;
  }
  if (key === '/') {
    const search = document.querySelector('[data-search]');
    if (search) { event.preventDefault(); search.focus(); search.select(); }
  } else if (key === 'j') step(1);
  else if (key === 'k') step(-1);
  else if (key === '?' && help) help.showModal();
  else if (key === 'g') before = 'g';
});

// A form is sent once, however often its button is pressed.
document.addEventListener('submit', (event) => {
  const form = event.target;
  if (form.method !== 'post' || form.dataset.sent) { if (form.dataset.sent) event.preventDefault(); return; }
  if (form.dataset.ask && !confirm(form.dataset.ask)) { event.preventDefault(); return; }
  form.dataset.sent = '1';
  setTimeout(() => { delete form.dataset.sent; }, 3000);
});
