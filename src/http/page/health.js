// Health of the server and of the providers.

import {
  $, bytes, duration, fill, make, milliseconds, percent, put, putOrHide, putState, state, whole, words,
} from './show.js';

const OVERALL = {
  healthy: ['good', 'All is well'],
  degraded: ['warn', 'Degraded'],
  unhealthy: ['bad', 'Unhealthy'],
};
const DATABASE = {
  up: ['good', 'Up'],
  down: ['bad', 'Down'],
  not_configured: ['none', 'Not configured'],
};
const KV = {
  enabled: ['good', 'Enabled'],
  unavailable: ['bad', 'Unavailable'],
  not_configured: ['none', 'Not configured'],
};
/** Texts for a server without a good answer, also in the title. */
const MISSING = {
  silent: ['The server cannot be reached', 'Unreachable'],
  refused: ['The server refuses to answer', 'No answer'],
  strange: ['The server’s answer is not understood', 'Not understood'],
};
const PARTS_MISSING = {
  silent: 'no answer',
  refused: 'no answer',
  strange: 'the answer is not understood',
};
const KINDS = { postgres: 'DATABASE_URL', embedded: 'private PostgreSQL', none: 'none' };
const PROVIDERS = { healthy: 'good', degraded: 'warn', down: 'bad', unknown: 'none' };
const SOURCES = { postgres: 'PostgreSQL', kv: 'Cloudflare KV', builtin: 'builtin' };

const trouble = (reason, remedy) => (reason ? `${reason}${remedy ? ` → ${remedy}` : ''}` : null);

/** Shows the health that the server reported `age` milliseconds ago. Its ages grow by that. */
export function showHealth(health, age) {
  const { database, cache, catalogue } = health;
  const now = Date.parse(health.timestamp) + age;
  put('environment', health.environment);
  put('version', `${health.version} · ${health.commit.slice(0, 8)}`);
  put('uptime', duration(health.uptime_seconds * 1_000));

  const isReadOnly = database.status === 'up' && database.reason;
  putState('database-state', ...(isReadOnly ? ['warn', 'Read-only'] : DATABASE[database.status]));
  put('database-latency', milliseconds(database.latency_ms));
  put('database-kind', KINDS[database.kind] ?? database.kind);
  put('database-listener', cache.detail.listener.listening ? 'announced at once' : 'looked for every 2 s');
  const looked = database.checked_at;
  put('database-looked', looked ? `${duration(now - Date.parse(looked))} ago` : 'not yet');
  putOrHide('database-trouble', trouble(database.reason, database.remedy));

  showMemory(cache);
  showKv(cache.cloudflare_kv, cache.detail.kv);
  showCatalogue(catalogue, now);
}

function showMemory(cache) {
  const { memory, families, representations } = cache.detail;
  const { reads } = families.catalogue;
  putState('memory-state', 'good', 'Available');
  put('memory-ratio', reads ? percent(memory.hits / reads) : 'no reads yet');
  put('memory-reads', `${whole(reads)}, ${whole(cache.cache_misses)} misses`);
  put('memory-values', `${whole(memory.entries)} · ${bytes(memory.bytes)}`);
  put('memory-bodies', `${whole(representations.entries)} · ${bytes(representations.bytes)}`);
}

function showKv(status, kv) {
  putState('kv-state', ...KV[status]);
  putOrHide('kv-trouble', trouble(kv.reason, kv.remedy));
  const isUsed = kv.calls !== undefined;
  $('kv-facts').hidden = !isUsed;
  $('kv-none').hidden = isUsed;
  if (!isUsed) return;
  const { hits, misses, rejected } = kv;
  const lookups = hits + misses + rejected;
  put('kv-latency', milliseconds(kv.latency_ms.p50));
  put('kv-slowest', milliseconds(kv.latency_ms.p95));
  put('kv-found', lookups ? `${percent(hits / lookups)} of ${whole(lookups)}` : 'no lookups yet');
  put('kv-calls', `${whole(kv.calls)}, ${whole(kv.failures)} failed`);
  for (const [kind, { used, limit }] of Object.entries(kv.budget)) {
    put(`kv-${kind}`, used === null ? `unknown of ${whole(limit)}` : `${whole(used)} of ${whole(limit)}`);
    const bar = $(`kv-${kind}-bar`);
    bar.style.inlineSize = `${Math.min(100, (100 * (used ?? 0)) / limit)}%`;
    bar.dataset.state = used >= limit ? 'bad' : used >= 0.8 * limit ? 'warn' : 'good';
  }
}

