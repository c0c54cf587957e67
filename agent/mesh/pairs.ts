/**
 * Shortest paths from many nodes of one graph, one after the other: names become numbers once, and every run reuses the
 * same arrays. For a single source `shortestPaths` of topology.ts is handier.
 */
import type { Graph } from './topology.ts';

const UNSEEN = -1;
const DONE = -2;

export class Pairs {
  readonly nodes: readonly string[];
  /** Ends of edges: two for each. */
  readonly size: number;
  /** The nodes that the last run reached, by rising cost: the first `reached` of `order`. */
  reached = 0;
  readonly order: Int32Array;
  /** By node, for those that were reached. */
  readonly cost: Float64Array;
  readonly hops: Int32Array;
  /** The edges of node i are those from `#first[i]` to before `#first[i + 1]`. */
  readonly #first: Int32Array;
  readonly #to: Int32Array;
  readonly #step: Float64Array;
  /** A heap of nodes, and where each stands in it. */
  readonly #heap: Int32Array;
  readonly #at: Int32Array;
  #waiting = 0;

  constructor(graph: Graph) {
    this.nodes = graph.nodes();
    const n = this.nodes.length;
    const index = new Map(this.nodes.map((node, i) => [node, i]));
    const to: number[] = [];
    const step: number[] = [];
    this.#first = new Int32Array(n + 1);
    for (const [i, node] of this.nodes.entries()) {
      for (const [other, cost] of graph.neighbours(node)) {
        to.push(index.get(other)!);
        step.push(cost);
      }
      this.#first[i + 1] = to.length;
    }
    this.size = to.length;
    this.#to = Int32Array.from(to);
    this.#step = Float64Array.from(step);
    this.order = new Int32Array(n);
    this.cost = new Float64Array(n);
    this.hops = new Int32Array(n);
    this.#heap = new Int32Array(n);
    this.#at = new Int32Array(n).fill(UNSEEN);
  }

  /** Dijkstra from one node, by its number. What the run before it answered is overwritten. O(m log n) of its part. */
  from(source: number): void {
    const { cost, hops, order } = this;
    for (let i = 0; i < this.reached; i++) this.#at[order[i]!] = UNSEEN;
    this.reached = 0;
    cost[source] = 0;
    hops[source] = 0;
    this.#rise(source, this.#waiting++);
    while (this.#waiting > 0) {
      const node = this.#pop();
      order[this.reached++] = node;
      const end = this.#first[node + 1]!;
      for (let edge = this.#first[node]!; edge < end; edge++) {
        const other = this.#to[edge]!;
        const at = this.#at[other]!;
        if (at === DONE) continue;
        const next = cost[node]! + this.#step[edge]!;
        if (at !== UNSEEN && next >= cost[other]!) continue;
        cost[other] = next;
        hops[other] = hops[node]! + 1;
        this.#rise(other, at === UNSEEN ? this.#waiting++ : at);
      }
    }
  }

  /** Puts a node where it belongs, at `at` or above. */
  #rise(node: number, at: number): void {
    const key = this.cost[node]!;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      const above = this.#heap[parent]!;
      if (this.cost[above]! <= key) break;
      this.#heap[at] = above;
      this.#at[above] = at;
      at = parent;
    }
    this.#heap[at] = node;
    this.#at[node] = at;
  }

  #pop(): number {
    const heap = this.#heap;
    const top = heap[0]!;
    this.#at[top] = DONE;
    const last = heap[--this.#waiting]!;
    if (this.#waiting === 0) return top;
    const key = this.cost[last]!;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= this.#waiting) break;
      if (child + 1 < this.#waiting && this.cost[heap[child + 1]!]! < this.cost[heap[child]!]!) child++;
      const below = heap[child]!;
      if (this.cost[below]! >= key) break;
      heap[at] = below;
      this.#at[below] = at;
      at = child;
    }
    heap[at] = last;
    this.#at[last] = at;
    return top;
  }
}
