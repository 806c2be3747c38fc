// The last hour: charts of the samples, and the list of changes.

import { $, duration, fill, make, milliseconds, moment, percent, put, state, words } from './show.js';

const HOUR = 3_600_000;
/** Shortest time that a chart covers: a new process would fill none of an hour. */
const LEAST = 600_000;
const [WIDTH, HEIGHT] = [360, 56];
const PARTS = {
  database: 'Database',
  cloudflare_kv: 'Cloudflare KV',
  catalogue: 'Catalogue',
  provider: 'Provider',
};
const GOOD = ['up', 'enabled', 'postgres', 'kv', 'healthy'];
const BAD = ['down', 'unavailable', 'not_configured'];

const kindOf = (word) => (GOOD.includes(word) ? 'good' : BAD.includes(word) ? 'bad' : 'warn');

const sum = (samples, of) => samples.reduce((total, sample) => total + of(sample), 0);

/** `now` is the server's time, so a wrong local clock moves nothing; `names` are the providers' names. */
export function showHistory({ samples, changes, since }, now, names) {
  const span = Math.min(HOUR, Math.max(LEAST, now - Date.parse(since)));
  const recent = samples.filter((sample) => now - Date.parse(sample.at) < span);
  for (const begin of document.querySelectorAll('.begin')) begin.textContent = `${duration(span)} ago`;
  const share = (of, all) => (sample) => (sample[all] > 0 ? of(sample) / sample[all] : null);
  const reads = sum(recent, (sample) => sample.reads);
  const hits = sum(recent, (sample) => sample.memory_hits);
  const draw = (id, value, top, name, format) => drawChart(id, recent, { now, span }, value, top, name, format);
  const shareOfHits = share((sample) => sample.memory_hits, 'reads');
  draw('memory-chart', shareOfHits, 1, 'Share of reads answered from memory', percent);
  // A hit takes less than a microsecond, about as much as measuring it. Only loads take time.
  draw('load-chart', (sample) => sample.load_ms, null, 'Time to load the catalogue from the database', milliseconds);
  put('memory-hour', reads ? `${percent(hits / reads)} of ${reads} reads` : 'no reads');

  draw('database-chart', (sample) => sample.database_ms, null, 'Latency of the database', milliseconds);
  const shareFound = share((sample) => sample.kv_found, 'kv_lookups');
  draw('kv-ratio-chart', shareFound, 1, 'Share of lookups that Cloudflare KV had a value for', percent);
  draw('kv-chart', (sample) => sample.kv_ms, null, 'Latency of Cloudflare KV', milliseconds);
  const [lookups, found] = [sum(recent, (s) => s.kv_lookups), sum(recent, (s) => s.kv_found)];
  put('kv-hour', lookups ? `${percent(found / lookups)} of ${lookups}` : 'no lookups');

  put('changes-none', changes.length ? '' : `No change since the start, ${duration(now - Date.parse(since))} ago.`);
  $('changes-none').hidden = changes.length > 0;
  $('changes-table').hidden = changes.length === 0;
  fill($('changes'), changes.map((change) => row(change, names)));
}

function row({ at, part, provider, from, to, reason }, names) {
  return make(
    'tr',
    {},
    make('td', {}, moment(at)),
    make('th', { scope: 'row' }, names.get(provider) ?? provider ?? PARTS[part] ?? part),
    make(
      'td',
      {},
      from ? `${words(from)} → ` : '',
      state(kindOf(to), words(to)),
      reason ? make('small', {}, words(reason)) : null,
    ),
  );
}

/** Draws a line over the last hour, with gaps. `top` is the upper end, by default the highest value. */
function drawChart(id, samples, { now, span }, value, top, name, format) {
  const points = samples.map((sample) => [Date.parse(sample.at), value(sample) ?? null]);
  const known = points.map(([, y]) => y).filter((y) => y !== null);
  const highest = known.length ? Math.max(...known) : 0;
  const scale = top ?? (highest * 1.15 || 1);
  const x = (time) => (WIDTH * (1 - (now - time) / span)).toFixed(1);
  const y = (number) => (HEIGHT - 1 - (HEIGHT - 3) * Math.min(1, number / scale)).toFixed(1);
  const lines = [];
  let last = null;
  for (const [time, number] of points) {
    if (number === null) {
      last = null;
      continue;
    }
    // A longer pause than between two samples is a gap.
    if (last === null || time - last > 25_000) lines.push([]);
    lines.at(-1).push([x(time), y(number)]);
    last = time;
  }
  const shapes = lines.flatMap((line) => {
    const path = line.map(([left, up]) => `${left},${up}`);
    // A lone sample is a dot: the round ends of a line without length.
    if (line.length === 1) return [shape('polyline', [path[0], path[0]], 'dot')];
    const area = [`${line[0][0]},${HEIGHT}`, ...path, `${line.at(-1)[0]},${HEIGHT}`];
    return [shape('polygon', area), shape('polyline', path)];
  });
  const chart = $(id);
  chart.setAttribute('viewBox', `0 0 ${WIDTH} ${HEIGHT}`);
  chart.replaceChildren(...shapes);
  const lowest = known.length ? Math.min(...known) : 0;
  const summary = known.length
    ? `${name} over the last ${duration(span)}: ${format(known.at(-1))} at last, between ${format(lowest)} and ${format(highest)}`
    : `${name} over the last ${duration(span)}: nothing measured`;
  chart.setAttribute('aria-label', summary);
  put(`${id}-range`, known.length ? `${format(lowest)} – ${format(highest)}` : 'nothing measured yet');
}

function shape(tag, points, kind) {
  const element = document.createElementNS('http://www.w3.org/2000/svg', tag);
  element.setAttribute('points', points.join(' '));
  if (kind) element.setAttribute('class', kind);
  return element;
}
