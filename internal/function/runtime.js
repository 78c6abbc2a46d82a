// What Segment calls.

async function onIdentify(event, settings) {
  const deadline = Date.now() + MAX_MS;
  const traits = readTraits(event.traits);
  const sourceID = sourceIDOf(event, traits);
  if (sourceID === '') throw new InvalidEventPayload(`the event lacks the identifier ${MAPPING.identifier}`);
  if (!MAPPING.where.every((condition) => isKnownToHold(condition, event, traits))) {
    throw new EventNotSupported('the conditions of the mapping do not hold, or need a trait that the event lacks');
  }
  const schema = MAPPING.fit_schema ? await loadSchema(settings) : NO_SCHEMA;
  await send(settings, 'POST', '/v1/customers', deadline, mapCustomer(sourceID, traits, schema));
}

async function onDelete(event, settings) {
  if (settings.deleteCustomers !== true || MAPPING.identifier !== 'user_id') {
    throw new EventNotSupported('deletions need the setting deleteCustomers, and user_id as the first identifier');
  }
  const id = asIdentifier(event.userId);
  if (id === '' || id.startsWith('cust_') || /^\.\.?$/.test(id)) { // Voucherify's own ids, and what a URL takes for folders
    throw new InvalidEventPayload('the event lacks userId, or has one that cannot be deleted by a URL');
  }
  await send(settings, 'DELETE', `/v1/customers/${encodeURIComponent(id)}`, Date.now() + MAX_MS);
}

async function onTrack() { throw new EventNotSupported('track is not supported'); }
async function onPage() { throw new EventNotSupported('page is not supported'); }
async function onScreen() { throw new EventNotSupported('screen is not supported'); }
async function onGroup() { throw new EventNotSupported('group is not supported'); }
async function onAlias() { throw new EventNotSupported('alias is not supported'); }

// Requests. Segment shows messages of errors to people: none has a value of the event.

const MAX_MS = 4000; // Segment ends a call after 5 seconds
const MAX_SCHEMA_MS = 1500;
const SCHEMA_TTL_MS = 10 * 60 * 1000;
const SCHEMA_RETRY_MS = 60 * 1000;
const NO_SCHEMA = { properties: {}, definedOnly: false };
const schemaRetryAt = new Map(); // by project

// send returns the JSON of the answer, null where what is read or deleted does not exist.
async function send(settings, method, path, deadline, body) {
  if (!/^https:\/\/[a-z0-9-]+(\.[a-z0-9-]+)*(:\d+)?\/?$/i.test(settings.apiUrl ?? '')) {
    throw new ValidationError('the setting apiUrl must be an https:// URL without a path, such as https://api.voucherify.io');
  }
  const headers = { 'X-App-Id': settings.applicationId, 'X-App-Token': settings.secretKey, 'Content-Type': 'application/json' };
  if (!Object.values(headers).every((value) => /^[!-~]+$/.test(value ?? ''))) {
    throw new ValidationError('the settings applicationId and secretKey must be set, without spaces');
  }
  const timeout = Math.max(1, deadline - Date.now()); // an option of node-fetch; others take the signal
  const signal = typeof AbortSignal === 'function' && AbortSignal.timeout ? AbortSignal.timeout(timeout) : undefined;
  let answer, text;
  try {
    const url = settings.apiUrl.replace(/\/$/, '') + path;
    // A redirect would carry the secret key to another host: it is not followed.
    answer = await fetch(url, { method, headers, redirect: 'manual', timeout, signal, body: body && JSON.stringify(body) });
    text = await answer.text();
  } catch {
    throw new RetryError('Voucherify did not answer');
  }
  let told = {};
  try { told = Object(JSON.parse(text)); } catch { /* not JSON */ }
  if (answer.status === 404 && method !== 'POST') return null;
  if (answer.status < 200 || answer.status >= 300) throw errorOf(answer.status, told);
  return told;
}

