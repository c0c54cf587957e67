/** Looks at the mesh every now and then, so that somebody can see later how it was. */
import { MS } from '../core/time.ts';
import { LOOK, Past } from '../report/past.ts';
import type { Agent, Part } from './part.ts';

export function past({ mesh, now }: Agent): Part {
  const kept = new Past();
  const look = () => kept.take(mesh.view(), now());
  look();
  setInterval(look, LOOK / MS).unref();
  return { shows: { past: () => kept.view() } };
}
