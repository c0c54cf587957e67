/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/*
 * The maps that the programs share with agent/host/bpf/layout.ts, which has the same offsets: change both. Numbers are in
 * the kernel's byte order unless said otherwise; times are CLOCK_MONOTONIC in nanoseconds.
 *
 * No map grows by what comes in: neighbours and outcasts are written by userland alone, the rest are arrays.
 */
#ifndef X0_MAPS_H
#define X0_MAPS_H

#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

#define NEIGHBOURS 256
#define OUTCASTS 256
#define FLOW_BITS 11
#define FLOWS (1 << FLOW_BITS)
#define STRANGERS 64
#define BUCKETS 16

/* A neighbour is a hardware address on one of our interfaces. */
struct key {
  __u32 mac_a; /* the first four bytes as they stand in the frame */
  __u16 mac_b;
  __u16 zero;
  __u32 ifindex;
};

/* Sequence numbers of one kind: OGM (BATMAN_IV), ELP, OGM2 (BATMAN_V). */
struct stream {
  __u32 newest; /* counts once `got` is not 0 */
  __u32 got;
  __u32 lost; /* numbers jumped over */
  __u32 late; /* duplicates, or out of order */
};

enum { STREAM_OGM, STREAM_ELP, STREAM_OGM2, STREAMS };
enum { UNHEARD, HEARD, SILENT };

struct neighbour {
  __u64 last;     /* when its newest frame came, 0 for never */
  __u64 deadline; /* the silence after which it counts as silent, 0 for never */
  __u32 state;
  __u32 restarts; /* a sequence number so far off that the sender must have begun anew */
  struct stream streams[STREAMS];
  __u32 window; /* the stamps that it may still cause: see may_stamp() */
  __u32 stamps;
  __u32 place; /* in `counts` */
  __u32 zero;
#ifndef NO_TIMER
  struct bpf_timer timer;
#endif
};

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, NEIGHBOURS);
  __type(key, struct key);
  __type(value, struct neighbour);
} neighbours SEC(".maps");

/*
 * What every frame of a neighbour adds to, apart for each CPU: several may have frames of one neighbour at a time, and an
 * atomic addition costs more than this lookup; the JIT of 32-bit ARM has none at all. Userland gives the places, and clears
 * one before it gives it again.
 */
struct counts {
  __u64 bytes;
  __u64 between[BUCKETS]; /* time between two frames: bucket 0 below 32.768 us, each twice the one before; their sum is the frames */
};

struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, NEIGHBOURS);
  __type(key, __u32);
  __type(value, struct counts);
} counts SEC(".maps");

/*
 * Routers that the mesh has cast out, by address, whichever interface they are heard on. Userland removes them from
 * neighbours.
 */
struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, OUTCASTS);
  __type(key, __u64); /* the address in the first six bytes, then zero */
  __type(value, __u32);
} outcasts SEC(".maps");

enum {
  WITH_OUTCASTS = 1, /* there are any */
  ADMITTED_ONLY = 2, /* batman-adv's frames from none but neighbours */
};

struct settings {
  __u64 secret[2]; /* of this boot: what addresses, and ends of connections, are hashed with */
  __u32 flags;
  __u16 beacon; /* ethertypes of beacons and of alarms, big-endian; 0 for none */
  __u16 alarm;
  __u16 port; /* of sessions, big-endian: what an outcast may still reach, to join anew */
};

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, struct settings);
} settings SEC(".maps");

/* Aggregates, one for each CPU. */
struct totals {
  __u64 now;       /* scratch: the time of this frame, from `entry` to `tcp` */
  __u64 strangers; /* frames from who is no neighbour */
  __u64 isolated;  /* dropped: sent by an outcast */
  __u64 unadmitted;
  __u64 fragments; /* of batman-adv: not looked into */
  __u64 segments;  /* of TCP, looked into */
  __u64 opened;    /* SYN */
  __u64 answered;  /* SYN and ACK */
  __u64 established;
  __u64 closed; /* FIN */
  __u64 reset;
  __u64 retransmitted;
  __u64 unstamped; /* beacons beyond what one sender may cause, or for want of room */
  __u32 window;    /* strangers' stamps */
  __u32 stamps;
  __u32 handshakes[BUCKETS]; /* bucket 0 below 131.072 us, each twice the one before */
};

struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, struct totals);
} totals SEC(".maps");

/* One direction of a TCP connection. Direct-mapped by the hash of its ends: a newcomer takes the place of the old one. */
struct flow {
  __u32 tag;
  __u32 next;   /* the sequence number after the highest seen */
  __u64 opened; /* when its SYN came; 0 once answered for, or not to be measured */
};

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, FLOWS);
  __type(key, __u32);
  __type(value, struct flow);
} flows SEC(".maps");

/* Who else is on the air, by keyed hash. A place goes to whoever sends more than all others of that place (Misra and Gries). */
struct stranger {
  __u64 hash;
  __u32 weight;
  __u32 ifindex;
};

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, STRANGERS);
  __type(key, __u32);
  __type(value, struct stranger);
} strangers SEC(".maps");

/* What `entry` goes on to. An empty place ends there: the frame passes. */
enum { CHAIN_HEARD, CHAIN_TCP, CHAIN_OGM2, CHAIN };

struct {
  __uint(type, BPF_MAP_TYPE_PROG_ARRAY);
  __uint(max_entries, CHAIN);
  __type(key, __u32);
  __type(value, __u32);
} chain SEC(".maps");

/* A beacon's or alarm's arrival, and enough of the frame to know it again. No address stands in it. */
struct stamp {
  __u64 at;
  __u32 ifindex;
  __u32 length; /* of the frame */
  __u8 head[48]; /* what follows the Ethernet header, filled up with zeros */
};

struct {
  __uint(type, BPF_MAP_TYPE_RINGBUF);
  __uint(max_entries, 16384);
} stamps SEC(".maps");

/* A neighbour fell silent, or was heard (again). Apart from the stamps, which could crowd it out. */
struct event {
  __u64 at;
  __u64 last; /* when the frame before the silence came */
  struct key who;
  __u32 state; /* HEARD or SILENT */
};

struct {
  __uint(type, BPF_MAP_TYPE_RINGBUF);
  __uint(max_entries, 4096);
} events SEC(".maps");

#endif
