/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/*
 * What seed-little.o and seed-big.o were made of, the objects that the fuzzers of test/unit/bpf begin with: as tools/bpf.ts
 * compiles those of bpf/. One of each thing: maps of three types, a function, a callback, a loop, a chain.
 */
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>
#include <linux/time.h>

char terms[] SEC("license") = "GPL";

struct value {
  __u64 count;
  struct bpf_timer timer;
};

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 8);
  __type(key, __u32);
  __type(value, struct value);
} values SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_RINGBUF);
  __uint(max_entries, 4096);
} ring SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_PROG_ARRAY);
  __uint(max_entries, 2);
  __type(key, __u32);
  __type(value, __u32);
} chain SEC(".maps");

static int fired(void *map, __u32 *key, struct value *v) {
  v->count = 0;
  return 0;
}

SEC("xdp")
int first(struct xdp_md *ctx) {
  __u8 *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
  __u32 key = 0;
#pragma clang loop unroll(disable)
  for (int i = 0; i < 10 && data + i + 1 <= end; i++) key += data[i];
  struct value *v = bpf_map_lookup_elem(&values, &key);
  if (!v) bpf_tail_call(ctx, &chain, 1);
  if (!v || data + 1 > end) return XDP_DROP;
  __sync_fetch_and_add(&v->count, 1);
  data[0] = 1;
  bpf_timer_init(&v->timer, &values, CLOCK_MONOTONIC);
  bpf_timer_set_callback(&v->timer, fired);
  bpf_timer_start(&v->timer, 0x123456789aULL, 0);
  return XDP_PASS;
}

SEC("xdp")
int second(struct xdp_md *ctx) {
  __u64 *record = bpf_ringbuf_reserve(&ring, 8, 0);
  if (record) {
    *record = bpf_ktime_get_ns();
    bpf_ringbuf_submit(record, 0);
  }
  return XDP_TX;
}
