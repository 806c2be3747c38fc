// Polls this server, and knows whether its answers are current.

/** After this time without a good answer, in milliseconds, the last one is no longer current. */
export const OLD_AFTER = 5_000;
/** Time limit of a request. */
const LIMIT = 4_000;
/** Pause between requests while the tab is hidden: the title still shows the state. */
const HIDDEN = 30_000;
/** Longest pause without answers, and longest pause that the server may ask for. */
const [LONGEST, MOST_PATIENT] = [10_000, 60_000];

/**
 * Returns one answer, and how many milliseconds the server asks to wait. The browser revalidates by tag, so unchanged
 * answers come without a body. Anything but JSON is from a proxy, not from this server.
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

/** A resource that is polled: rarely while the tab is hidden, and ever more rarely without answers. */
export class Feed {
  /** The last good answer. */
  body = null;
  /** When it came. */
  at = null;
  /** Title of the last refusal. Details may change each time, and would be read aloud each time. */
  said = null;
  #trouble = null;
  /** A body that cannot be shown. */
  #unshown = null;
  /** Time of the oldest request without a good answer. */
  #lacking = null;
  #failures = 0;
  #patience = 0;

  /** `shown` is called after every request. An answer for which `isOurs` is false counts as none. */
  constructor(path, interval, shown, isOurs = () => true) {
    Object.assign(this, { path, interval, shown, isOurs });
  }

  /** Milliseconds since the last good answer. */
  get age() {
    return this.at === null ? Infinity : Math.max(0, Date.now() - this.at);
  }

  /**
   * Whether the answer is current. One failed request is no sign of an outage, nor is a pause in a hidden tab or on a
   * machine that slept.
   */
  get isCurrent() {
    if (this.body === null || this.body === this.#unshown) return false;
    return this.#lacking === null || Date.now() - this.#lacking < Math.max(OLD_AFTER, 2 * this.interval);
  }

  /** Why the last request has no good answer: `silent`, `refused` or `strange`; `null` if it has. */
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
      // Bad health is an answer; a refusal is none.
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

  /** Shows the answer. Errors go to the console and must not stop the polling. */
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

/** Ends early when the tab becomes visible, unless the server asked for the pause. */
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
