/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/*
 * SipHash-1-3 (Aumasson and Bernstein, 2012; the rounds that the kernel's own hash tables use) over 64-bit words. The
 * caller folds the length into its words, which all have a fixed meaning.
 */
#ifndef X0_SIPHASH_H
#define X0_SIPHASH_H

#include <linux/types.h>

struct sip {
  __u64 a, b, c, d;
};

static __always_inline __u64 rotate(__u64 word, int by) { return word << by | word >> (64 - by); }

static __always_inline void sip_round(struct sip *s) {
  s->a += s->b;
  s->b = rotate(s->b, 13) ^ s->a;
  s->a = rotate(s->a, 32);
  s->c += s->d;
  s->d = rotate(s->d, 16) ^ s->c;
  s->a += s->d;
  s->d = rotate(s->d, 21) ^ s->a;
  s->c += s->b;
  s->b = rotate(s->b, 17) ^ s->c;
  s->c = rotate(s->c, 32);
}

static __always_inline struct sip sip_begin(const __u64 secret[2]) {
  return (struct sip){secret[0] ^ 0x736f6d6570736575ULL, secret[1] ^ 0x646f72616e646f6dULL,
                      secret[0] ^ 0x6c7967656e657261ULL, secret[1] ^ 0x7465646279746573ULL};
}

static __always_inline void sip_word(struct sip *s, __u64 word) {
  s->d ^= word;
  sip_round(s);
  s->a ^= word;
}

static __always_inline __u64 sip_end(struct sip *s) {
  s->c ^= 0xff;
  sip_round(s);
  sip_round(s);
  sip_round(s);
  return s->a ^ s->b ^ s->c ^ s->d;
}

#endif
