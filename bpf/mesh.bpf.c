/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/*
 * What comes in on the mesh's hard interfaces, looked at by XDP before the kernel does. Nothing is changed in a frame; one
 * is dropped only where its sender was cast out or, where that is asked for, never admitted. What goes out is not seen.
 *
 *     entry ─► neighbour known? ─► counted ─► sequence numbers ─► stamped ─┬► heard   (first frame, or first after a silence)
 *                 │                           (of OGM and ELP)   (beacons  ├► tcp     (batman-adv unicast)
 *                 └► stranger: counted,                      and alarms)   └► ogm2    (aggregates of BATMAN_V)
 *                    perhaps dropped, perhaps stamped, passes
 *
 * `entry` is attached, the others are reached by tail calls, and `control` by nobody but userland (BPF_PROG_TEST_RUN).
 * The callback of the timer is in `heard`, which calls no further: few JITs can do both in one program.
 *
 * Bounded: a frame costs at most `entry` and one more program. Of their loops that of ogm2 has 26 rounds; that of `entry`,
 * over a frame of our own that is too short for a whole stamp, 48. A stranger's frame writes to no map but arrays, so that
 * no flood of invented addresses can evict a neighbour.
 *
 * Loads without kernel BTF (no CO-RE, no global data) and where unaligned access is refused: packet offsets are chosen so
 * that what is read is aligned when the IP header is. -DNO_TIMER: for CPUs without a JIT, where the verifier refuses callbacks.
 */
#include "maps.h"

#include <bpf/bpf_endian.h>
#include <linux/if_ether.h>
#include <linux/time.h>

#include "siphash.h"

/* "GPL" for bpf_timer; the sources may be had under Apache-2.0 as well. */
char terms[] SEC("license") = "GPL";

/* enum batadv_packettype, and the layouts of the kernel's uapi/linux/batadv_packet.h (compatibility version 15) */
enum { IV_OGM = 0x00, ELP = 0x03, OGM2 = 0x04, UNICAST = 0x40, UNICAST_FRAG = 0x41, UNICAST_4ADDR = 0x42, COMPAT = 15 };
enum { OWN_TTL = 50 };    /* BATADV_TTL: an OGM2 that nobody has forwarded yet */
enum { OGM2_MOST = 26 };  /* of an aggregate: MAX_AGGREGATION_BYTES / 20 */
enum { GAP_MOST = 64 };   /* beyond this a sender has begun anew, or we were away */
enum { TAGS_MOST = 4 };   /* of VLANs, one behind the other */
enum { WINDOW_BITS = 27, STAMPS_A_WINDOW = 32 }; /* 32 stamps in 134 ms from one sender */

#define BATMAN bpf_htons(0x4305)

static __always_inline int bits(__u64 number) {
  int count = 0;
  if (number >> 15) return BUCKETS - 1;
  if (number >> 8) number >>= 8, count = 8;
  if (number >> 4) number >>= 4, count += 4;
  if (number >> 2) number >>= 2, count += 2;
  if (number >> 1) number >>= 1, count += 1;
  return count + (int)number;
}

static __always_inline void follow(struct neighbour *n, struct stream *s, __u32 number) {
  __s32 ahead = (__s32)(number - s->newest);
  if (s->got == 0 || ahead > GAP_MOST || ahead < -GAP_MOST) {
    if (s->got != 0) n->restarts++;
  } else if (ahead <= 0) {
    s->late++;
    return;
  } else {
    s->lost += (__u32)ahead - 1;
  }
  s->newest = number;
  s->got++;
}

/* Nobody can make userland wake up more often than this, or fill the ring for the others. */
static __always_inline int may_stamp(__u32 *window, __u32 *stamps, __u64 now) {
  __u32 current = (__u32)(now >> WINDOW_BITS);
  if (*window != current) {
    *window = current;
    *stamps = 0;
  }
  return (*stamps)++ < STAMPS_A_WINDOW;
}

static __always_inline int is_ours(const struct settings *now_set, __u16 type) {
  return type != 0 && (type == now_set->beacon || type == now_set->alarm);
}

static __always_inline struct totals *totals_here(void) {
  __u32 zero = 0;
  return bpf_map_lookup_elem(&totals, &zero);
}

static __always_inline void not_stamped(void) {
  struct totals *t = totals_here();
  if (t) t->unstamped++;
}