function errorOf(status, { code, key }) {
  const message = `Voucherify answered ${Number.isInteger(code) ? code : status} ${/^[a-z_]{1,60}$/.test(key ?? '') ? key : ''}`.trim();
  if ([408, 409, 423, 429].includes(status) || status >= 500) return new RetryError(message);
  if (status < 400 || [401, 402, 403].includes(status)) return new ValidationError(message);
  return new InvalidEventPayload(message);
}

// loadSchema returns the metadata schema of the project. One that cannot be read is no error: it is
// asked for again after a minute, and until then metadata is sent as it is, or not at all if strict.
async function loadSchema(settings) {
  const project = `segsync ${settings.apiUrl} ${settings.applicationId}`;
  const unreadable = { properties: {}, definedOnly: MAPPING.strict };
  if (Date.now() < (schemaRetryAt.get(project) ?? 0)) return unreadable;
  try {
    return await cache.load(project, SCHEMA_TTL_MS, async () => {
      const schema = await send(settings, 'GET', '/v1/metadata-schemas/customer', Date.now() + MAX_SCHEMA_MS);
      if (schema === null) return NO_SCHEMA;
      if (!schema.related_object && !schema.properties) throw new Error('not a metadata schema');
      return { properties: schema.properties ?? {}, definedOnly: schema.allow_defined_only === true || MAPPING.strict };
    });
  } catch {
    schemaRetryAt.set(project, Date.now() + SCHEMA_RETRY_MS);
    return unreadable;
  }
}

// Identifiers and conditions.

function sourceIDOf(event, traits) {
  if (!MAPPING.identifier.startsWith('trait:')) return externalID(event, MAPPING.identifier);
  return asIdentifier(at(traits, [MAPPING.identifier.slice('trait:'.length)]));
}

// externalID returns the event's external ID of the type, the smallest of several, or ''.
function externalID(event, type) {
  if (type === 'user_id') return asIdentifier(event.userId);
  const all = event.context?.externalIds;
  const ofType = (Array.isArray(all) ? all : []).filter((e) => e?.type === type && (e.collection ?? 'users') === 'users');
  return ofType.map((e) => asIdentifier(e.id)).filter((id) => id !== '').sort()[0] ?? '';
}

function asIdentifier(v) {
  return isPresent(v) && isReadable(v) && typeof v !== 'boolean' ? asText(v) ?? '' : '';
}

const COMPARE = { is: (v, want) => v === want, like: isLike, at_least: (v, want) => v >= want, at_most: (v, want) => v <= want };

// isKnownToHold reports whether a condition holds whatever the traits are that the event lacks.
function isKnownToHold(c, event, traits) {
  if (c.any) return c.any.some((other) => isKnownToHold(other, event, traits));
  if (c.external_id) return externalID(event, c.external_id) !== '';
  const v = at(traits, c.trait);
  if ((v === undefined || v === UNREADABLE) && !isRemoved(traits, c.trait)) return false;
  const agrees = (want) => typeof v === typeof want && COMPARE[c.compare](v, want);
  return (isPresent(v) && (c.compare === 'exists' || c.values.some(agrees))) !== c.not;
}

// isLike reports whether the text has the form of a pattern, in which * stands for any characters.
function isLike(text, pattern) {
  const [first, ...parts] = pattern.split('*');
  if (parts.length === 0 || !text.startsWith(first)) return text === pattern;
  const last = parts.pop();
  let end = first.length;
  for (const part of parts) {
    const i = text.indexOf(part, end);
    if (i < 0) return false;
    end = i + part.length;
  }
  return text.slice(end).endsWith(last);
}

// Traits. One that the event lacks is unknown.

const UNREADABLE = Symbol('a trait that JavaScript cannot hold as it was sent');

function readTraits(traits) {
  const read = Object.create(null);
  for (const [key, v] of Object.entries(isObject(traits) ? traits : {})) {
    if (isReadable(key)) read[key] = isReadable(v) ? v : UNREADABLE;
  }
  return read;
}

