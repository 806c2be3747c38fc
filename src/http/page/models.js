// The browser of models, on the public list.

import { Comparison } from './compare.js';
import { ask } from './poll.js';
import { $, fill, make, price, put, state, tokens, whole, words } from './show.js';

const PAGE = 50;
/** The server's maximum per page. */
const MOST = 1_000;
/** Pause between automatic requests of the list, in milliseconds. */
const BETWEEN = 10_000;
const FIELDS =
  'id,name,provider,provider_status,status,kind,context_length,max_output_tokens,pricing,capabilities,' +
  'input_modalities,output_modalities,open_weights,release_date,knowledge_cutoff';
const STATUSES = { healthy: 'good', degraded: 'warn', down: 'bad' };
/** Names of the controls: the API's parameters. */
const LISTS = ['provider', 'kind', 'task'];
const PRICES = ['max_input_price', 'max_output_price'];

export function startModels() {
  return new Models($('models-form'));
}

class Models {
  /** The current request. A new one replaces it. */
  #asking = null;
  #cursor = null;
  #revision = null;
  /** Statuses of the providers. */
  #providers = null;
  #rows = [];
  /** Whether something has changed since the list was requested. */
  #isOld = false;
  /** Whether the last request failed. */
  #hasFailed = false;
  /** When the list was last requested automatically, or failed. */
  #triedAt = 0;

  constructor(form) {
    this.form = form;
    this.comparison = new Comparison();
    this.#restore(new URLSearchParams(location.search));
    form.addEventListener('submit', (event) => event.preventDefault());
    let timer;
    form.addEventListener('input', () => {
      clearTimeout(timer);
      timer = setTimeout(() => this.#load(), 150);
    });
    form.addEventListener('reset', () => {
      form.elements.sort.value = '';
      setTimeout(() => this.#load());
    });
    $('models-more').addEventListener('click', () => this.#load(this.#cursor));
    for (const button of document.querySelectorAll('[data-sort]')) {
      button.addEventListener('click', () => this.#sortBy(button.dataset.sort));
    }
    this.#load();
  }

  /** Reloads the list when the catalogue has another revision. */
  showRevision(revision) {
    this.#isOld ||= this.#revision !== null && revision !== undefined && revision !== this.#revision;
    this.#renew();
  }

  /** Reloads it when a provider's status changes, which the list shows and filters by. */
  showProviders(providers) {
    const now = JSON.stringify(providers.map(({ id, enabled, status }) => [id, enabled, status]));
    this.#isOld ||= this.#providers !== null && now !== this.#providers;
    this.#providers = now;
    this.#renew();
  }

  /** Not every time: a list may keep failing, and servers that answer in turn may differ. */
  #renew() {
    const isWanted = this.#isOld || this.#hasFailed;
    if (!isWanted || this.#asking || Date.now() - this.#triedAt < BETWEEN) return;
    this.#triedAt = Date.now();
    // Readers of later pages keep them.
    this.#load(null, Math.min(MOST, Math.max(PAGE, this.#rows.length)));
  }

  /** Returns the form as parameters. */
  #query() {
    const query = new URLSearchParams();
    for (const [name, value] of new FormData(this.form)) {
      // Many countries write prices with a comma.
      const text = PRICES.includes(name) ? value.trim().replace(',', '.') : value.trim();
      if (text) query.append(name, text);
    }
    return query;
  }

  #restore(query) {
    for (const [name, value] of query) {
      for (const control of this.form.querySelectorAll(`[name="${CSS.escape(name)}"]`)) {
        if (control.type === 'checkbox') control.checked ||= control.value === value;
        else {
          // The first answer fills the lists.
          if (LISTS.includes(name)) control.append(new Option(value, value));
          control.value = value;
        }
      }
    }
  }

  #sortBy(name) {
    const sort = this.form.elements.sort;
    sort.value = sort.value === name ? `-${name}` : sort.value === `-${name}` ? '' : name;
    this.#load();
  }

  async #load(cursor = null, limit = PAGE) {
    this.#asking?.abort();
    const asking = (this.#asking = new AbortController());
    if (cursor === null) this.#isOld = false;
    const query = this.#query();
    this.#showSort(query.get('sort') ?? '');
    const shown = query.size ? `?${query}` : location.pathname;
    window.history.replaceState(null, '', shown + location.hash);
    query.set('limit', limit);
    query.set('fields', FIELDS);
    query.set('facets', 'true');
    if (cursor) query.set('cursor', cursor);
    let answer;
    try {
      answer = await ask(`/api/models?${query}`, asking.signal);
    } catch {
      // No answer, or replaced by a newer request.
    }
    if (this.#asking !== asking) return;
    this.#asking = null;
    // The button repeats a failed page.
    this.#note(cursor === null && (!answer || answer.status === 429 || answer.status >= 500));
    if (!answer) this.#tell('The list cannot be had now. What is shown may be out of date.');
    else if (answer.status === 200) this.#understand(answer.body, cursor !== null);
    else if (cursor && answer.body?.code === 'invalid_cursor') this.#load();
    else this.#tell(`${answer.body?.title}: ${answer.body?.detail}`);
  }

  #understand(list, isMore) {
    try {
      this.#show(list, isMore);
    } catch (error) {
      console.error('/api/models', error);
      this.#note(true);
      this.#tell('The list is not understood. What is shown may be out of date.');
    }
  }

  #note(hasFailed) {
    this.#hasFailed = hasFailed;
    if (hasFailed) this.#triedAt = Date.now();
  }