/* Here and not in a program of its own: going on to that took an eighth of what a beacon takes. */
static __always_inline void stamp(struct xdp_md *ctx, __u64 now) {
  void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
  struct stamp *s = bpf_ringbuf_reserve(&stamps, sizeof *s, 0);
  if (!s) {
    not_stamped();
    return;
  }
  s->at = now;
  s->ifindex = ctx->ingress_ifindex;
  s->length = (__u32)(end - data);
  if (data + ETH_HLEN + sizeof s->head <= end) {
    const __u64 *from = data + ETH_HLEN;
    __u64 *to = (__u64 *)s->head;
#pragma unroll
    for (int i = 0; i < 6; i++) to[i] = from[i];
  } else {
    const __u8 *from = data + ETH_HLEN;
    __builtin_memset(s->head, 0, sizeof s->head);
#pragma clang loop unroll(disable)
    for (int i = 0; i < 48 && (void *)(from + i + 1) <= end; i++) s->head[i] = from[i];
  }
  bpf_ringbuf_submit(s, 0);
}

static __always_inline void tell(struct key *who, __u32 state, __u64 at, __u64 last) {
  struct event *e = bpf_ringbuf_reserve(&events, sizeof *e, 0);
  if (!e) return; /* userland finds the state in the map */
  e->at = at;
  e->last = last;
  e->who = *who;
  e->state = state;
  bpf_ringbuf_submit(e, BPF_RB_FORCE_WAKEUP);
}

static __always_inline struct key sender(struct xdp_md *ctx, void *data) {
  return (struct key){*(__u32 *)(data + 6), *(__u16 *)(data + 10), 0, ctx->ingress_ifindex};
}

/*
 * What an outcast needs to join anew, with new keys and an invitation, by the interface's own link-local address: neighbour
 * discovery, and the port of sessions. Nothing of batman-adv's, so nothing of it goes further than to us.
 */
static __always_inline int may_join(void *data, void *end, __u16 type, const struct settings *now_set) {
  const __u8 *ip = data + ETH_HLEN;
  if (type != bpf_htons(ETH_P_IPV6) || now_set->port == 0 || (void *)(ip + 44) > end) return 0;
  /* From fe80::/10 alone; ff02::/16 and fe80::/10 are where it goes. */
  if (ip[8] != 0xfe || (ip[9] & 0xc0) != 0x80) return 0;
  if (!(ip[24] == 0xfe && (ip[25] & 0xc0) == 0x80) && !(ip[24] == 0xff && (ip[25] & 0x0f) == 2)) return 0;
  if (ip[6] == 58) return ip[40] == 135 || ip[40] == 136; /* neighbour solicitation and advertisement */
  if (ip[6] != 6 && ip[6] != 17) return 0;
  if (*(__u16 *)(ip + 42) == now_set->port) return 1;
  /* What answers a session that we began. Its own port says nothing where it begins one: any service could be reached from there. */
  return ip[6] == 6 && *(__u16 *)(ip + 40) == now_set->port && (void *)(ip + 54) <= end && (ip[53] & 0x10);
}

/*
 * Whether the kernel hands this frame to batman-adv: the interface's tags are taken off first, whatever VLAN they name, and a
 * priority tag (VLAN 0) may stand before another. Who hides behind more of them than are looked through counts as such.
 */
static __always_inline int is_batman(void *data, void *end, __u16 type) {
#pragma unroll
  for (int at = ETH_HLEN; at <= ETH_HLEN + 4 * TAGS_MOST; at += 4) {
    if (type == BATMAN) return 1;
    if (type != bpf_htons(ETH_P_8021Q) && type != bpf_htons(ETH_P_8021AD)) return 0;
    if (data + at + 4 > end) return 0;
    type = *(__u16 *)(data + at + 2);
  }
  return 1;
}

