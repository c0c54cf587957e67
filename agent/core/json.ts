/** What JSON.parse reads without a word, and nobody who means well writes. */

/** Where a member stands: names of objects' members and places in arrays, from the document down. */
export type Way = readonly (string | number)[];

/** `names`: of an object; null in an array. */
interface Level {
  readonly names: Set<string> | null;
  at: string | number;
}

/**
 * The first member whose name its object has already; null where there is none. JSON.parse takes the last one, another
 * reader may take the first (RFC 8259, 4), and who wrote it meant both. `text` has to be JSON that JSON.parse has
 * read. `isFree`: names that may be there several times.
 */
export function repeatedMember(text: string, isFree: (name: string) => boolean = () => false): Way | null {
  const levels: Level[] = [];
  for (let i = 0; i < text.length; i++) {
    const level = levels.at(-1);
    switch (text.charCodeAt(i)) {
      case OPEN_OBJECT:
        levels.push({ names: new Set(), at: '' });
        break;
      case OPEN_ARRAY:
        levels.push({ names: null, at: 0 });
        break;
      case CLOSE_OBJECT:
      case CLOSE_ARRAY:
        levels.pop();
        break;
      case COMMA:
        if (typeof level?.at === 'number') level.at += 1;
        break;
      case QUOTE: {
        const begin = i;
        for (i++; text.charCodeAt(i) !== QUOTE; i++) if (text.charCodeAt(i) === BACKSLASH) i++;
        if (level === undefined || level.names === null || !isName(text, i + 1)) break;
        // It may be written in another way: "\u0061" is "a".
        const name = JSON.parse(text.slice(begin, i + 1)) as string;
        level.at = name;
        if (level.names.has(name) && !isFree(name)) return levels.map(({ at }) => at);
        level.names.add(name);
      }
    }
  }
  return null;
}

/** Objects and arrays in each other, more than `most`: what goes down into them one by one would run out of stack. */
export function isDeeperThan(text: string, most: number): boolean {
  let depth = 0;
  for (let i = 0; i < text.length; i++) {
    const char = text.charCodeAt(i);
    if (char === QUOTE) {
      for (i++; i < text.length && text.charCodeAt(i) !== QUOTE; i++) if (text.charCodeAt(i) === BACKSLASH) i++;
    } else if (char === OPEN_OBJECT || char === OPEN_ARRAY) {
      depth++;
      if (depth > most) return true;
    } else if (char === CLOSE_OBJECT || char === CLOSE_ARRAY) depth--;
  }
  return false;
}

const QUOTE = 0x22;
const COMMA = 0x2c;
const COLON = 0x3a;
const OPEN_ARRAY = 0x5b;
const BACKSLASH = 0x5c;
const CLOSE_ARRAY = 0x5d;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;

/** A string is a name where a colon follows it: values are followed by none. */
function isName(text: string, after: number): boolean {
  let i = after;
  while (text.charCodeAt(i) <= 0x20) i++;
  return text.charCodeAt(i) === COLON;
}
