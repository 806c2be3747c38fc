// Where the page begins: what is asked how often, and what is shown of it.

import { showHealth, showOverall, showProviders } from './health.js';
import { showHistory } from './history.js';
import { startModels } from './models.js';
import { Feed } from './poll.js';

const models = startModels();
// The time of the server, as far as it has told.
let ahead = 0;

const health = new Feed('/api/health', 1_000, ({ answered, body }) => {
  if (answered) {
    ahead = Date.parse(body.timestamp) - Date.now();
    models.showRevision(body.catalogue?.revision);
  }
  show();
});
// Shown without an answer too: the charts go on, and show the gap.
const history = new Feed('/api/status', 5_000, ({ body }) => {
  if (body) showHistory(body, Date.now() + ahead);
});
const providers = new Feed('/api/automodel/health', 5_000, (feed) => {
  if (feed.body?.providers) showProviders(feed.body, feed.isCurrent ? null : feed.age);
});

for (const feed of [health, history, providers]) feed.run();
// Ages grow by themselves, also while nobody answers.
setInterval(show, 500);

function show() {
  if (health.body) showHealth(health.body, health.age);
  showOverall(health);
}