static __always_inline int stranger(struct xdp_md *ctx, void *data, void *end, __u16 type) {
  struct key who = sender(ctx, data);
  __u32 zero = 0;
  struct totals *t = totals_here();
  struct settings *now_set = bpf_map_lookup_elem(&settings, &zero);
  if (!t || !now_set) return XDP_PASS;
  __u32 flags = now_set->flags;
  t->strangers++;
  if (flags & WITH_OUTCASTS) {
    __u64 mac = 0;
    ((__u32 *)&mac)[0] = who.mac_a;
    ((__u16 *)&mac)[2] = who.mac_b;
    if (bpf_map_lookup_elem(&outcasts, &mac) && !may_join(data, end, type, now_set)) {
      t->isolated++;
      return XDP_DROP;
    }
  }
  struct sip s = sip_begin(now_set->secret);
  sip_word(&s, (__u64)who.mac_a << 32 | (__u64)who.mac_b << 16 | 6);
  __u64 hash = sip_end(&s);
  __u32 place = (__u32)hash % STRANGERS;
  struct stranger *heaviest = bpf_map_lookup_elem(&strangers, &place);
  if (heaviest) {
    if (heaviest->hash == hash) {
      heaviest->weight++;
    } else if (heaviest->weight == 0) {
      heaviest->hash = hash;
      heaviest->ifindex = who.ifindex;
      heaviest->weight = 1;
    } else {
      heaviest->weight--;
    }
  }
  if ((flags & ADMITTED_ONLY) && is_batman(data, end, type)) {
    t->unadmitted++;
    return XDP_DROP;
  }
  if (is_ours(now_set, type)) {
    __u64 now = bpf_ktime_get_ns();
    if (may_stamp(&t->window, &t->stamps, now)) stamp(ctx, now);
    else t->unstamped++;
  }
  return XDP_PASS;
}

SEC("xdp")
int entry(struct xdp_md *ctx) {
  void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
  if (data + ETH_HLEN > end) return XDP_PASS;
  __u16 type = *(__u16 *)(data + 12);
  struct key who = sender(ctx, data);
  struct neighbour *n = bpf_map_lookup_elem(&neighbours, &who);
  if (!n) return stranger(ctx, data, end, type);

  __u32 place = n->place;
  struct counts *c = bpf_map_lookup_elem(&counts, &place);
  if (!c) return XDP_PASS;
  __u64 now = bpf_ktime_get_ns(), last = n->last;
  n->last = now;
  c->bytes += (__u64)(end - data);
  /* Another CPU may have been here meanwhile, with a later time. */
  int bucket = now > last ? bits((now - last) >> 15) : 0;
  if (bucket < 0 || bucket >= BUCKETS) return XDP_PASS;
  c->between[bucket]++;

  __u32 next = CHAIN;
  if (type == BATMAN && data + ETH_HLEN + 16 <= end) {
    __u8 kind = *(__u8 *)(data + ETH_HLEN);
    if (*(__u8 *)(data + ETH_HLEN + 1) != COMPAT) {
      /* no frame of a batman-adv that we know */
    } else if (kind == ELP) {
      /* The shortest; but a network card fills frames up to 60 bytes, so its length tells nothing. */
      follow(n, &n->streams[STREAM_ELP], bpf_ntohl(*(__u32 *)(data + ETH_HLEN + 8)));
    } else if (kind == OGM2) {
      next = CHAIN_OGM2; /* 20 bytes, where it carries nothing: `ogm2` looks where it ends */
    } else if (data + ETH_HLEN + 24 > end) {
      /* cut off */
    } else if (kind == IV_OGM) {
      /* A router's own OGM leads its aggregate, and on each interface one bears that interface's address. */
      if (*(__u32 *)(data + ETH_HLEN + 8) == who.mac_a && *(__u16 *)(data + ETH_HLEN + 12) == who.mac_b)
        follow(n, &n->streams[STREAM_OGM], bpf_ntohl(*(__u32 *)(data + ETH_HLEN + 4)));
    } else if (kind == UNICAST || kind == UNICAST_4ADDR) {
      next = CHAIN_TCP;
    } else if (kind == UNICAST_FRAG) {
      struct totals *t = totals_here();
      if (t) t->fragments++;
    }
  } else {
    __u32 zero = 0;
    struct settings *now_set = bpf_map_lookup_elem(&settings, &zero);
    if (now_set && is_ours(now_set, type)) {
      if (may_stamp(&n->window, &n->stamps, now)) stamp(ctx, now);
      else not_stamped();
    }
  }
  if (n->state != HEARD) bpf_tail_call(ctx, &chain, CHAIN_HEARD);
  /* One call a place: the JIT makes a jump of a tail call whose place is known. */
  if (next == CHAIN_TCP) {
    struct totals *t = totals_here();
    if (!t) return XDP_PASS;
    t->now = now;
    bpf_tail_call(ctx, &chain, CHAIN_TCP);
  }
  if (next == CHAIN_OGM2) bpf_tail_call(ctx, &chain, CHAIN_OGM2);
  return XDP_PASS;
}

#ifndef NO_TIMER
/* Fires when the oldest frame that could count is a deadline old, not at every frame: what came since moves it on. */
static int expired(void *map, struct key *who, struct neighbour *n) {
  __u64 now = bpf_ktime_get_ns(), last = n->last, due = last + n->deadline;
  if (n->deadline == 0 || n->state != HEARD) return 0;
  if (due <= now) {
    n->state = SILENT;
    due = n->last + n->deadline;
    if (due <= now) {
      tell(who, SILENT, now, last);
      return 0;
    }
    n->state = HEARD; /* a frame came in at this very moment */
  }
  bpf_timer_start(&n->timer, due - now, 0);
  return 0;
}