// isReadable is false for halves of characters, and for integers beyond 2^53, whose digits are lost.
function isReadable(v) {
  if (typeof v === 'number') return Number.isSafeInteger(v) || Number.isFinite(v) && !Number.isInteger(v);
  if (typeof v === 'string') return !/[\ud800-\udfff]/u.test(v);
  return typeof v !== 'object' || v === null || Object.entries(v).flat().every(isReadable);
}

const SPACE = '[\\t-\\r \\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000]+'; // trim() takes others
const SPACE_AROUND = new RegExp(`^${SPACE}|${SPACE}$`, 'g');
const trim = (text) => text.replace(SPACE_AROUND, '');
const isObject = (v) => typeof v === 'object' && v !== null && !Array.isArray(v);
const isPresent = (v) => v !== undefined && v !== null && v !== UNREADABLE && (typeof v !== 'string' || trim(v) !== '');

// at returns what a path leads to, or undefined.
function at(v, path) {
  return path.reduce((object, key) => isObject(object) && Object.hasOwn(object, key) ? object[key] : undefined, v);
}

// find returns the first trait that is present, or undefined. A path of one key behind longer ones is
// for profiles without the objects that those lead into.
function find(traits, paths) {
  let inObject = false;
  for (const path of paths) {
    if (path.length === 1 && inObject || !isObject(at(traits, path.slice(0, -1)))) continue;
    inObject = path.length > 1 || inObject;
    if (isPresent(at(traits, path))) return at(traits, path);
  }
}

// isRemoved reports whether the trait, or an object on the way to it, is null.
function isRemoved(traits, path) {
  return path.some((_, i) => at(traits, path.slice(0, i + 1)) === null);
}

// From traits to a customer. What is undefined is left as it is at Voucherify.

function mapCustomer(sourceID, traits, schema) {
  const customer = { source_id: sourceID, address: {}, metadata: metadataOf(traits, schema), system_metadata: { source: 'segmentio' } };
  const set = ([name, member], v) => {
    const [object, key] = member === undefined ? [customer, name] : [customer[name], member];
    if (v !== undefined && object[key] === undefined) object[key] = v;
  };
  for (const field of MAPPING.fields) {
    set(field.path, field.path[0] === 'birthdate' ? birthdateOf(field, traits) : asText(valueOf(field, traits)) || undefined);
  }
  for (const field of MAPPING.clear) {
    if (isGone(field, traits) && mayClear(field.path, schema)) set(field.path, null);
  }
  for (const name of ['address', 'metadata']) {
    if (Object.keys(customer[name]).length === 0) delete customer[name];
  }
  return customer;
}

function valueOf(field, traits) {
  if (field.constant) return field.constant;
  const areRemoved = (paths) => paths.some((path) => isRemoved(traits, path));
  const v = find(traits, field.traits);
  if (v !== undefined) return transform(field, v);
  if (!field.join) return areRemoved(field.traits) ? field.default : undefined;
  const parts = field.join.map((paths) => find(traits, paths));
  if (parts.some((part, i) => part === undefined && !areRemoved(field.join[i]))) return undefined; // not half a name
  const joined = parts.map(asText).filter((part) => part).join(' ');
  return joined === '' ? field.default : transform(field, joined);
}

// birthdateOf returns null for what is not a date.
function birthdateOf(field, traits) {
  const v = valueOf(field, traits);
  return v === undefined && find(traits, field.traits) === undefined ? undefined : convert('date', v) ?? null;
}

function metadataOf(traits, schema) {
  const { object, fields, all, not } = MAPPING.metadata;
  const metadata = Object.create(null);
  const take = (key, v) => { if (isMetadata(v, propertyOf(schema, key)?.type === 'object')) metadata[key] = v; };
  for (const [key, v] of Object.entries(all ? traits : {})) {
    if (key !== '' && !not.includes(key) && isPresent(v)) take(key, v);
  }
  const whole = find(traits, object);
  for (const [key, v] of Object.entries(isObject(whole) ? whole : {})) {
    metadata[key] = v;
    if (v === null) delete metadata[key];
  }
  for (const field of fields) take(field.key, valueOf(field, traits));
  return fit(metadata, schema);
}

