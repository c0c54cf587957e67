/*
 * What native/clock.c makes of wall-clock stamps when the wall clock is set, fed with readings instead of clocks:
 * a machine's own clock is not for a test to set. Prints what differs from what was expected; nothing when all is well.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* 0: the machine's own clocks. Else a time of our own, and how far the wall clock is ahead of it. */
static int64_t at_hand, wall_ahead;

static int read_clock(clockid_t clock, struct timespec *out) {
  if (at_hand == 0) return clock_gettime(clock, out);
  int64_t ns = (at_hand += 100) + (clock == CLOCK_REALTIME ? wall_ahead : 0);
  *out = (struct timespec){.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000};
  return 0;
}

#define clock_gettime read_clock
#include "../../../native/clock.c"

static const int64_t MS = 1000000, S = 1000000000;

static void expect(const char *what, int64_t got, int64_t wanted) {
  if (got != wanted) printf("%s: %lld instead of %lld\n", what, (long long)got, (long long)wanted);
}

int main(void) {
  const int64_t year = 1700000000 * S, now = 5000 * S;
  const wall_clock steady = {.before = year, .now = year};
  expect("no step", wall_to_monotonic(&steady, year + now - 3 * MS, now), now - 3 * MS);
  expect("no stamp", wall_to_monotonic(&steady, 0, now), now);
  expect("a stamp from the future", wall_to_monotonic(&steady, year + now + S, now), now);

  /* A frame that came `waited` ago, before and after steps of either sign: wrong only where it waited for longer than
   * the step, and then by no more than it waited. */
  const int64_t waits[] = {0, 20000, MS, 40 * MS, 700 * MS};
  const int64_t steps[] = {-86400 * S, -S, -50 * MS, -MS, MS, 50 * MS, S, 86400 * S, 1700000000 * S};
  for (size_t i = 0; i < sizeof waits / sizeof waits[0]; i++)
    for (size_t j = 0; j < sizeof steps / sizeof steps[0]; j++)
      for (int after = 0; after < 2; after++) {
        const wall_clock stepped = {.before = year, .now = year + steps[j]};
        int64_t came = now - waits[i];
        int64_t got = wall_to_monotonic(&stepped, came + (after ? stepped.now : stepped.before), now);
        if (llabs(steps[j]) > waits[i]) expect("a frame that waited for less than the step", got, came);
        else if (llabs(got - came) > waits[i] || got > now) expect("a frame that waited for longer", got, came);
      }

  wall_clock live = {0};
  int64_t read = wall_read(&live);
  struct timespec wall;
  clock_gettime(CLOCK_REALTIME, &wall);
  int64_t back = wall_to_monotonic(&live, timespec_ns(&wall), monotonic_ns());
  if (back < read - MS || back > monotonic_ns()) expect("the machine's own clocks", back, read);

  /* Many frames wait while the clock is set: they are read some at a time, and the clocks each time. */
  for (size_t j = 0; j < sizeof steps / sizeof steps[0]; j++) {
    wall_clock queue = {0};
    at_hand = 5000 * S;
    wall_ahead = 2 * year;
    wall_read(&queue);
    int64_t came = at_hand, stamp = came + wall_ahead;
    wall_ahead += steps[j];
    for (int i = 0; i < 8; i++) {
      int64_t read_at = wall_read(&queue), at = wall_to_monotonic(&queue, stamp, read_at);
      if (llabs(at - came) > 1000) expect("a frame that waited while the clock was set", at, came);
    }
    /* A second later there is only what came afterwards, even if that waits for longer than the step. */
    at_hand += S;
    wall_read(&queue);
    came = at_hand, stamp = came + wall_ahead;
    at_hand += 200 * MS;
    int64_t read_at = wall_read(&queue), at = wall_to_monotonic(&queue, stamp, read_at);
    if (llabs(at - came) > 1000) expect("a frame that came afterwards", at, came);
  }
  at_hand = 0;

  _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof wall)] = {0};
  struct msghdr header = {.msg_control = control, .msg_controllen = sizeof control};
  struct cmsghdr *c = CMSG_FIRSTHDR(&header);
  *c = (struct cmsghdr){.cmsg_level = SOL_SOCKET, .cmsg_type = SO_TIMESTAMPNS, .cmsg_len = CMSG_LEN(sizeof wall)};
  memcpy(CMSG_DATA(c), &wall, sizeof wall);
  expect("a message's stamp", stamp_of(&header), timespec_ns(&wall));
  header.msg_controllen = 0;
  expect("a message without one", stamp_of(&header), 0);
  puts("done");
}