function showCatalogue(catalogue, now) {
  if (!catalogue) {
    putState('catalogue-state', 'bad', 'None yet');
    return;
  }
  const { source, stale } = catalogue;
  putState('catalogue-state', stale ? 'warn' : 'good', stale ? 'May be out of date' : 'Current');
  put('catalogue-models', `${whole(catalogue.models)} models`);
  put('catalogue-source', SOURCES[source] ?? source);
  put('catalogue-providers', whole(catalogue.providers));
  put('catalogue-skipped', whole(catalogue.skipped));
  put('catalogue-revision', catalogue.revision === 0 ? 'builtin' : String(catalogue.revision));
  const ago = (at) => (at ? `${duration(now - Date.parse(at))} ago` : 'never');
  put('catalogue-loaded', ago(catalogue.loaded_at));
  put('catalogue-validated', ago(catalogue.validated_at));
}

/** Shows the results of the probes; `age` in milliseconds if they are not current. */
export function showProviders({ providers, active_providers: active, total_providers: total, hint }, age) {
  put('providers-count', `${active} of ${total} usable${age === null ? '' : `, ${duration(age)} ago`}`);
  putOrHide('providers-hint', hint);
  fill($('providers'), providers.map(row));
}

function row({ id, name, enabled, status, reason, latency_ms: latency, models }) {
  const word = enabled ? words(status) : 'disabled';
  return make(
    'tr',
    {},
    make('th', { scope: 'row' }, make('a', { href: `/?provider=${id}#models` }, name)),
    make(
      'td',
      {},
      state(enabled ? PROVIDERS[status] : 'none', word),
      reason ? make('small', {}, words(reason)) : null,
    ),
    make('td', { class: 'number' }, milliseconds(latency.p50)),
    make('td', { class: 'number wide' }, milliseconds(latency.p95)),
    make('td', { class: 'number' }, whole(models)),
  );
}

/** Shows the summary: health, and which of the `others` have no answer. */
export function showOverall(feed, others) {
  const { body: health, isCurrent, trouble, said } = feed;
  const age = duration(feed.age);
  document.body.classList.toggle('old', health !== null && !isCurrent);
  put('updated', health === null ? 'never' : isCurrent ? `${age} ago` : `${age} ago: not current`);
  const missing = others.filter(([, other]) => other.trouble !== null && !other.isCurrent);
  const parts = missing.map(([name, { trouble: kind }]) => `The ${name}: ${PARTS_MISSING[kind]}`);
  putOrHide('overall-parts', isCurrent ? parts.join(' · ') || null : null);
  if (isCurrent) {
    const [kind, word] = OVERALL[health.status] ?? ['warn', words(health.status)];
    tell(kind, word, reasons(health).join(' · ') || null, word);
    return;
  }
  if (health === null && trouble === null) {
    putState('overall', 'none', 'Asking the server …');
    return;
  }
  const [sentence, title] = MISSING[trouble ?? 'silent'];
  const last = health === null ? null : OVERALL[health.status]?.[1].toLowerCase();
  const known = last ? `What is shown is its last known state (${last}).` : 'Nothing is known of it yet.';
  tell('bad', sentence, [said && `${said}.`, known, 'This page goes on trying.'].filter(Boolean).join(' '), title);
}

function tell(kind, sentence, why, title) {
  putState('overall', kind, sentence);
  putOrHide('overall-why', why);
  const shown = `${{ good: '●', warn: '▲', bad: '■' }[kind]} ${title} · ChatChonk`;
  if (document.title !== shown) document.title = shown;
}

/** Returns why it is not healthy. */
function reasons({ status, database, cache, catalogue }) {
  if (status === 'healthy') return [];
  const causes = [];
  if (database.reason) causes.push(`Database: ${database.reason}`);
  if (cache.cloudflare_kv === 'unavailable') causes.push(`Cloudflare KV: ${cache.detail.kv.reason}`);
  if (catalogue?.stale) causes.push('The catalogue may be out of date');
  if (!catalogue) causes.push('There is no catalogue yet');
  return causes.length ? causes : ['It starts, stops, or is wrongly configured'];
}
