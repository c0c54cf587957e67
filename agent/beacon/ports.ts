/** The hard interfaces that beacons leave by, and who this router is: as far as events have told. */
import type { Event } from '../core/event.ts';
import type { IfIndex, Mac } from '../core/ids.ts';
import type { Link } from '../core/kernel.ts';

export class Ports {
  readonly #meshInterface: string;
  readonly #links = new Map<IfIndex, Link>();
  #mesh: IfIndex | null = null;
  #primary: { readonly index: IfIndex; readonly mac: Mac } | null = null;
  /** Interfaces with neighbours, by batman-adv's word. */
  #peopled = new Set<IfIndex>();

  constructor(meshInterface: string) {
    this.#meshInterface = meshInterface;
  }

  /** This router's originator address, once the tables have told. */
  get node(): Mac | null {
    return this.#primary?.mac ?? null;
  }

  on(event: Event): void {
    if (event.type === 'link') {
      const { link } = event;
      this.#links.set(link.index, link);
      if (link.name === this.#meshInterface && link.kind === 'batadv') this.#mesh = link.index;
    } else if (event.type === 'link-gone') {
      this.#links.delete(event.index);
      if (event.index === this.#mesh) this.#mesh = null;
    } else if (event.type === 'tables') {
      this.#primary = event.tables.mesh?.primary ?? this.#primary;
      this.#peopled = new Set(event.tables.neighbours.map((row) => row.interface));
    }
  }

  /** Under the mesh interface, up, with carrier; null else. */
  usable(index: IfIndex): Link | null {
    const link = this.#links.get(index);
    return link !== undefined && link.master === this.#mesh && link.up && link.carrier ? link : null;
  }

  /** Those that somebody may hear us on: not a primary interface that only gives the router its address. */
  all(): Link[] {
    const isEmpty = ({ index }: Link) => index === this.#primary?.index && !this.#peopled.has(index);
    const links = [...this.#links.values()].filter((link) => this.usable(link.index) !== null);
    const heard = links.filter((link) => !isEmpty(link));
    return (heard.length > 0 ? heard : links).sort((a, b) => a.index - b.index);
  }
}
