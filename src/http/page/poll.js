// Asks this server again and again, and knows how old an answer is.

/** No answer for so long, in milliseconds, and what is shown is no longer called current. */
export const OLD_AFTER = 5_000;
/** After so long a request is given up. */
const LIMIT = 4_000;

/**
 * One answer. The browser keeps answers with their tags and asks whether they still hold, so what has not changed comes
 * without a body. Whatever is not JSON is not from this server: a proxy answers for it.
 */
export async function ask(path, signal) {
  const limit = AbortSignal.timeout(LIMIT);
  const response = await fetch(path, {
    cache: 'no-cache',
    headers: { accept: 'application/json' },
    signal: signal ? AbortSignal.any([signal, limit]) : limit,
  });
  return { status: response.status, body: await response.json() };
}

/** Something that is asked for all the time, as long as somebody looks. */
export class Feed {
  /** The last good answer. */
  body = null;
  /** When it came. */
  at = null;
  /** Whether the last question was answered. */
  answered = true;

  /** `changed` is called after every question, answered or not. */
  constructor(path, interval, changed) {
    Object.assign(this, { path, interval, changed });
  }

  /** Milliseconds since the last good answer. */
  get age() {
    return this.at === null ? Infinity : Math.max(0, Date.now() - this.at);
  }

  /** Whether what it holds may still be called current. One question without an answer is no news. */
  get isCurrent() {
    return this.age < Math.max(OLD_AFTER, 3 * this.interval);
  }

  async run() {
    for (;;) {
      await whileHidden();
      await this.once();
      await pause(this.interval);
    }
  }

  async once() {
    try {
      const { status, body } = await ask(this.path);
      // Health that is not good is an answer too; a refusal is none.
      this.answered = status === 200 || (status === 503 && body.code === undefined);
      if (this.answered) Object.assign(this, { body, at: Date.now() });
    } catch {
      this.answered = false;
    }
    this.changed(this);
  }
}

/** Ends early when somebody comes back to the page. */
function pause(milliseconds) {
  return new Promise((resume) => {
    const end = () => {
      clearTimeout(timer);
      document.removeEventListener('visibilitychange', end);
      resume();
    };
    const timer = setTimeout(end, milliseconds);
    document.addEventListener('visibilitychange', end);
  });
}

function whileHidden() {
  if (!document.hidden) return undefined;
  return new Promise((resume) => document.addEventListener('visibilitychange', resume, { once: true }));
}
