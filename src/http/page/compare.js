// Comparison of models.

import { $, fill, make, price, put, tokens, words } from './show.js';

const MOST = 4;
/** The rows: name, text, and for prices the number that decides which is lowest. */
const LINES = [
  ['Input', ({ pricing }) => price(pricing?.input), ({ pricing }) => pricing?.input],
  ['Output', ({ pricing }) => price(pricing?.output), ({ pricing }) => pricing?.output],
  ['Cached input', ({ pricing }) => price(pricing?.cache_read), ({ pricing }) => pricing?.cache_read],
  ['Per query', ({ pricing }) => price(pricing?.per_query), ({ pricing }) => pricing?.per_query],
  ['Long prompts', ({ pricing }) => tiers(pricing)],
  ['Context length', ({ context_length: length }) => tokens(length)],
  ['Output limit', ({ max_output_tokens: length }) => tokens(length)],
  ['Takes', ({ input_modalities: kinds }) => kinds.map(words).join(', ')],
  ['Gives', ({ output_modalities: kinds }) => kinds.map(words).join(', ')],
  ['Capabilities', ({ capabilities }) => capabilities.map(words).join(', ') || '–'],
  ['Open weights', ({ open_weights: open }) => (open === null ? '–' : open ? 'yes' : 'no')],
  ['Released', ({ release_date: day }) => day ?? '–'],
  ['Knowledge cutoff', ({ knowledge_cutoff: day }) => day ?? '–'],
];

const tiers = (pricing) =>
  (pricing?.tiers ?? [])
    .map(({ above_prompt_tokens: above, input, output }) => `over ${tokens(above)}: ${price(input)}, ${price(output)}`)
    .join('; ') || '–';

/** The models chosen for comparison. They stay chosen when the list changes. */
export class Comparison {
  #chosen = new Map();
  #listed = new Map();

  constructor() {
    $('compare-open').addEventListener('click', () => this.#open());
    $('compare-clear').addEventListener('click', () => {
      this.#chosen.clear();
      for (const box of document.querySelectorAll('[data-compare]')) box.checked = false;
      this.show();
      $('models-q').focus();
    });
    $('compare-close').addEventListener('click', () => $('compare').close());
  }

  has(id) {
    return this.#chosen.has(id);
  }

  /** Takes the models of the list. */
  keep(models) {
    this.#listed = new Map(models.map((model) => [model.id, model]));
    for (const id of this.#chosen.keys()) {
      if (this.#listed.has(id)) this.#chosen.set(id, this.#listed.get(id));
    }
  }

  choose(id, isChosen) {
    if (isChosen) this.#chosen.set(id, this.#listed.get(id));
    else this.#chosen.delete(id);
    this.show();
  }

  /** Renders the bar below, and the boxes that can no longer be ticked. */
  show() {
    const count = this.#chosen.size;
    $('compare-bar').hidden = count === 0;
    const summary = count === MOST ? `${count} chosen, which is the most` : `${count} chosen`;
    put('compare-number', summary);
    // Announced outside the bar: an element that appears announces nothing.
    put('compare-count', count === 0 ? '' : summary);
    $('compare-open').disabled = count < 2;
    for (const box of document.querySelectorAll('[data-compare]')) {
      box.disabled = count >= MOST && !box.checked;
    }
  }

  #open() {
    const models = [...this.#chosen.values()];
    const heads = models.map(({ name, provider }) => make('th', { scope: 'col' }, name, make('small', {}, provider)));
    fill($('compare-head'), [make('tr', {}, make('td', {}), ...heads)]);
    fill($('compare-rows'), LINES.map((line) => compared(line, models)));
    $('compare').showModal();
  }
}

function compared([name, text, number], models) {
  const numbers = number ? models.map((model) => Number(number(model) ?? NaN)) : [];
  const known = numbers.filter(Number.isFinite);
  const lowest = new Set(known).size > 1 ? Math.min(...known) : null;
  const cells = models.map((model, at) => {
    const isLowest = lowest !== null && numbers[at] === lowest;
    const mark = isLowest ? make('span', { class: 'tag' }, 'lowest') : null;
    return make('td', { class: number ? 'number' : null }, text(model), mark);
  });
  return make('tr', {}, make('th', { scope: 'row' }, name), ...cells);
}
