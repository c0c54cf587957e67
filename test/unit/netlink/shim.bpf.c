/*
 * A small XDP object for the tests of the shim: counts frames of ethertype 0x88b5 by their last byte, tells each one
 * through a ring buffer, then calls whatever the map of programs holds. -DREFUSED makes the verifier refuse it.
 */
#include <linux/bpf.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

enum { FRAME = 60 };

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 300);
  __type(key, __u32);
  __type(value, __u64);
} counts SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, 2);
  __type(key, __u32);
  __type(value, __u32);
} totals SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_LPM_TRIE);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __uint(max_entries, 16);
  __uint(key_size, 8);
  __uint(value_size, 4);
} prefixes SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_PROG_ARRAY);
  __uint(max_entries, 4);
  __type(key, __u32);
  __type(value, __u32);
} chain SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_RINGBUF);
  __uint(max_entries, 64 * 1024);
} records SEC(".maps");

SEC("xdp") int count(struct xdp_md *context) {
  const __u8 *frame = (const __u8 *)(long)context->data, *end = (const __u8 *)(long)context->data_end;
#ifndef REFUSED
  if (frame + FRAME > end) return XDP_PASS;
#endif
  if (frame[12] != 0x88 || frame[13] != 0xb5) return XDP_PASS;
  __u32 last = frame[FRAME - 1], zero = 0;
  __u64 one = 1, *seen = bpf_map_lookup_elem(&counts, &last);
  if (seen)
    __sync_fetch_and_add(seen, 1);
  else
    bpf_map_update_elem(&counts, &last, &one, BPF_ANY);
  __u32 *total = bpf_map_lookup_elem(&totals, &zero);
  if (total) ++*total;
  __u64 record[2] = {bpf_ktime_get_ns(), last};
  bpf_ringbuf_output(&records, record, sizeof record, 0);
  bpf_tail_call(context, &chain, 0);
  return XDP_PASS;
}

SEC("xdp") int drop(struct xdp_md *context) {
  (void)context;
  return XDP_DROP;
}

char _license[] SEC("license") = "GPL";