static __always_inline void watch(struct neighbour *n, __u64 after) {
  bpf_timer_init(&n->timer, &neighbours, CLOCK_MONOTONIC); /* EBUSY: it is already */
  bpf_timer_set_callback(&n->timer, expired);
  bpf_timer_start(&n->timer, after, 0);
}
#else
static __always_inline void watch(struct neighbour *n, __u64 after) {}
#endif

/* The first frame of a neighbour, or the first after a silence. */
SEC("xdp")
int heard(struct xdp_md *ctx) {
  void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
  if (data + ETH_HLEN > end) return XDP_PASS;
  struct key who = sender(ctx, data);
  struct neighbour *n = bpf_map_lookup_elem(&neighbours, &who);
  if (!n) return XDP_PASS;
  __u64 now = n->last;
  if (n->state != HEARD) {
    n->state = HEARD;
    tell(&who, HEARD, now, now);
    if (n->deadline) watch(n, n->deadline);
  }
  return XDP_PASS;
}

/*
 * Aggregated OGMs of BATMAN_V: type(1) version(1) ttl(1) flags(1) seqno(4) orig(6) tvlv_len(2) throughput(4). The sender's
 * own, which nobody has forwarded yet, may stand anywhere among them.
 */
SEC("xdp")
int ogm2(struct xdp_md *ctx) {
  void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
  if (data + ETH_HLEN > end) return XDP_PASS;
  struct key who = sender(ctx, data);
  struct neighbour *n = bpf_map_lookup_elem(&neighbours, &who);
  if (!n) return XDP_PASS;
  __u32 at = ETH_HLEN;
  for (int i = 0; i < OGM2_MOST; i++) {
    const __u8 *o = data + at;
    if ((void *)(o + 20) > end || o[0] != OGM2 || o[1] != COMPAT) break;
    if (o[2] == OWN_TTL) {
      follow(n, &n->streams[STREAM_OGM2], (__u32)o[4] << 24 | (__u32)o[5] << 16 | (__u32)o[6] << 8 | o[7]);
      break;
    }
    at += 20 + ((__u32)o[14] << 8 | o[15]);
    if (at > 1500) break;
  }
  return XDP_PASS;
}

#define FIN 0x01
#define SYN 0x02
#define RST 0x04
#define ACK 0x10

/*
 * Takes 64 bits more into a hash, as the finaliser of MurmurHash3 does. SipHash, which keeps what went in secret as well, takes
 * twice as long, and nothing of this leaves the kernel.
 */
static __always_inline __u64 mix(__u64 hash, __u64 word) {
  hash = (hash ^ word) * 0xff51afd7ed558ccdULL;
  return hash ^ hash >> 32;
}

/*
 * The flow of one direction of a connection, by the hash of its ends, which began with one half of this boot's secret. `fresh`:
 * the place was another's. Who knows a way to a certain place wins nothing: all of them can be taken with connections enough.
 */
static __always_inline struct flow *flow_of(__u64 hash, const struct settings *now_set, int *fresh) {
  hash = mix(mix(hash, now_set->secret[1]), 0);
  __u32 place = hash >> (64 - FLOW_BITS), tag = (__u32)hash | 1;
  struct flow *f = bpf_map_lookup_elem(&flows, &place);
  if (!f) return 0;
  *fresh = f->tag != tag;
  f->tag = tag;
  return f;
}

