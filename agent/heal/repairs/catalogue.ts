/** Every repair, gentlest first. */
import type { Action } from '../../core/words.ts';
import { SETTINGS } from './settings.ts';
import type { Repair } from './spec.ts';
import { URGENT } from './urgent.ts';

const BY_ACTION: ReadonlyMap<Action, Repair> = new Map(
  [...URGENT, ...SETTINGS].map((repair) => [repair.action, repair]),
);

export function repairOf(action: Action): Repair {
  return BY_ACTION.get(action)!;
}

export function isAction(name: string): name is Action {
  return BY_ACTION.has(name as Action);
}
