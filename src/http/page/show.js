// Numbers, times and elements.

const count = new Intl.NumberFormat('en');
const clock = new Intl.DateTimeFormat('en-GB', { timeStyle: 'medium' });
const date = new Intl.DateTimeFormat('en-GB', { day: 'numeric', month: 'short', hour: '2-digit', minute: '2-digit' });
const day = new Intl.DateTimeFormat('en-GB', { dateStyle: 'medium', timeStyle: 'medium' });

/** Placeholder for unknown values. */
export const UNKNOWN = '–';

/** Returns the element of an id. */
export const $ = (id) => document.getElementById(id);

/** Creates an element. Text in `children` stays text. */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === true) element.setAttribute(name, '');
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** Sets a text if it differs, to leave selections and screen readers alone. */
export function put(id, text) {
  const element = $(id);
  if (element.textContent !== String(text)) element.textContent = text;
}

/** Shows a text, or hides its element without one. */
export function putOrHide(id, text) {
  $(id).hidden = !text;
  put(id, text ?? '');
}

/** Attributes that identify an element in the row that replaces its own. */
const NAMES = ['data-compare', 'data-drop', 'href'];

/** Replaces an element's children where they differ, so that the focus stays. */
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

/** Shows a state as a word; `kind` sets shape and colour: `good`, `warn`, `bad` or `none`. */
export function putState(id, kind, word) {
  $(id).dataset.state = kind;
  put(id, word);
}

/** Returns a state as a new element. */
export const state = (kind, word) => make('span', { class: 'state', 'data-state': kind }, word);

export const whole = (number) => (number === null || number === undefined ? UNKNOWN : count.format(number));

export function milliseconds(number) {
  if (number === null || number === undefined) return UNKNOWN;
  if (number >= 1_000) return `${(number / 1_000).toFixed(1)} s`;
  return `${number >= 10 ? Math.round(number) : number.toFixed(number >= 1 ? 1 : 2)} ms`;
}

/** Only 100 % rounds to 100 %. */
export function percent(share) {
  if (!Number.isFinite(share)) return UNKNOWN;
  const rounded = Math.round(share * 1_000) / 10;
  return `${(share < 1 ? Math.min(99.9, rounded) : rounded).toFixed(1)} %`;
}

export function bytes(number) {
  if (number >= 1 << 20) return `${(number / (1 << 20)).toFixed(1)} MiB`;
  return number >= 1 << 10 ? `${Math.round(number / (1 << 10))} KiB` : `${number} B`;
}

/** Returns a duration in its two greatest units. */
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

/** Returns a moment of the server's time as an element: local time, and the date unless today. */
export function moment(text) {
  const at = new Date(text);
  const isToday = at.toDateString() === new Date().toDateString();
  return make('time', { datetime: text, title: day.format(at) }, isToday ? clock.format(at) : date.format(at));
}

/** Returns tokens in thousands or millions. */
export function tokens(number) {
  if (number === null || number === undefined) return UNKNOWN;
  if (number >= 1_000_000) return `${Number((number / 1_000_000).toFixed(2))} M`;
  return number >= 1_000 ? `${Math.round(number / 1_000)} k` : String(number);
}

/** Returns a price with at least two decimals. Prices are strings and stay exact. */
export function price(text) {
  if (text === null || text === undefined) return UNKNOWN;
  if (text === '0') return 'free';
  const [dollars, cents = ''] = text.split('.');
  return `$${dollars}.${cents.padEnd(2, '0')}`;
}

/** Returns a name of the API as words. */
export const words = (name) => String(name).replaceAll('_', ' ');
