// What jco has nothing for, as small as it can be: `wasi:keyvalue` in memory, so that events last as
// long as the process, and `wasi:config` from the environment.

const values = new Map();

class Bucket {
  get(key) {
    return values.get(key);
  }
  set(key, value) {
    values.set(key, value.slice());
  }
  delete(key) {
    values.delete(key);
  }
  exists(key) {
    return values.has(key);
  }
  listKeys() {
    return { keys: [...values.keys()] };
  }
}

class Cas {
  static new(bucket, key) {
    const cas = new Cas();
    cas.key = key;
    cas.seen = values.get(key);
    return cas;
  }
  current() {
    this.seen = values.get(this.key);
    return this.seen;
  }
}

export const store = { Bucket, open: () => new Bucket() };

export const batch = {
  getMany: (bucket, keys) => keys.map((key) => [key, values.get(key)]),
  setMany: (bucket, pairs) => pairs.forEach(([key, value]) => bucket.set(key, value)),
  deleteMany: (bucket, keys) => keys.forEach((key) => bucket.delete(key)),
};

export const atomics = {
  Cas,
  increment(bucket, key, delta) {
    const sum = BigInt(new TextDecoder().decode(values.get(key) ?? new Uint8Array([48]))) + delta;
    values.set(key, new TextEncoder().encode(String(sum)));
    return sum;
  },
  swap(cas, value) {
    // A value is never changed in its place, so that the same one is the same object.
    if (values.get(cas.key) !== cas.seen) {
      throw { payload: { tag: "cas-failed", val: Cas.new(null, cas.key) } };
    }
    values.set(cas.key, value.slice());
  },
};

const PREFIX = "MCP_REPORTER_";

export const config = {
  get: (key) => process.env[PREFIX + key.toUpperCase()],
  getAll: () =>
    Object.entries(process.env)
      .filter(([name]) => name.startsWith(PREFIX))
      .map(([name, value]) => [name.slice(PREFIX.length).toLowerCase(), value]),
};
