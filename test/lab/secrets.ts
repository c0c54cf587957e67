/** Looks for secrets where none may be: as they are, in hexadecimal and in base64, also in the middle of something. */
import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import { decodeKeyFile } from '../../agent/trust/keys/file.ts';

/** Of a secret so many bytes in a row are no chance. */
const PIECE = 12;

/** The secrets of a key file, and of those beside it, which have them in hexadecimal or base64. */
export function secretsIn(file: string): Buffer[] {
  const bytes = readFileSync(file);
  if (bytes.subarray(0, 5).toString('latin1') === 'x0key') {
    const { agreement, identity } = decodeKeyFile(bytes);
    return [agreement, identity].map((secret) => Buffer.from(secret.reveal()));
  }
  return [...bytes.toString('latin1').matchAll(/"secret":"([^"]+)"/g)].map(([, text]) =>
    Buffer.from(text!, /^[0-9a-f]+$/.test(text!) ? 'hex' : 'base64'),
  );
}

/** How a piece of a secret may stand in something else. */
function formsOf(secret: Uint8Array): Buffer[] {
  const forms: Buffer[] = [];
  for (let at = 0; at + PIECE <= secret.length; at += PIECE) {
    const piece = Buffer.from(secret.subarray(at, at + PIECE));
    forms.push(piece, Buffer.from(piece.toString('hex')), Buffer.from(piece.toString('hex').toUpperCase()));
    // In a longer text the piece begins at any of three places of a group.
    for (const alphabet of ['base64', 'base64url'] as const)
      for (const skipped of [0, 1, 2]) {
        const whole = piece.subarray(skipped, skipped + 3 * Math.floor((PIECE - skipped) / 3));
        forms.push(Buffer.from(whole.toString(alphabet)));
      }
  }
  return forms;
}

/** The names of what holds a piece of a secret. Gzip is opened. */
export function whereFound(
  secrets: readonly Uint8Array[],
  among: Readonly<Record<string, Uint8Array | string>>,
): string[] {
  const forms = secrets.flatMap(formsOf);
  return Object.entries(among).flatMap(([name, content]) => {
    const bytes = Buffer.from(content as Uint8Array);
    const isZipped = bytes[0] === 0x1f && bytes[1] === 0x8b;
    const plain = isZipped ? gunzipSync(bytes) : bytes;
    return forms.some((form) => plain.includes(form)) ? [name] : [];
  });
}
