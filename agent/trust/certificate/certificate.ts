/**
 * The certificates of a mesh: X.509 v3 as the SPIFFE X.509-SVID standard wants them, and the hybrid keys bound in.
 *
 * Every certificate, from the owner's down, carries one extension of ours (not critical: TLS stacks that do not know it
 * pass over it):
 *
 *     BoundKeys ::= SEQUENCE {
 *       version    INTEGER (1),
 *       identity   OCTET STRING,    -- suite, then the key that verifies its holder's hybrid signatures
 *       agreement  OCTET STRING,    -- suite, then the key to which secrets are encapsulated; empty in a CA certificate
 *       signature  OCTET STRING }   -- suite, then the issuer's hybrid signature
 *
 * The signature covers the whole TBSCertificate with the signature's own bytes as zeros: name, serial number, validity,
 * the classical key and the hybrid ones. So a certificate stands on two signatures of its issuer, and who breaks the
 * classical one, by a quantum computer, still makes no identity.
 *
 * The extension's identifier is below 2.25, the arc of UUIDs (ITU-T X.667): it belongs to nobody else, and nobody had to
 * be asked for it. Only what is written here is read: another algorithm or an unknown critical extension is refused.
 */
import { createHash } from 'node:crypto';
import { der, integer, Malformed, oid, Reader, sequence, TAG, time } from './der.ts';

/** UUID 22d55a6c-0f4e-46c4-bd56-e6b86f114a90. */
export const BOUND_KEYS_OID = '2.25.46301545065797843710602153352731118224';

const OID = {
  boundKeys: oid(BOUND_KEYS_OID),
  ecdsaSha256: oid('1.2.840.10045.4.3.2'),
  organisation: oid('2.5.4.10'),
  commonName: oid('2.5.4.3'),
  basicConstraints: oid('2.5.29.19'),
  keyUsage: oid('2.5.29.15'),
  extendedKeyUsage: oid('2.5.29.37'),
  subjectName: oid('2.5.29.17'),
  subjectKey: oid('2.5.29.14'),
  authorityKey: oid('2.5.29.35'),
  serverAuth: oid('1.3.6.1.5.5.7.3.1'),
  clientAuth: oid('1.3.6.1.5.5.7.3.2'),
} as const;

const ALGORITHM = sequence(OID.ecdsaSha256);
const CRITICAL = der(TAG.boolean, Uint8Array.of(0xff));
const VERSION_3 = der(0xa0, integer(Uint8Array.of(2)));
/** keyUsage as a BIT STRING: the unused bits, then the bits. */
const DIGITAL_SIGNATURE = Uint8Array.of(7, 0x80);
const CERT_AND_CRL_SIGN = Uint8Array.of(1, 0x06);
/** Of the issuer's hybrid signature. */
export const PURPOSE = 'certificate v1';
/** A certificate with its keys takes about 6.6 KiB. */
const MOST_CERTIFICATE = 12 * 1024;

export interface CertificateFields {
  /** 1 to 20 bytes. */
  readonly serial: Uint8Array;
  /** Of the issuer, as in its own certificate; its own for a root. */
  readonly issuer: Name;
  readonly subject: Name;
  readonly notBefore: number;
  readonly notAfter: number;
  /** The classical key, as a SubjectPublicKeyInfo. */
  readonly spki: Uint8Array;
  readonly issuerSpki: Uint8Array;
  /** The URI of the subject's alternative name. */
  readonly uri: string;
  /** null for a leaf; how many CA certificates may follow below it. */
  readonly authority: number | null;
  /** With their suite in front. */
  readonly identity: Uint8Array;
  readonly agreement: Uint8Array;
}

/** An X.501 name as this mesh writes it: an organisation and a common name. */
export interface Name {
  readonly organisation: string;
  readonly commonName: string;
}

/** A certificate as it was read. Nothing of it is verified. */
export interface Certificate {
  readonly der: Uint8Array;
  readonly tbs: Uint8Array;
  /** The classical signature, ECDSA with SHA-256, in DER. */
  readonly signature: Uint8Array;
  readonly serial: string;
  /** As DER, to compare. */
  readonly issuer: Uint8Array;
  readonly subject: Uint8Array;
  readonly commonName: string;
  readonly notBefore: number;
  readonly notAfter: number;
  readonly spki: Uint8Array;
  readonly uris: readonly string[];
  readonly authority: number | null;
  readonly mayLead: boolean;
  readonly maySign: boolean;
  /** What stands in our extension; null where there is none. */
  readonly bound: {
    readonly identity: Uint8Array;
    readonly agreement: Uint8Array;
    readonly signature: Uint8Array;
    /** What that signature is of. */
    readonly message: Uint8Array;
  } | null;
}