  #tell(text) {
    put('models-told', text);
  }

  #show(list, isMore) {
    const last = this.#rows.length;
    this.#rows = isMore ? [...this.#rows, ...list.data] : list.data;
    this.#cursor = list.next_cursor;
    this.#revision = list.revision;
    this.comparison.keep(this.#rows);
    fill($('models-rows'), this.#rows.map((model) => this.#row(model)));
    for (const box of document.querySelectorAll('[data-compare]')) {
      box.onchange = () => this.comparison.choose(box.dataset.compare, box.checked);
      box.checked = this.comparison.has(box.dataset.compare);
    }
    this.comparison.show();
    const [shown, total] = [this.#rows.length, list.total];
    this.#tell(shown < total ? `${shown} of ${whole(total)} models` : `${whole(total)} ${total === 1 ? 'model' : 'models'}`);
    $('models-more').hidden = !this.#cursor;
    $('models-table').hidden = total === 0;
    this.#showLists(list.facets);
    this.#showHints(list.hints ?? []);
    // The focus moves to the first new row.
    if (isMore) $('models-rows').rows[last]?.querySelector('input').focus();
  }

  #row(model) {
    const { id, name, provider, provider_status: health, pricing, capabilities } = model;
    return make(
      'tr',
      {},
      make('td', {}, make('input', { type: 'checkbox', 'data-compare': id, 'aria-label': `Compare ${name}, ${provider}` })),
      make(
        'th',
        { scope: 'row' },
        make('a', { href: `/api/models/${id}` }, name),
        model.status === 'active' ? null : make('span', { class: 'tag' }, model.status),
        make('small', {}, id),
      ),
      make('td', { class: 'wide' }, STATUSES[health] ? state(STATUSES[health], provider) : provider),
      make('td', { class: 'number' }, ...inputPrice(pricing)),
      make('td', { class: 'number' }, price(pricing?.output)),
      make('td', { class: 'number wide' }, price(pricing?.cache_read)),
      make('td', { class: 'number' }, tokens(model.context_length)),
      make('td', { class: 'number wide' }, model.release_date ?? '–'),
      make('td', { class: 'wide' }, capabilities.map(words).join(', ')),
    );
  }

  #showSort(sort) {
    for (const button of document.querySelectorAll('[data-sort]')) {
      const { sort: name } = button.dataset;
      const order = sort === name ? 'ascending' : sort === `-${name}` ? 'descending' : 'none';
      button.closest('th').setAttribute('aria-sort', order);
    }
  }

  /** Shows counts among the matches. Chosen values stay in the list. */
  #showLists(facets) {
    for (const name of LISTS) {
      const select = this.form.elements[name];
      const chosen = select.value;
      const counts = Object.entries(facets[name]).filter(([value, count]) => count > 0 || value === chosen);
      const known = new Set([...select.options].map((option) => option.value).filter(Boolean));
      // Other values of a filter in use remain available without matches.
      const values = chosen ? [...new Set([...known, chosen])].sort() : counts.map(([value]) => value);
      const count = (value) => (chosen && value !== chosen ? '' : ` (${facets[name][value] ?? 0})`);
      const options = values.map((value) => make('option', { value }, words(value) + count(value)));
      fill(select, [make('option', { value: '' }, 'any'), ...options]);
      select.value = chosen;
    }
  }

  #showHints(hints) {
    $('models-hints').hidden = hints.length === 0;
    const lead = make('span', {}, 'Nothing matches.');
    const buttons = hints.map(({ drop, matches }) => {
      const button = make('button', { type: 'button', 'data-drop': drop }, `Without ${words(drop)}: ${matches}`);
      button.addEventListener('click', () => this.#drop(drop));
      return button;
    });
    fill($('models-hints'), hints.length ? [lead, ...buttons] : []);
  }

  #drop(name) {
    for (const control of this.form.querySelectorAll(`[name="${CSS.escape(name)}"]`)) {
      if (control.type === 'checkbox') control.checked = false;
      else control.value = '';
    }
    $('models-q').focus();
    this.#load();
  }
}

/** Input is priced by token, by query, or both. */
function inputPrice(pricing) {
  const [input, query] = [price(pricing?.input), price(pricing?.per_query)];
  if (!pricing?.per_query) return [input];
  return pricing.input ? [input, make('small', {}, `and ${query} per query`)] : [query, make('small', {}, 'per query')];
}
