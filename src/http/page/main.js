// Where the page begins: what is asked how often, and what is shown of it.

import { showHealth, showOverall, showProviders } from './health.js';
import { showHistory } from './history.js';
import { startModels } from './models.js';
import { Feed } from './poll.js';
import { $ } from './show.js';

const SERVICE = 'chatchonk-api';

const models = startModels();
/** What providers are called, by id. */
let names = new Map();
/** The release that this page belongs to. */
let commit = null;

// The two healths have no tag, since they tell the time: they are `no-store` by the API's contract, small, and written at
// most once a second however many ask. The history and the list have tags, and come again only when they have changed.
const health = new Feed('/api/health', 1_000, ({ body, age }) => {
  if (body) {
    showHealth(body, age);
    models.showRevision(body.catalogue?.revision);
    followRelease(body.commit);
  }
  showSummary();
}, (body) => body?.service === SERVICE);
// Shown without an answer too: the charts go on, and show the gap.
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
// Ages grow by themselves, also while nobody answers. The sentence on top is told for itself, since it must hold where
// health cannot be shown.
setInterval(() => {
  health.show();
  showSummary();
}, 500);

function showSummary() {
  showOverall(health, [['providers', providers], ['last hour', history]]);
}

/** The server's time, as far as it has told. */
function now() {
  return health.body ? Date.now() + Date.parse(health.body.timestamp) - health.at : Date.now();
}

/**
 * Another release may answer in other words, so the page is loaded anew: once for each, since two releases answer by turns
 * during a deploy, and not under somebody's hands.
 */
function followRelease(released) {
  commit ??= released;
  if (released === commit || !$('compare-bar').hidden || $('models-form').contains(document.activeElement)) return;
  const name = `reloaded for ${released}`;
  try {
    if (sessionStorage.getItem(name)) return;
    sessionStorage.setItem(name, 'yes');
  } catch {
    // Where nothing can be remembered it would go on and on.
    return;
  }
  location.reload();
}