// isMetadata reports whether metadata takes the value: objects only where the schema defines them.
function isMetadata(v, objects) {
  return [v].flat().every((e) => ['string', 'number', 'boolean'].includes(typeof e) || objects && isObject(e));
}

// isGone reports whether the traits of a field are all absent, and one of them is known to be removed.
function isGone({ path: [, member], object, groups, paths }, traits) {
  const whole = find(traits, object);
  if (whole !== undefined && (!isObject(whole) || (at(whole, [member]) ?? null) !== null)) return false;
  return groups.every((group) => find(traits, group) === undefined) &&
    paths.every(([first]) => traits[first] !== UNREADABLE) && paths.some((path) => isRemoved(traits, path));
}

// Values. What cannot be converted is undefined.

function transform(field, v) {
  if (Array.isArray(v)) {
    const all = v.map((e) => transform(field, e));
    return all.includes(undefined) ? undefined : all;
  }
  for (const step of field.steps) {
    const [text, isText] = [asText(v) ?? '', typeof v === 'string'];
    switch (step.verb) {
      case 'trim': v = isText ? trim(v) : v; break;
      case 'lower': v = isText ? Array.from(v, (c) => c === 'İ' ? 'i' : c.toLowerCase()).join('') : v; break;
      case 'digits': v = /^\+?\d+$/.exec(text.replace(/[^\d+]/g, '').replace(/(?!^)\+/g, ''))?.[0]; break;
      case 'formats': v = dateOf(text, step.dates); break;
      case 'values': if (!Object.hasOwn(step.values, text)) return field.default; v = step.values[text]; break;
      case 'as': v = convert(step.type, v); break;
    }
    if (v === undefined) return undefined;
  }
  return v;
}

// dateOf reads a date in one of the forms, which are regular expressions.
function dateOf(text, forms) {
  for (const form of forms) {
    const { Y, M, D, h, m = '00', s = '00', f = '', sign, zh = '00', zm = '00' } = new RegExp(form).exec(text)?.groups ?? {};
    const day = [Y, M?.padStart(2, '0'), D?.padStart(2, '0')].join('-');
    if (!isDay(day)) continue;
    const zone = zh === '00' && zm === '00' ? 'Z' : `${sign}${zh}:${zm}`;
    return h === undefined ? day : `${day}T${h.padStart(2, '0')}:${m}:${s}${`.${f.slice(0, 9)}`.replace(/\.?0*$/, '')}${zone}`;
  }
}

function isDay(day) {
  const date = new Date(`${day}T00:00:00Z`);
  return !Number.isNaN(date.getTime()) && date.toISOString().startsWith(day);
}

const DATE = new RegExp('^(?!0000)(?<day>\\d{4}-\\d\\d-\\d\\d)(?:T(?<time>HOUR:[0-5]\\d:[0-5]\\d)(?:\\.(?<f>\\d{1,9})|:(?<ms>\\d{3}))?'
  .concat('(?:Z|(?<sign>[+-])(?<zh>HOUR)(?::?(?<zm>[0-5]\\d))?))?$').replaceAll('HOUR', '(?:[01]\\d|2[0-3])'));
