// What a function finds in Segment's runtime: classes of errors, and a cache. invoke calls a handler.

for (const name of ['EventNotSupported', 'InvalidEventPayload', 'ValidationError', 'RetryError']) {
  globalThis[name] = class extends Error { constructor(message) { super(message); this.name = name; } };
}

globalThis.cache = {
  entries: new Map(),
  async load(key, ttl, load) {
    const entry = this.entries.get(key);
    if (entry && entry.until > Date.now()) return entry.value;
    const value = await load();
    this.entries.set(key, { value, until: Date.now() + ttl });
    return value;
  },
  delete(key) { this.entries.delete(key); },
};

function invoke(name, event, settings, done) {
  const handler = { onIdentify, onDelete, onTrack, onPage, onScreen, onGroup, onAlias }[name];
  handler(JSON.parse(event), settings).then(() => done('', ''), (e) => done(e.name, e.message));
}
