/** The messages of the SPIFFE Workload API (the standard's workloadapi.proto), read and written. Reading throws Malformed. */
import { bytesField, doubleField, type Field, fields, integerField, Malformed } from './protobuf.ts';

/** Fields of one message and items of one list. */
const MOST_FIELDS = 256;
/** Messages in messages, of claims. */
const DEEPEST = 16;
const NOTHING: Uint8Array = new Uint8Array();

export interface X509Svid {
  readonly id: string;
  /** DER, one after the other, the leaf first. */
  readonly chain: Uint8Array;
  /** PKCS #8 in DER: a secret. */
  readonly key: Uint8Array;
  /** The roots of its trust domain, DER, one after the other. */
  readonly bundle: Uint8Array;
  /** What tells several of a program apart; '' for nothing. */
  readonly hint: string;
}

export interface X509SvidResponse {
  readonly svids: readonly X509Svid[];
  /** Bundles of other trust domains, by name. */
  readonly federated: ReadonlyMap<string, Uint8Array>;
}

export interface JwtSvid {
  readonly id: string;
  readonly token: string;
  readonly hint: string;
}

export interface JwtSvidRequest {
  readonly audience: readonly string[];
  /** '' for all that the program has. */
  readonly id: string;
}

/** A value of JSON, which is what a claim is. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [name: string]: Json };

/** A message with these fields; what it has beside is passed over. */
function read(message: Uint8Array, on: Readonly<Record<number, (field: Field) => void>>): void {
  for (const field of fields(message, MOST_FIELDS)) on[field.number]?.(field);
}

export function writeX509SvidResponse({ svids, federated }: X509SvidResponse): Buffer {
  return Buffer.concat([
    ...svids.map(({ id, chain, key, bundle, hint }) =>
      bytesField(
        1,
        Buffer.concat([
          bytesField(1, id),
          bytesField(2, chain),
          bytesField(3, key),
          bytesField(4, bundle),
          ...(hint === '' ? [] : [bytesField(5, hint)]),
        ]),
      ),
    ),
    ...writeMap(3, federated),
  ]);
}

export function readX509SvidResponse(message: Uint8Array): X509SvidResponse {
  const svids: X509Svid[] = [];
  const federated = new Map<string, Uint8Array>();
  read(message, {
    1: (field) => {
      const svid = { id: '', chain: NOTHING, key: NOTHING, bundle: NOTHING, hint: '' };
      read(field.bytes(), {
        1: (one) => {
          svid.id = one.text();
        },
        2: (one) => {
          svid.chain = one.bytes();
        },
        3: (one) => {
          svid.key = one.bytes();
        },
        4: (one) => {
          svid.bundle = one.bytes();
        },
        5: (one) => {
          svid.hint = one.text();
        },
      });
      svids.push(svid);
    },
    3: (field) => readEntry(field, federated),
  });
  return { svids, federated };
}

/** Of X.509 bundles in field 2 and of JWT bundles in field 1, each by its trust domain. */
export function writeBundles(kind: 'x509' | 'jwt', bundles: ReadonlyMap<string, Uint8Array>): Buffer {
  return Buffer.concat(writeMap(kind === 'x509' ? 2 : 1, bundles));
}

export function readBundles(kind: 'x509' | 'jwt', message: Uint8Array): Map<string, Uint8Array> {
  const bundles = new Map<string, Uint8Array>();
  read(message, { [kind === 'x509' ? 2 : 1]: (field: Field) => readEntry(field, bundles) });
  return bundles;
}

export function writeJwtSvidRequest({ audience, id }: JwtSvidRequest): Buffer {
  return Buffer.concat([...audience.map((one) => bytesField(1, one)), ...(id === '' ? [] : [bytesField(2, id)])]);
}

export function readJwtSvidRequest(message: Uint8Array): JwtSvidRequest {
  const audience: string[] = [];
  let id = '';
  read(message, {
    1: (field) => void audience.push(field.text()),
    2: (field) => {
      id = field.text();
    },
  });
  return { audience, id };
}

export function writeJwtSvidResponse(svids: readonly JwtSvid[]): Buffer {
  return Buffer.concat(
    svids.map(({ id, token, hint }) =>
      bytesField(
        1,
        Buffer.concat([bytesField(1, id), bytesField(2, token), ...(hint === '' ? [] : [bytesField(3, hint)])]),
      ),
    ),
  );
}

