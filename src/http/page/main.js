// Entry point: what is requested how often, and how it is shown.

import { showHealth, showOverall, showProviders } from './health.js';
import { showHistory } from './history.js';
import { startModels } from './models.js';
import { Feed } from './poll.js';
import { $ } from './show.js';

const SERVICE = 'chatchonk-api';

const models = startModels();
/** Names of the providers, by id. */
let names = new Map();
/** Release of this page. */
let commit = null;

// The two healths are `no-store` by contract, small, and rendered at most once a second for all clients. History and list
// have tags, so unchanged ones come without a body.
const health = new Feed('/api/health', 1_000, ({ body, age }) => {
  if (body) {
    showHealth(body, age);
    models.showRevision(body.catalogue?.revision);
    followRelease(body.commit);
  }
  showSummary();
}, (body) => body?.service === SERVICE);
// Shown without an answer, too: the charts continue, with a gap.
const history = new Feed('/api/status', 5_000, ({ body }) => {
  if (body) showHistory(body, now(), names);
});
const providers = new Feed('/api/automodel/health', 5_000, (feed) => {
  if (!feed.body?.providers) return;
  showProviders(feed.body, feed.isCurrent ? null : feed.age);
  models.showProviders(feed.body.providers);
  const isFirst = names.size === 0;
  names = new Map(feed.body.providers.map(({ id, name }) => [id, name]));
  if (isFirst) history.show();
});

for (const feed of [health, history, providers]) feed.run();
// Ages grow without answers. The summary is updated separately, because it must be right when health cannot be shown.
setInterval(() => {
  health.show();
  showSummary();
}, 500);

function showSummary() {
  showOverall(health, [['providers', providers], ['last hour', history]]);
}

/** Returns the server's time. */
function now() {
  return health.body ? Date.now() + Date.parse(health.body.timestamp) - health.at : Date.now();
}

/**
 * Reloads the page for another release, whose answers may differ: once per release, because two releases answer in turn
 * during a deploy, and not while the reader is busy.
 */
function followRelease(released) {
  commit ??= released;
  if (released === commit || !$('compare-bar').hidden || $('models-form').contains(document.activeElement)) return;
  const name = `reloaded for ${released}`;
  try {
    if (sessionStorage.getItem(name)) return;
    sessionStorage.setItem(name, 'yes');
  } catch {
    // Without storage it would reload forever.
    return;
  }
  location.reload();
}
