// Figures, times and elements.

const count = new Intl.NumberFormat('en');
const clock = new Intl.DateTimeFormat('en-GB', { timeStyle: 'medium' });
const date = new Intl.DateTimeFormat('en-GB', { day: 'numeric', month: 'short', hour: '2-digit', minute: '2-digit' });
const day = new Intl.DateTimeFormat('en-GB', { dateStyle: 'medium', timeStyle: 'medium' });

/** What is not known. */
export const UNKNOWN = '–';

/** The element of that id. */
export const $ = (id) => document.getElementById(id);

/** A new element. Text in `children` stays text. */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === true) element.setAttribute(name, '');
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** Sets a text where it differs: what is read aloud or selected is left alone otherwise. */
export function put(id, text) {
  const element = $(id);
  if (element.textContent !== String(text)) element.textContent = text;
}

/** Shows a text, or hides its element where there is none. */
export function putOrHide(id, text) {
  $(id).hidden = !text;
  put(id, text ?? '');
}

/** By these an element is found again in the row that takes its row's place. */
const NAMES = ['data-compare', 'data-drop', 'href'];

/** Replaces what an element holds, child by child where one differs, so that the focus stays where it is. */
export function fill(element, children) {
  const held = Map.groupBy([...element.children], (child) => child.outerHTML);
  const next = children.map((child) => held.get(child.outerHTML)?.shift() ?? child);
  const focused = element.contains(document.activeElement) ? document.activeElement : null;
  const stays = new Set(next);
  for (const child of [...element.childNodes]) {
    if (!stays.has(child)) child.remove();
  }
  next.forEach((child, at) => {
    const there = element.childNodes[at] ?? null;
    if (there !== child) element.insertBefore(child, there);
  });
  if (focused && document.activeElement !== focused) {
    const name = NAMES.find((attribute) => focused.hasAttribute(attribute));
    const again = name && element.querySelector(`[${name}="${CSS.escape(focused.getAttribute(name))}"]`);
    (focused.isConnected ? focused : again)?.focus({ preventScroll: true });
  }
}

/** A state in a word; its shape and colour follow `kind`: `good`, `warn`, `bad` or `none`. */
export function putState(id, kind, word) {
  $(id).dataset.state = kind;
  put(id, word);
}

/** The same as a new element. */
export const state = (kind, word) => make('span', { class: 'state', 'data-state': kind }, word);

export const whole = (number) => (number === null || number === undefined ? UNKNOWN : count.format(number));

export function milliseconds(number) {
  if (number === null || number === undefined) return UNKNOWN;
  if (number >= 1_000) return `${(number / 1_000).toFixed(1)} s`;
  return `${number >= 10 ? Math.round(number) : number.toFixed(number >= 1 ? 1 : 2)} ms`;
}

/** All is all: what is less does not round up to it. */
export function percent(share) {
  if (!Number.isFinite(share)) return UNKNOWN;
  const rounded = Math.round(share * 1_000) / 10;
  return `${(share < 1 ? Math.min(99.9, rounded) : rounded).toFixed(1)} %`;
}

export function bytes(number) {
  if (number >= 1 << 20) return `${(number / (1 << 20)).toFixed(1)} MiB`;
  return number >= 1 << 10 ? `${Math.round(number / (1 << 10))} KiB` : `${number} B`;
}

/** How long something took or has been, in its two greatest units. */
export function duration(milliseconds) {
  const seconds = Math.max(0, Math.round(milliseconds / 1_000));
  const parts = [
    [Math.floor(seconds / 86_400), 'd'],
    [Math.floor(seconds / 3_600) % 24, 'h'],
    [Math.floor(seconds / 60) % 60, 'min'],
    [seconds % 60, 's'],
  ];
  const first = parts.findIndex(([number]) => number > 0);
  if (first < 0) return '0 s';
  const shown = parts.slice(first, first + 2).filter(([number]) => number > 0);
  return shown.map(([number, unit]) => `${number} ${unit}`).join(' ');
}

/** A moment of the server's time as an element: the time of day here, and the date where it is not today. */
export function moment(text) {
  const at = new Date(text);
  const isToday = at.toDateString() === new Date().toDateString();
  return make('time', { datetime: text, title: day.format(at) }, isToday ? clock.format(at) : date.format(at));
}

/** Tokens, in thousands or millions. */
export function tokens(number) {
  if (number === null || number === undefined) return UNKNOWN;
  if (number >= 1_000_000) return `${Number((number / 1_000_000).toFixed(2))} M`;
  return number >= 1_000 ? `${Math.round(number / 1_000)} k` : String(number);
}

/** A price as it came, with at least two decimals. Prices are strings, and stay exact. */
export function price(text) {
  if (text === null || text === undefined) return UNKNOWN;
  if (text === '0') return 'free';
  const [dollars, cents = ''] = text.split('.');
  return `$${dollars}.${cents.padEnd(2, '0')}`;
}

/** A name of the API as words. */
export const words = (name) => String(name).replaceAll('_', ' ');
