/** Events of a run for the tests. */
import { type Event, START, type State, tell } from '../../../tools/run/story.ts';

type Of<T extends Event['type']> = Extract<Event, { type: T }>;

export const MS = 1e6;

export const MESH: Of<'mesh'> = {
  type: 'mesh',
  routers: 5,
  links: (
    [
      [0, 1],
      [1, 2],
      [2, 3],
      [3, 4],
      [4, 0],
      [1, 4],
    ] as const
  ).map(([a, b], id) => ({ id, a, b })),
  src: 0,
  dst: 2,
};

export const fault = (id: number, kind: 'cut' | 'kill', agents: boolean, at = 0): Of<'fault'> => ({
  type: 'fault',
  id,
  kind,
  what: kind === 'cut' ? 'link r1-r2 cut' : 'router r1 killed',
  at,
  agents,
  before: [0, 1, 2],
  told: true,
});

export const cost = (id: number, outageMs: number, more: Partial<Of<'cost'>>): Of<'cost'> => ({
  type: 'cost',
  id,
  final: true,
  outageMs,
  lost: outageMs / 2,
  recovered: true,
  frames: null,
  after: [],
  ...more,
});

export const decision = (router: number, more: Partial<Of<'decision'>>): Of<'decision'> => ({
  type: 'decision',
  router,
  cause: 'link-down',
  about: 'to2',
  step: 'planned',
  action: 'detach',
  result: null,
  fault: 'e1-f1',
  afterMs: 0,
  heardAt: 0,
  ...more,
});

export const probe = (at: number, lost: number): Of<'probe'> => ({
  type: 'probe',
  at,
  sent: 50,
  lost,
  delayUs: 200,
  maxUs: 400,
});

export const play = Object.assign((...events: readonly Event[]): State => events.reduce(tell, START), {
  from: (state: State, ...events: readonly Event[]): State => events.reduce(tell, state),
});