/**
 * Writes a certificate. `signHybrid` is asked first, with the TBSCertificate whose signature is zeros, then `sign` with
 * the whole; `signatureSize` is what signHybrid answers with.
 */
export function writeCertificate(
  fields: CertificateFields,
  signatureSize: number,
  signHybrid: (message: Uint8Array) => Uint8Array,
  sign: (tbs: Uint8Array) => Uint8Array,
): Buffer {
  const { authority } = fields;
  const boundKeys = sequence(
    integer(Uint8Array.of(1)),
    der(TAG.octets, fields.identity),
    der(TAG.octets, fields.agreement),
    der(TAG.octets, new Uint8Array(signatureSize)),
  );
  const leaf = authority === null;
  const constraints = leaf
    ? sequence()
    : sequence(der(TAG.boolean, Uint8Array.of(0xff)), integer(Uint8Array.of(authority)));
  const extensions = sequence(
    extension(OID.basicConstraints, constraints, true),
    extension(OID.keyUsage, der(TAG.bitString, leaf ? DIGITAL_SIGNATURE : CERT_AND_CRL_SIGN), true),
    ...(leaf ? [extension(OID.extendedKeyUsage, sequence(OID.serverAuth, OID.clientAuth))] : []),
    extension(OID.subjectName, sequence(der(0x86, Buffer.from(fields.uri)))),
    extension(OID.subjectKey, der(TAG.octets, keyId(fields.spki))),
    extension(OID.authorityKey, sequence(der(0x80, keyId(fields.issuerSpki)))),
    // The last thing in it, so that the signature's bytes are the end of the TBSCertificate.
    extension(OID.boundKeys, boundKeys),
  );
  const tbs = sequence(
    VERSION_3,
    integer(fields.serial),
    ALGORITHM,
    name(fields.issuer),
    sequence(time(fields.notBefore), time(fields.notAfter)),
    name(fields.subject),
    fields.spki,
    der(0xa3, extensions),
  );
  tbs.set(signHybrid(Uint8Array.from(tbs)), tbs.length - signatureSize);
  return sequence(tbs, ALGORITHM, der(TAG.bitString, Uint8Array.of(0), sign(tbs)));
}

/** Reads one. Answers null for what is not a certificate of this profile; never throws. */
export function readCertificate(bytes: Uint8Array): Certificate | null {
  if (bytes.length > MOST_CERTIFICATE) return null;
  try {
    return read(bytes);
  } catch (thrown) {
    if (thrown instanceof Malformed) return null;
    throw thrown;
  }
}

