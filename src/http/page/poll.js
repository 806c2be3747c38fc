// Asks this server again and again, and knows whether what it has been told still holds.

/** A question has been without a good answer for so long, in milliseconds, and the last one is no longer called current. */
export const OLD_AFTER = 5_000;
/** After so long a request is given up. */
const LIMIT = 4_000;
/** Between two questions while nobody looks: the title in the tab goes on telling. */
const HIDDEN = 30_000;
/** The longest pause while there is no answer, but for what the server asks for, which is kept within the other. */
const [LONGEST, MOST_PATIENT] = [10_000, 60_000];

/**
 * One answer, and how many milliseconds to wait where it says so. The browser keeps answers with their tags and asks
 * whether they still hold, so what has not changed comes without a body. Whatever is not JSON is not from this server: a
 * proxy answers for it.
 */
export async function ask(path, signal) {
  const limit = AbortSignal.timeout(LIMIT);
  const response = await fetch(path, {
    cache: 'no-cache',
    headers: { accept: 'application/json' },
    signal: signal ? AbortSignal.any([signal, limit]) : limit,
  });
  const seconds = Number(response.headers.get('retry-after')) || 0;
  return { status: response.status, body: await response.json(), patience: Math.min(MOST_PATIENT, 1_000 * seconds) };
}

/** Something that is asked for all the time; seldom while nobody looks, and ever more seldom while nobody answers. */
export class Feed {
  /** The last good answer. */
  body = null;
  /** When it came. */
  at = null;
  /** What the last refusal is called. Its details may change with each, and would be read aloud each time. */
  said = null;
  #trouble = null;
  /** A body that could not be shown. */
  #unshown = null;
  /** When the oldest question was asked that has no good answer yet. */
  #lacking = null;
  #failures = 0;
  #patience = 0;

  /** `shown` is called after every question, answered or not. An answer of which `isOurs` is false is none. */
  constructor(path, interval, shown, isOurs = () => true) {
    Object.assign(this, { path, interval, shown, isOurs });
  }

  /** Milliseconds since the last good answer. */
  get age() {
    return this.at === null ? Infinity : Math.max(0, Date.now() - this.at);
  }

  /**
   * Whether what it holds may still be called current. One question without an answer is no news, and that none is asked,
   * in a tab that nobody sees or on a machine that slept, is none either.
   */
  get isCurrent() {
    if (this.body === null || this.body === this.#unshown) return false;
    return this.#lacking === null || Date.now() - this.#lacking < Math.max(OLD_AFTER, 2 * this.interval);
  }

  /** Why the last question has no good answer: `silent`, `refused` or `strange`; `null` where it has. */
  get trouble() {
    return this.#trouble ?? (this.body !== null && this.body === this.#unshown ? 'strange' : null);
  }

  async run() {
    for (;;) {
      await this.once();
      await pause(this.#wait(), this.#patience > 0);
    }
  }

  async once() {
    this.#lacking ??= Date.now();
    this.#patience = 0;
    try {
      const { status, body, patience } = await ask(this.path);
      // Health that is not good is an answer too; a refusal is none.
      if (status !== 200 && !(status === 503 && body?.code === undefined)) {
        this.#patience = patience;
        this.#fail('refused', body?.title);
      } else if (this.isOurs(body)) this.#take(body);
      else this.#fail('strange');
    } catch {
      this.#fail('silent');
    }
    this.show();
  }

  /** Shows what there is. Whatever cannot be shown is told in the console, and must not end the asking. */
  show() {
    if (this.body !== null && this.body === this.#unshown) return;
    try {
      this.shown(this);
    } catch (error) {
      this.#unshown = this.body;
      console.error(this.path, error);
    }
  }

  #take(body) {
    Object.assign(this, { body, at: Date.now(), said: null });
    this.#trouble = this.#lacking = null;
    this.#failures = 0;
  }

  #fail(trouble, said = null) {
    this.#trouble = trouble;
    this.said = said;
    this.#failures += 1;
  }

  #wait() {
    if (this.#failures === 0) return document.hidden ? HIDDEN : this.interval;
    return Math.max(this.#patience, Math.min(LONGEST, this.interval * 2 ** this.#failures));
  }
}

/** Ends early when somebody comes back to the page, except where the server has asked for the pause. */
function pause(milliseconds, isAskedFor) {
  return new Promise((resume) => {
    const end = () => {
      clearTimeout(timer);
      document.removeEventListener('visibilitychange', look);
      resume();
    };
    const look = () => {
      if (!document.hidden && !isAskedFor) end();
    };
    const timer = setTimeout(end, milliseconds);
    document.addEventListener('visibilitychange', look);
  });
}