/* TCP in batman-adv's unicast frames: IPv4 without fragments, IPv6 without extension headers, one VLAN tag at most. */
SEC("xdp")
int tcp(struct xdp_md *ctx) {
  void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
  __u32 zero = 0;
  struct totals *t = bpf_map_lookup_elem(&totals, &zero);
  struct settings *now_set = bpf_map_lookup_elem(&settings, &zero);
  if (!t || !now_set || data + ETH_HLEN + 24 > end) return XDP_PASS;

  void *inner = data + ETH_HLEN + (*(__u8 *)(data + ETH_HLEN) == UNICAST_4ADDR ? 18 : 10);
  if (inner + ETH_HLEN + 4 > end) return XDP_PASS;
  __u16 type = *(__u16 *)(inner + 12);
  void *ip = inner + ETH_HLEN;
  if (type == bpf_htons(ETH_P_8021Q)) {
    type = *(__u16 *)(inner + 16);
    ip += 4;
  }
  __u64 hash = now_set->secret[0];
  void *segment;
  __u32 length; /* header and payload of TCP */
  if (type == bpf_htons(ETH_P_IP)) {
    if (ip + 20 > end) return XDP_PASS;
    __u32 header = (__u32)(*(__u8 *)ip & 15) << 2;
    if (*(__u8 *)(ip + 9) != 6 || header < 20 || (*(__u16 *)(ip + 6) & bpf_htons(0x3fff))) return XDP_PASS;
    length = bpf_ntohs(*(__u16 *)(ip + 2)) - header;
    hash = mix(hash, (__u64)*(__u32 *)(ip + 12) << 32 | *(__u32 *)(ip + 16));
    segment = ip + header;
  } else if (type == bpf_htons(ETH_P_IPV6)) {
    if (ip + 40 > end || *(__u8 *)(ip + 6) != 6) return XDP_PASS;
    length = bpf_ntohs(*(__u16 *)(ip + 4));
#pragma unroll
    for (int i = 8; i < 40; i += 8) hash = mix(hash, (__u64)*(__u32 *)(ip + i) << 32 | *(__u32 *)(ip + i + 4));
    segment = ip + 40;
  } else {
    return XDP_PASS;
  }
  if (segment + 20 > end) return XDP_PASS;
  __u32 header = (__u32)(*(__u8 *)(segment + 12) >> 4) << 2;
  __u8 flags = *(__u8 *)(segment + 13);
  if (header < 20 || length < header || length > 0xffff) return XDP_PASS;
  __u32 number = bpf_ntohl(*(__u32 *)(segment + 4));
  __u32 after = number + (length - header) + !!(flags & (SYN | FIN));
  t->segments++;
  hash = mix(hash, (__u64)*(__u32 *)segment << 32 | (type == bpf_htons(ETH_P_IP) ? 12 : 36));
  int fresh;
  struct flow *f = flow_of(hash, now_set, &fresh);
  if (!f) return XDP_PASS;

  if (flags & RST) {
    t->reset++;
    f->opened = 0;
    f->next = after;
    return XDP_PASS;
  }
  if (flags & SYN) {
    if (!fresh && f->next == after) {
      t->retransmitted++;
      f->opened = 0; /* which of them is answered cannot be told (Karn and Partridge, 1987) */
      return XDP_PASS;
    }
    if (flags & ACK) t->answered++;
    else t->opened++;
    f->opened = flags & ACK ? 0 : t->now;
    f->next = after;
    return XDP_PASS;
  }
  if (fresh) {
    f->opened = 0;
  } else if (after != number && (__s32)(after - f->next) <= 0) {
    t->retransmitted++;
    return XDP_PASS;
  } else if (f->opened) {
    __u64 took = t->now - f->opened;
    f->opened = 0;
    if (number == f->next && (flags & ACK)) {
      int bucket = bits(took >> 17);
      t->established++;
      if (bucket >= 0 && bucket < BUCKETS) t->handshakes[bucket]++;
    }
  }
  if (flags & FIN) t->closed++;
  if (fresh || after != number) f->next = after;
  return XDP_PASS;
}

/*
 * Userland's hand on what only a program can do. Not attached: it is run with a frame that is a command behind an
 * Ethernet header that nobody reads.
 */
enum { SET_DEADLINE = 1, SET_SILENT = 2 };

struct command {
  struct key who;
  __u32 what;
  __u64 value;
};

SEC("xdp")
int control(struct xdp_md *ctx) {
  struct command *c = (void *)(long)ctx->data + ETH_HLEN; /* where it is aligned */
  if ((void *)(c + 1) > (void *)(long)ctx->data_end) return XDP_ABORTED;
  struct key who;
  __builtin_memcpy(&who, &c->who, sizeof who);
  struct neighbour *n = bpf_map_lookup_elem(&neighbours, &who);
  if (!n) return XDP_DROP;
  if (c->what == SET_SILENT) {
    /* `value` is the frame that was the last when userland looked. */
    if (n->state == HEARD && n->last == c->value) n->state = SILENT;
    return XDP_PASS;
  }
  if (c->what != SET_DEADLINE) return XDP_ABORTED;
  n->deadline = c->value;
  if (c->value && n->state == HEARD) {
    __u64 now = bpf_ktime_get_ns(), due = n->last + c->value;
    watch(n, due > now ? due - now : 1);
  }
  return XDP_PASS;
}