function read(bytes: Uint8Array): Certificate {
  const outer = new Reader(bytes);
  const certificate = outer.enter(TAG.sequence);
  outer.end();
  const from = certificate.at;
  const tbs = certificate.whole(TAG.sequence);
  expect(certificate.whole(TAG.sequence).equals(ALGORITHM), 'ECDSA with SHA-256');
  const signature = bits(certificate.take(TAG.bitString));
  certificate.end();

  const body = new Reader(certificate.bytes, from).enter(TAG.sequence);
  expect(body.whole(0xa0).equals(VERSION_3), 'version 3');
  const serial = body.take(TAG.integer);
  expect(serial.length >= 1 && serial.length <= 21 && serial[0]! < 0x80, 'a positive serial number');
  expect(body.whole(TAG.sequence).equals(ALGORITHM), 'ECDSA with SHA-256');
  const issuer = body.whole(TAG.sequence);
  const validity = body.enter(TAG.sequence);
  const [notBefore, notAfter] = [validity.time(), validity.time()];
  validity.end();
  const subject = body.whole(TAG.sequence);
  const spki = body.whole(TAG.sequence);
  const wrapped = body.enter(0xa3);
  body.end();
  const extensions = wrapped.enter(TAG.sequence);
  wrapped.end();

  const seen = new Map<string, Reader>();
  while (!extensions.isAtEnd) {
    const one = extensions.enter(TAG.sequence);
    const id = one.whole(TAG.oid).toString('hex');
    const critical = one.has(TAG.boolean) && one.take(TAG.boolean)[0] === 0xff;
    const value = one.enter(TAG.octets);
    one.end();
    expect(!seen.has(id), 'each extension once');
    expect(!critical || READ.has(id), 'no critical extension that is not known here');
    seen.set(id, value);
  }
  const only = <T>(id: Buffer, tag: number, work: (inside: Reader) => T): T | null => {
    const value = seen.get(id.toString('hex'));
    if (value === undefined) return null;
    const inside = value.enter(tag);
    value.end();
    const answer = work(inside);
    inside.end();
    return answer;
  };
  const authority = only(OID.basicConstraints, TAG.sequence, (inside) => {
    const isAuthority = inside.has(TAG.boolean) && inside.take(TAG.boolean)[0] === 0xff;
    const depth = inside.has(TAG.integer) ? inside.take(TAG.integer) : Uint8Array.of(0);
    expect(depth.length === 1 && depth[0]! < 0x80, 'a short path');
    return isAuthority ? depth[0]! : null;
  });
  const usage = only(OID.keyUsage, TAG.bitString, (inside) => inside.rest());
  const uris = only(OID.subjectName, TAG.sequence, (inside) => {
    const found: string[] = [];
    while (!inside.isAtEnd) found.push(inside.take(0x86).toString('latin1'));
    return found;
  });
  const bound = only(OID.boundKeys, TAG.sequence, (inside) => {
    expect(inside.take(TAG.integer).equals(Uint8Array.of(1)), 'version 1');
    const [identity, agreement, hybrid] = [inside.take(TAG.octets), inside.take(TAG.octets), inside.take(TAG.octets)];
    const message = Uint8Array.from(tbs);
    const at = hybrid.byteOffset - tbs.byteOffset;
    message.fill(0, at, at + hybrid.length);
    return { identity, agreement, signature: hybrid, message };
  });
  return {
    der: bytes,
    tbs,
    signature,
    serial: serial.toString('hex'),
    issuer,
    subject,
    commonName: commonNameOf(subject),
    notBefore,
    notAfter,
    spki,
    uris: uris ?? [],
    authority,
    mayLead: usage?.equals(CERT_AND_CRL_SIGN) ?? false,
    maySign: usage?.equals(DIGITAL_SIGNATURE) ?? false,
    bound,
  };
}

const READ = new Set(
  [OID.basicConstraints, OID.keyUsage, OID.subjectName, OID.boundKeys].map((id) => id.toString('hex')),
);

function expect(condition: boolean, what: string): void {
  if (!condition) throw new Malformed(`expected ${what}`);
}

function bits(content: Buffer): Buffer {
  expect(content[0] === 0, 'whole bytes');
  return content.subarray(1);
}

function extension(id: Buffer, value: Uint8Array, critical = false): Buffer {
  return sequence(id, ...(critical ? [CRITICAL] : []), der(TAG.octets, value));
}

function name({ organisation, commonName }: Name): Buffer {
  const attribute = (id: Buffer, text: string) => der(TAG.set, sequence(id, der(TAG.utf8, Buffer.from(text))));
  return sequence(attribute(OID.organisation, organisation), attribute(OID.commonName, commonName));
}

/** Of a name that `name` wrote; '' of another. */
function commonNameOf(subject: Buffer): string {
  const names = new Reader(subject).enter(TAG.sequence);
  while (!names.isAtEnd) {
    const attribute = names.enter(TAG.set).enter(TAG.sequence);
    if (attribute.whole(TAG.oid).equals(OID.commonName) && attribute.has(TAG.utf8))
      return attribute.take(TAG.utf8).toString('utf8');
  }
  return '';
}

/** RFC 5280, 4.2.1.2, method 1 has SHA-1; this is RFC 7093, method 1: the first 160 bits of SHA-256. */
function keyId(spki: Uint8Array): Buffer {
  const info = new Reader(spki).enter(TAG.sequence);
  info.enter(TAG.sequence);
  return createHash('sha256')
    .update(bits(info.take(TAG.bitString)))
    .digest()
    .subarray(0, 20);
}