const GEOPOINT = /^(-?(?:90(?:\.0+)?|0?[0-8]?\d(?:\.\d+)?)), ?(-?(?:180(?:\.0+)?|(?:1[0-7]|0?\d)?\d(?:\.\d+)?))$/;
const IMAGE_URL = /^https?:\/\/[^/?#\s]+\/[^?#]*\.(?:jpe?g|png)(?:[?#]|$)/i;
const NUMBER = /^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?$/;

// convert returns the value as a type of Voucherify's metadata.
function convert(type, v) {
  const text = typeof v === 'string' ? v : '';
  const date = DATE.exec(text)?.groups ?? {};
  switch (type) {
    case 'number': return typeof v === 'number' ? v : NUMBER.test(text) && isExact(text) ? Number(text) : undefined;
    case 'boolean': return typeof v === 'boolean' ? v : { true: true, false: false }[text];
    case 'date': return isDay(date.day) ? date.day : undefined;
    case 'datetime': return isDay(date.day) && date.time ? inUTC(date) : undefined;
    case 'geopoint': return GEOPOINT.test(text) ? text.replace(GEOPOINT, '$1,$2') : undefined;
    case 'image_url': return IMAGE_URL.test(text) ? text : undefined;
    default: return asText(v);
  }
}

function inUTC({ day, time, ms = '', f = ms, sign, zh = 0, zm = 0 }) {
  const offset = (Number(zh) * 60 + Number(zm)) * (sign === '-' ? -60000 : 60000);
  const utc = new Date(Date.parse(`${day}T${time}.${f.padEnd(3, '0').slice(0, 3)}Z`) - offset).toISOString();
  return /^\d{4}-/.test(utc) ? utc : undefined;
}

// asText writes a number without exponent.
function asText(v) {
  if (typeof v !== 'number') return typeof v === 'string' || typeof v === 'boolean' ? String(v) : undefined;
  const [, fraction = '', exponent] = /^-?\d(?:\.(\d+))?e-(\d+)$/.exec(String(v)) ?? [];
  const places = fraction.length + Number(exponent ?? 0);
  return exponent === undefined ? String(v) : places <= 100 ? v.toFixed(places) : undefined;
}

// isExact reports whether JavaScript keeps all digits of the number.
function isExact(text) {
  const digits = (number) => number.replace(/[eE].*|[-.]/g, '').replace(/^0+|0+$/g, '');
  return isReadable(Number(text)) && digits(text) === digits(String(Number(text)));
}

// The metadata schema of the project.

function propertyOf(schema, key) {
  const p = at(schema.properties, [key]);
  return p?.deleted === true ? undefined : p === null ? {} : p;
}

function mayClear([name, key], schema) {
  const p = name === 'metadata' ? propertyOf(schema, key) : {};
  return p === undefined ? !schema.definedOnly : p.optional !== false;
}

// fit makes metadata fit the schema. What does not fit is left out.
function fit(metadata, schema) {
  for (const [key, v] of Object.entries(metadata)) {
    const p = propertyOf(schema, key);
    const elements = p?.array === true ? [v].flat().map((e) => fitElement(p, e)) : undefined;
    const fitted = p === undefined ? (schema.definedOnly ? undefined : v) : elements ?? fitElement(p, v);
    if (fitted === undefined || elements?.includes(undefined)) delete metadata[key];
    else metadata[key] = fitted;
  }
  return metadata;
}

function fitElement(p, v) {
  if (Array.isArray(v)) return undefined;
  if (p.type === 'object') return isObject(v) ? v : undefined;
  if (!['string', 'number', 'boolean', 'date', 'datetime', 'geopoint', 'image_url'].includes(p.type)) return v;
  const fitted = convert(p.type, v);
  return isAllowed(p, fitted) ? fitted : undefined;
}

function isAllowed(p, v) {
  const list = (values) => [values ?? []].flat();
  if (list(p.eq).length > 0 && !list(p.eq).includes(v) || list(p.ne).includes(v)) return false;
  const n = typeof v === 'string' ? Array.from(v).length : v; // bounds are of numbers, lengths of text
  const bounds = typeof v === 'string' ? { gte: p.minLength, lte: p.maxLength, eq: p.exactLength } : typeof v === 'number' ? p : {};
  const holds = (bound, rule) => typeof bound !== 'number' || rule(bound);
  return holds(bounds.lt, (b) => n < b) && holds(bounds.lte, (b) => n <= b) && holds(bounds.gt, (b) => n > b) &&
    holds(bounds.gte, (b) => n >= b) && (typeof v !== 'string' || holds(bounds.eq, (b) => n === b));
}