export function readJwtSvidResponse(message: Uint8Array): JwtSvid[] {
  const svids: JwtSvid[] = [];
  read(message, {
    1: (field) => {
      const svid = { id: '', token: '', hint: '' };
      read(field.bytes(), {
        1: (one) => {
          svid.id = one.text();
        },
        2: (one) => {
          svid.token = one.text();
        },
        3: (one) => {
          svid.hint = one.text();
        },
      });
      svids.push(svid);
    },
  });
  return svids;
}

export function writeValidateRequest(audience: string, token: string): Buffer {
  return Buffer.concat([bytesField(1, audience), bytesField(2, token)]);
}

export function readValidateRequest(message: Uint8Array): { readonly audience: string; readonly token: string } {
  const said = { audience: '', token: '' };
  read(message, {
    1: (field) => {
      said.audience = field.text();
    },
    2: (field) => {
      said.token = field.text();
    },
  });
  return said;
}

export function writeValidateResponse(id: string, claims: Readonly<Record<string, Json>>): Buffer {
  return Buffer.concat([bytesField(1, id), bytesField(2, struct(claims))]);
}

export function readValidateResponse(message: Uint8Array): {
  readonly id: string;
  readonly claims: Readonly<Record<string, Json>>;
} {
  let id = '';
  let claims: Record<string, Json> = {};
  read(message, {
    1: (field) => {
      id = field.text();
    },
    2: (field) => {
      claims = readStruct(field.bytes(), 0);
    },
  });
  return { id, claims };
}

function writeMap(number: number, map: ReadonlyMap<string, Uint8Array>): Buffer[] {
  return [...map].map(([key, value]) => bytesField(number, Buffer.concat([bytesField(1, key), bytesField(2, value)])));
}

function readEntry(field: Field, into: Map<string, Uint8Array>): void {
  let key = '';
  let value = NOTHING;
  read(field.bytes(), {
    1: (one) => {
      key = one.text();
    },
    2: (one) => {
      value = one.bytes();
    },
  });
  into.set(key, value);
}

// google.protobuf.Struct.

function struct(claims: Readonly<Record<string, Json>>, depth = 0): Buffer {
  return Buffer.concat(
    Object.entries(claims).map(([name, one]) =>
      bytesField(1, Buffer.concat([bytesField(1, name), bytesField(2, value(one, depth + 1))])),
    ),
  );
}

function value(one: Json, depth: number): Buffer {
  if (depth > DEEPEST) throw new Malformed(`claims in more than ${DEEPEST} levels`);
  if (one === null) return integerField(1, 0);
  if (typeof one === 'number') return doubleField(2, one);
  if (typeof one === 'string') return bytesField(3, one);
  if (typeof one === 'boolean') return integerField(4, Number(one));
  if (Array.isArray(one)) return bytesField(6, Buffer.concat(one.map((item) => bytesField(1, value(item, depth + 1)))));
  return bytesField(5, struct(one as Readonly<Record<string, Json>>, depth));
}

function readStruct(message: Uint8Array, depth: number): Record<string, Json> {
  const entries: [string, Json][] = [];
  read(message, {
    1: (field) => {
      let name = '';
      let found: Json = null;
      read(field.bytes(), {
        1: (one) => {
          name = one.text();
        },
        2: (one) => {
          found = readValue(one.bytes(), depth + 1);
        },
      });
      entries.push([name, found]);
    },
  });
  return Object.fromEntries(entries);
}

function readValue(message: Uint8Array, depth: number): Json {
  if (depth > DEEPEST) throw new Malformed(`claims in more than ${DEEPEST} levels`);
  let found: Json = null;
  read(message, {
    1: () => {
      found = null;
    },
    2: (field) => {
      found = field.double();
    },
    3: (field) => {
      found = field.text();
    },
    4: (field) => {
      found = field.integer() !== 0;
    },
    5: (field) => {
      found = readStruct(field.bytes(), depth);
    },
    6: (field) => {
      const items: Json[] = [];
      read(field.bytes(), { 1: (one) => void items.push(readValue(one.bytes(), depth + 1)) });
      found = items;
    },
  });
  return found;
}
